"""``microscope-quality plugin``: install the plugins for other programs, and remove them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

plugin = typer.Typer(no_args_is_help=True, help="Install plugins for other programs.")

RemoveOption = Annotated[
    bool, typer.Option("--remove", help="Take away what this command wrote there.")
]


@plugin.command()
def cellprofiler(
    to: Annotated[
        Path,
        typer.Option(
            "--to",
            metavar="DIR",
            help="CellProfiler's plugins directory, or a new folder that shall be it.",
        ),
    ],
    remove: RemoveOption = False,
) -> None:
    """Write the modules MeasureImageFocus and MeasureImageQualityScore for CellProfiler 4.2.

    They need nothing but CellProfiler, also the downloaded app. What lies in DIR already stays as
    it is; older versions of the modules are replaced.

    Example: microscope-quality plugin cellprofiler --to cellprofiler-plugins
    """
    from microscope_quality.plugins import cellprofiler as dropin

    _do("cellprofiler", dropin.remove if remove else dropin.install, to, remove)
    typer.echo(f"MeasureImageFocus and MeasureImageQualityScore are in {to}. To use them:")
    typer.echo("1. In CellProfiler: Preferences, CellProfiler plugins directory:")
    typer.echo(f"   {to.resolve()}")
    typer.echo("2. Restart CellProfiler.")
    typer.echo("3. Add a module: they are in the category Measurement.")


@plugin.command()
def fiji(
    to: Annotated[
        Path,
        typer.Option("--to", metavar="DIR", help="The folder of your Fiji (Fiji.app) or ImageJ."),
    ],
    remove: RemoveOption = False,
) -> None:
    """Write the plugin for Fiji and ImageJ, and menu scripts for Fiji's Python mode.

    The plugin, a jar, needs nothing but ImageJ. It is taken from this installation, or from a
    checkout of the repository in the current folder, where `mvn -f fiji_bridge/plugin package`
    builds it. What lies in DIR already stays as it is; older versions are replaced.

    Example: microscope-quality plugin fiji --to Fiji.app

    Exit codes: 0 all installed, 1 scripts without the jar, 2 refused.
    """
    from microscope_quality.plugins import fiji as dropin

    done = _do("fiji", dropin.remove if remove else dropin.install, to, remove)
    for path in done:
        typer.echo(f"written: {path}")
    with_jar = any(path.suffix == ".jar" for path in done)
    if with_jar:
        typer.echo("Restart Fiji: Plugins > Microscope Quality.")
    if any(path.suffix == ".py" for path in done):
        typer.echo(
            "Plugins > Microscope Quality > Python is for Fiji's Python mode, with this library in "
            "it."
        )
    if not with_jar:
        typer.echo(
            "The plugin itself, a jar, is not installed, for it was not built: in a checkout of "
            f"the repository, {dropin.BUILD}, and then this command again.",
            err=True,
        )
        raise typer.Exit(1)


def _do(name: str, act: Callable[[Path], list[Path]], to: Path, remove: bool) -> list[Path]:
    """Install or remove; gives the files that were written, and ends where they were removed."""
    from microscope_quality.cli.refusal import refusing

    with refusing(f"plugin {name}"):
        done = act(to)
    if remove:
        typer.echo(f"{len(done)} files removed from {to}.")
        raise typer.Exit
    return done
