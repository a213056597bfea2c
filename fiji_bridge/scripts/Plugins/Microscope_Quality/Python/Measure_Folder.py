#@script(language="python", label="Measure Folder")
#@ File (label="Folder", style="directory") folder
#@ String (label="Write a table to (CSV)", value="", required=false) csv
#@ String (label="Colour images by", choices={"channels", "luminance"}, value="channels") colour
#@ Double (label="Highest expected level that is in focus", value=1.5, min=0) in_focus_limit
#@ Double (label="Numerical aperture (0: not known)", value=0, min=0, stepSize=0.05) na
#@ Double (label="Refractive index of the immersion", value=1.0, min=1) refractive_index
#@ Double (label="Wavelength (um)", value=0.5, min=0) wavelength_um
#@ Double (label="Pixel size in the specimen (um; 0: not known)", value=0, min=0) pixel_size_um
#@ Boolean (label="Rescale to the model's sampling, if NA is given", value=true) rescale
#@ String (label="Other model than the library's", value="", required=false) model
#@ String (label="Folder to keep results in, to go on from there", value="", required=false) results

import sys

if sys.platform.startswith("java"):
    from ij import IJ

    IJ.error(
        "Measure Folder",
        "This is Jython, and the library needs Python: start Fiji in Python mode, with "
        "microscope-quality[fiji] in its environment, or "
        "use Plugins > Microscope Quality > Measure Folder... of the plugin, which needs none.",
    )
else:
    from fiji_bridge import menu

    said = menu.measure_folder(
        folder,
        csv,
        colour,
        in_focus_limit,
        na,
        refractive_index,
        wavelength_um,
        pixel_size_um,
        rescale,
        model,
        results,
    )
    print(said)
