#@script(language="python", label="Find Best Plane")
#@ ImagePlus image
#@ String (label="Colour images by", choices={"luminance", "channels"}, value="luminance") colour
#@ Boolean (label="Show patches as an overlay", value=true) overlay
#@ Boolean (label="Show the legend in the overlay", value=true) legend
#@ Double (label="Highest expected level that is in focus", value=1.5, min=0) in_focus_limit
#@ Double (label="Numerical aperture (0: not known)", value=0, min=0, stepSize=0.05) na
#@ Double (label="Refractive index of the immersion", value=1.0, min=1) refractive_index
#@ Double (label="Wavelength (um)", value=0.5, min=0) wavelength_um
#@ Boolean (label="Rescale to the model's sampling, if NA is given", value=true) rescale
#@ String (label="Other model than the library's", value="", required=false) model

import sys

if sys.platform.startswith("java"):
    from ij import IJ

    IJ.error(
        "Find Best Plane",
        "This is Jython, and the library needs Python: start Fiji in Python mode, with "
        "microscope-quality[fiji] in its environment, or use Plugins > Microscope Quality > "
        "Find Best Focus Plane... of the plugin, which needs none.",
    )
else:
    from fiji_bridge import menu

    said = menu.find_best_plane(
        image,
        colour,
        overlay,
        legend,
        in_focus_limit,
        na,
        refractive_index,
        wavelength_um,
        rescale,
        model,
    )
    print(said)
