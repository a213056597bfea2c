"""``microscope-quality models``: which there are, what they are, whether they are whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

models = typer.Typer(no_args_is_help=True, help="List, describe, check and export models.")

_NAME = "A name that `models list` gives, or a model's folder."


@models.command("list")
def list_models() -> None:
    """List the models that come with the library."""
    from microscope_quality.errors import ModelError
    from microscope_quality.model import DEFAULT_MODEL, available_models, verify

    found = available_models()
    width = max((len(name) for name in found), default=0)
    damaged = False
    for name, folder in found.items():
        try:
            description = verify(folder)
            about = (
                f"{description.architecture}, patches of {description.patch_size} px, "
                f"levels 0 to {description.levels - 1}"
            )
        except ModelError as error:
            damaged = True
            about = f"damaged: {error}"
        default = " (default)" if name == DEFAULT_MODEL else ""
        typer.echo(f"{name:<{width}}  {about}{default}")
        typer.echo(f"{'':<{width}}  {folder}")
    if not found:
        typer.echo("There is none.")
    raise typer.Exit(1 if damaged or not found else 0)


@models.command()
def show(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help=_NAME)] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all of it as it is stored, for programs.")
    ] = False,
) -> None:
    """Describe a model: what it sees, how it was trained, on images of which licences.

    Without a name, the default model.
    """
    folder = _folder(name)
    description = _verified(folder)
    if as_json:
        typer.echo(json.dumps(description.to_dict(), indent=2, ensure_ascii=False))
        return
    optics = description.optics
    lines = {
        "name": description.name,
        "folder": folder,
        "architecture": f"{description.architecture}: {_layers(description.layers)}",
        "patches": f"{description.patch_size} × {description.patch_size} px",
        "levels": f"0 (in focus) to {description.levels - 1}",
        "normalisation": description.normalisation,
        "optics": f"NA {optics.na:g}, n {optics.refractive_index:g}, {optics.wavelength_um:g} µm, "
        f"pixels of {optics.pixel_size_um:g} µm",
        "sure": f"a patch, from a certainty of {description.sure_certainty:.4g}",
        "sha256": description.sha256,
        "licences": "\n".join(str(licence) for licence in description.licences) or "none stated",
    }
    for key, value in description.training.items():
        lines[f"training: {key}"] = _brief(value)
    width = max(len(key) for key in lines)
    for key, value in lines.items():
        for i, line in enumerate(str(value).splitlines() or [""]):
            typer.echo(f"{key if i == 0 else '':<{width}}  {line}")


@models.command()
def verify(
    names: Annotated[
        Optional[list[str]], typer.Argument(metavar="[NAME]...", help=_NAME, show_default=False)
    ] = None,
) -> None:
    """Check that models are whole: files, checksum, description, shapes.

    Without a name, all that come with the library.
    """
    from microscope_quality.errors import ModelError
    from microscope_quality.model import available_models
    from microscope_quality.model import verify as verify_folder

    damaged = False
    for name in names or list(available_models()):
        folder = _folder(name)
        try:
            typer.echo(f"{name}: whole, sha256 {verify_folder(folder).sha256}")
        except ModelError as error:
            damaged = True
            typer.echo(f"{name}: damaged: {error}")
    if damaged:
        raise typer.Exit(1)


@models.command("export-fiji")
def export_fiji(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=_NAME)],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The file to write.")],
) -> None:
    """Write a model as one file, which the plugin of ImageJ and Fiji takes as another model.

    An older exported model of that name is replaced.
    """
    from microscope_quality.errors import MicroscopeQualityError
    from microscope_quality.files.fiji import export_model

    try:
        description = export_model(_folder(model), to)
    except MicroscopeQualityError as error:
        typer.echo(f"microscope-quality models export-fiji: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{to}: {description.name}, {to.stat().st_size} bytes, sha256 {description.sha256}")


def _folder(name: str) -> Path:
    from microscope_quality.model import DEFAULT_MODEL, available_models

    found = available_models()
    folder = found.get(name or DEFAULT_MODEL, Path(name))
    if not name and DEFAULT_MODEL not in found:
        typer.echo("There is no default model.", err=True)
        raise typer.Exit(2)
    if not folder.is_dir():
        known = ", ".join(found) or "none"
        typer.echo(
            f"There is no model {name!r} and no folder of that name; "
            f"models that come with the library: {known}.",
            err=True,
        )
        raise typer.Exit(2)
    return folder


def _verified(folder: Path) -> Any:
    from microscope_quality.errors import MicroscopeQualityError
    from microscope_quality.model import verify

    try:
        return verify(folder)
    except MicroscopeQualityError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _layers(layers: tuple[dict[str, Any], ...]) -> str:
    words = []
    for layer in layers:
        word = str(layer["kind"])
        if "filters" in layer:
            word += f" {layer['size']}×{layer['size']}×{layer['filters']}"
        if "units" in layer:
            word += f" {layer['units']}"
        words.append(word)
    return ", ".join(words)


def _brief(value: Any) -> str:
    """Value in one line; of what is long, only its length."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= 100 or isinstance(value, str):
        return text
    return f"{len(value)} entries (all with --json)"
