#@script(language="python", label="Rate Image")
#@ ImagePlus image
#@ String (label="Planes", choices={"current", "all"}, value="current") planes
#@ String (label="Colour images by", choices={"channels", "luminance"}, value="channels") colour
#@ Boolean (label="Show patches as an overlay", value=true) overlay
#@ Boolean (label="Show the legend in the overlay", value=true) legend
#@ Double (label="Lowest score that is good", value=0.7, min=0.1, max=1, stepSize=0.05) score_limit
#@ Integer (label="Number of places to rate (0: the whole image)", value=0, min=0) patches
#@ String (label="Other rater than the library's", value="", required=false) model

import sys

if sys.platform.startswith("java"):
    from ij import IJ

    IJ.error(
        "Rate Image",
        "This is Jython, and the library needs Python: start Fiji in Python mode, with "
        "microscope-quality[fiji] in its environment, or "
        "use Plugins > Microscope Quality > Rate Image... of the plugin, which needs none.",
    )
else:
    from fiji_bridge import menu

    said = menu.rate_planes(image, planes, colour, overlay, legend, score_limit, patches, model)
    print(said)
