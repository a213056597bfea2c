"""Packaging; everything that is plain data stands in pyproject.toml.

``pretrained`` and ``cellprofiler_plugins`` lie beside the library in the repository and are
installed inside it. ``fiji_bridge`` is a package of its own.
"""

from pathlib import Path

from setuptools import find_packages, setup

inside = {
    f"microscope_quality.{folder}": folder
    for folder in ("pretrained", "cellprofiler_plugins")
    if Path(folder).is_dir()
}

setup(
    packages=[
        *find_packages(include=["microscope_quality", "microscope_quality.*", "fiji_bridge"]),
        *inside,
    ],
    package_dir=inside,
    # Named below; what setuptools would add on its own makes it warn of folders without modules.
    include_package_data=False,
    package_data={
        "microscope_quality": ["py.typed"],
        "microscope_quality.batch": ["*.html", "*.css", "*.js"],
        "microscope_quality.evaluation": ["*.jinja"],
        "microscope_quality.rating": ["*.html", "*.css", "*.js"],
        "microscope_quality.report": ["*.jinja", "*.css", "scripts/*.js"],
        "microscope_quality.pretrained": ["*/model.json", "*/weights.npz", "*/MODEL.md", "*/*.png"],
        "microscope_quality.cellprofiler_plugins": ["*.py"],
        "fiji_bridge": [
            "py.typed",
            "scripts/Plugins/Microscope_Quality/Python/*.py",
            # There when it was built before.
            "plugin/target/Microscope_Quality-*.jar",
        ],
    },
)
