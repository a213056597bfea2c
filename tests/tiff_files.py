"""TIFFs of any tags, for what no writer writes."""

import struct

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 13: 4}
_FORMS = {3: "H", 4: "I", 13: "I"}

#: Pixels of a page, 16 × 16 of 16 bits.
PIXELS = bytes(range(256)) * 2


def page(**more):
    """Tags of an uncompressed page: type and value, by ``t`` and number; None takes one out."""
    tags = {256: (4, 16), 257: (4, 16), 258: (3, 16), 259: (3, 1), 262: (3, 1), 273: (4, 8)}
    tags |= {277: (3, 1), 278: (4, 16), 279: (4, 512)}
    tags |= {int(name[1:]): value for name, value in more.items()}
    return {tag: value for tag, value in tags.items() if value is not None}


def tiff(*pages, data=PIXELS):
    """A classic TIFF of pixels at byte 8 and a chain of directories; without pages, of one."""
    content = bytearray(struct.pack("<2sHI", b"II", 42, 0) + data + bytes(len(data) % 2))
    link = 4
    for tags in pages or (page(),):
        struct.pack_into("<I", content, link, len(content))
        behind = len(content) + 2 + 12 * len(tags) + 4
        entries = extra = b""
        for tag, (kind, value) in sorted(tags.items()):
            packed = _packed(kind, value)
            n = len(packed) // _SIZES[kind]
            if len(packed) > 4:
                where = struct.pack("<I", behind + len(extra))
                extra += packed + bytes(len(packed) % 2)
            else:
                where = packed.ljust(4, b"\0")
            entries += struct.pack("<HHI", tag, kind, n) + where
        content += struct.pack("<H", len(tags)) + entries
        link = len(content)
        content += bytes(4) + extra
    return bytes(content)


def _packed(kind, value):
    if isinstance(value, bytes):
        return value
    values = value if isinstance(value, list) else [value]
    return struct.pack(f"<{len(values)}{_FORMS[kind]}", *values)


def described(text, **more):
    """A TIFF of one page with a description."""
    return tiff(page(t270=(2, text.encode() + b"\0"), **more))
