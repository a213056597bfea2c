"""``microscope-quality models``: what can measure, and whether it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from microscope_quality.model import ModelDescription

models = typer.Typer(no_args_is_help=True, help="List, describe and check the models.")


@models.command("list")
def list_models() -> None:
    """List the models that come with the library."""
    from rich.console import Console
    from rich.table import Table

    from microscope_quality.errors import MicroscopeQualityError
    from microscope_quality.model import DEFAULT_MODEL, available_models, verify

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("Model", "Architecture", "Patch", "Levels", "Place"):
        table.add_column(column, overflow="fold")
    damaged = False
    for name, folder in available_models().items():
        shown = f"{name} (default)" if name == DEFAULT_MODEL else name
        try:
            description = verify(folder)
        except MicroscopeQualityError as error:
            damaged = True
            table.add_row(shown, f"damaged: {error}")
            continue
        size = f"{description.patch_size} px"
        levels = f"0 … {description.levels - 1}"
        table.add_row(shown, description.architecture, size, levels, str(folder))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if table.row_count:
        console.print(table)
    else:
        console.print("No model has been installed.")
    raise typer.Exit(1 if damaged or not table.row_count else 0)
