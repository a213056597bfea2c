"""``microscope-quality models``: which there are, what they are, whether they are whole."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from microscope_quality.model import ModelDescription

models = typer.Typer(no_args_is_help=True, help="List, describe, check and export models.")

_NAME = "A name that `models list` gives, or a model's folder."


@models.command("list")
def list_models() -> None:
    """List the models that come with the library."""
    from microscope_quality.errors import ModelError
    from microscope_quality.model import DEFAULT_MODEL, FOCUS, available_models

    found = available_models()
    width = max((len(name) for name in found), default=0)
    damaged = False
    for name, folder in found.items():
        try:
            description = _verified(folder)
            about = (
                f"{description.task}: {description.architecture}, "
                f"patches of {description.patch_size} px"
            )
            if description.task == FOCUS:
                about += f", levels 0 to {description.levels - 1}"
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
    with _failing(1):
        description = _verified(folder)
    if as_json:
        typer.echo(json.dumps(description.to_dict(), indent=2, ensure_ascii=False))
        return
    lines = {
        "name": description.name,
        "task": description.task,
        "folder": folder,
        "architecture": _architecture(description),
        "patches": f"{description.patch_size} × {description.patch_size} px",
        "normalisation": description.normalisation,
        **_of_task(description),
        "sha256": description.sha256,
        "licences": "\n".join(map(_licence, description.licences)) or "none stated",
    }
    for key, value in description.training.items():
        lines[f"training: {key}"] = _brief(value)
    width = max(len(key) for key in lines)
    for key, value in lines.items():
        for i, line in enumerate(str(value).splitlines() or [""]):
            typer.echo(f"{key if i == 0 else '':<{width}}  {line}")


def _licence(entry: Any) -> str:
    """Give the images of a licence in words; what a model's own author wrote, as it stands."""
    if not isinstance(entry, Mapping):
        return str(entry)
    told = [str(entry[key]) for key in ("kind", "source", "licence") if entry.get(key)]
    return f"{entry.get('images', '?')} images: {'; '.join(told)}"


@models.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help=_NAME, show_default=False)
    ] = None,
) -> None:
    """Check that models are whole: files, checksum, description, shapes.

    Without a name, all that come with the library.
    """
    from microscope_quality.errors import ModelError
    from microscope_quality.model import available_models

    damaged = False
    for name in names or list(available_models()):
        folder = _folder(name)
        try:
            typer.echo(f"{name}: whole, sha256 {_verified(folder).sha256}")
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
    from microscope_quality.files.fiji import export_model

    folder = _folder(model)
    with _failing(1, "microscope-quality models export-fiji: "):
        description = export_model(folder, to)
    typer.echo(f"{to}: {description.name}, {to.stat().st_size} bytes, sha256 {description.sha256}")


@models.command("export")
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=_NAME)],
    onnx: Annotated[
        bool, typer.Option("--onnx", help="As an ONNX file, which ONNX Runtime and others run.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="The file to write; else model.onnx in the model's folder."
        ),
    ] = None,
) -> None:
    """Write a model for other programs: a published network that rates, or a model of focus.

    Needs Keras and ONNX Runtime: pip install 'microscope-quality[train,onnx]'. The file is tried
    against Keras before it is in its place. Beside the model, it is what rates where Keras is not
    installed. An older file of that name is replaced.
    """
    from microscope_quality.model import available_models
    from microscope_quality.rating.published import ONNX_FILE
    from microscope_quality.rating.quiet_keras import import_keras

    command = "microscope-quality models export: "
    if not onnx:
        typer.echo(f"{command}needs --onnx, the form to write", err=True)
        raise typer.Exit(2)
    folder = _folder(model)
    if to is None and folder in (one.resolve() for one in available_models().values()):
        typer.echo(
            f"{command}needs --to FILE, as {model} came with the program, and nothing is written "
            "there",
            err=True,
        )
        raise typer.Exit(2)
    path = to or folder / ONNX_FILE
    with _failing(1, command):
        with contextlib.suppress(ImportError):
            import_keras()
        from microscope_quality.training.exchange import export_onnx

        difference = export_onnx(folder, path)
    typer.echo(
        f"{path}: {path.stat().st_size} bytes; differs from Keras by {difference:.1g} at most"
    )


def _verified(folder: Path) -> ModelDescription:
    """Give a model's description, its weights checked."""
    from microscope_quality.model import read_description, verify
    from microscope_quality.rating.published import is_published, verify_published

    return verify_published(folder) if is_published(read_description(folder)) else verify(folder)


def _folder(name: str) -> Path:
    from microscope_quality.model import DEFAULT_MODEL, find_model

    with _failing(2):
        return find_model(name or DEFAULT_MODEL)


@contextlib.contextmanager
def _failing(code: int, command: str = "") -> Iterator[None]:
    """Say what goes wrong within, and end with an exit code."""
    from microscope_quality.errors import MicroscopeQualityError

    try:
        yield
    except MicroscopeQualityError as error:
        typer.echo(f"{command}{error}", err=True)
        raise typer.Exit(code) from error


def _of_task(description: ModelDescription) -> dict[str, str]:
    from microscope_quality.model import FocusTask

    task = description.details
    if not isinstance(task, FocusTask):
        return {f"{description.task}: {key}": _brief(value) for key, value in task.items()}
    optics = task.optics
    return {
        "levels": f"0 (in focus) to {task.levels - 1}",
        "optics": f"NA {optics.na:g}, n {optics.refractive_index:g}, {optics.wavelength_um:g} µm, "
        f"pixels of {optics.pixel_size_um:g} µm",
        "sure": f"a patch, from a certainty of {task.sure_certainty:.4g}",
    }


def _architecture(description: ModelDescription) -> str:
    if not description.layers:
        return f"{description.architecture}, in Keras or ONNX Runtime"
    return f"{description.architecture}: {_layers(description.layers)}"


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
