"""Write LIF files by Leica's published layout, as small as they can be."""

import struct

import numpy as np


def lif(images, extra="", colours=()):
    """Bytes of a LIF file of (c, z, y, x) images of 8 or 16 bits.

    With `colours`, such as "BGR", the channels are those of a colour camera in that order, and lie
    beside each other in each pixel.
    """

    def block(content):
        return struct.pack("<II", 0x70, len(content)) + content

    def text(words):
        return struct.pack("<BI", 0x2A, len(words)) + words.encode("utf-16-le")

    elements, memory = "", b""
    for number, data in enumerate(images):
        channels, depth, height, width = data.shape
        item = data.dtype.itemsize
        across = channels * item if colours else item
        lines = height * width * across
        stored = np.moveaxis(data, 0, 3) if colours else data
        parts = "".join(
            f'<ChannelDescription DataType="0" '
            f'ChannelTag="{"-RGB".index(colours[c]) if colours else 0}" Resolution="{8 * item}" '
            f'NameOfMeasuredQuantity="" Min="0" Max="65535" Unit="" LUTName="Gray" '
            f'IsLUTInverted="0" BytesInc="{c * (item if colours else depth * lines)}" BitInc="0"/>'
            for c in range(channels)
        )
        sides = [(1, width, across), (2, height, width * across), (3, depth, lines)]
        dimensions = "".join(
            f'<DimensionDescription DimID="{d}" NumberOfElements="{n}" Origin="0" '
            f'Length="{(n - 1) * 0.5e-6}" Unit="m" BitInc="0" BytesInc="{step}"/>'
            for d, n, step in sides
            if n > 1
        )
        elements += (
            f'<Element Name="Series{number}" Visibility="1"><Data><Image TextDescription="">'
            f"<ImageDescription><Channels>{parts}</Channels><Dimensions>{dimensions}</Dimensions>"
            f"</ImageDescription>{extra}</Image></Data>"
            f'<Memory Size="{data.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
        name = f"MemBlock_{number}"
        memory += block(struct.pack("<BQ", 0x2A, data.nbytes) + text(name)) + stored.tobytes()
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="a.lif" Visibility="1"><Data>'
        '<Experiment Path="a.lif"/></Data><Memory Size="0" MemoryBlockID="MemBlock_9"/>'
        f"<Children>{elements}</Children></Element></LMSDataContainerHeader>"
    )
    return block(text(xml)) + memory
