#@script(language="python", label="Synthesize Defocus Set")
#@ ImagePlus image
#@ File (label="New or empty folder for the set", style="directory") out
#@ String (label="Planes", choices={"current", "all"}, value="current") planes
#@ String (label="Colour images by", choices={"luminance", "channels"}, value="luminance") colour
#@ Double (label="Photoelectrons at the brightest percent, from", value=300, min=1) lowest_photons
#@ Double (label="to", value=20000, min=1) highest_photons
#@ Integer (label="Seed", value=0, min=0) seed
#@ Double (label="Numerical aperture (0: not known)", value=0, min=0, stepSize=0.05) na
#@ Double (label="Refractive index of the immersion", value=1.0, min=1) refractive_index
#@ Double (label="Wavelength (um)", value=0.5, min=0) wavelength_um

import sys

if sys.platform.startswith("java"):
    from ij import IJ

    IJ.error(
        "Synthesize Defocus Set",
        "This is Jython, and the library needs Python: start Fiji in Python mode, with "
        "microscope-quality[fiji] in its environment, or "
        "run microscope-quality synthesize on the file.",
    )
else:
    from fiji_bridge import menu

    said = menu.synthesize_set(
        image,
        out,
        planes,
        colour,
        lowest_photons,
        highest_photons,
        seed,
        na,
        refractive_index,
        wavelength_um,
    )
    print(said)
