"""What MkDocs does besides, to make the site of these pages: see ``mkdocs.yml``.

Pages link to files as GitHub shows them. In the site, a link to a page or picture of the site leads
there, and a link to any other file of the repository leads to its address. What is not in the
repository is left as it is, and MkDocs refuses it.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from pathlib import Path
from typing import Any, Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
#: Pages that lie elsewhere in the repository, by their place in the site.
ELSEWHERE = {
    "changelog.md": "CHANGELOG.md",
    "fiji-macros.md": "fiji_bridge/plugin/README.md",
    "model-card.md": "pretrained/compact/MODEL.md",
    "rater-card.md": "pretrained/em/MODEL.md",
}
_LINK = re.compile(r"(?<=\]\()([^()\s]+)(?=\))")
#: Folders that the site hands out as one file each, and these files.
SAMPLES = {"docs/sample": "sample.zip", "docs/micrographs": "micrographs.zip"}
# With what the page says here in the repository.
_COMMANDS = re.compile(r"<!-- the commands -->.*", re.DOTALL)
# Code in a line of text is not to be broken: all of it when it is short, else its options.
_CODE = re.compile(r"(?<!<pre>)<code>([^<]+)</code>")
_MOST_UNBROKEN = 28
_OPTION = re.compile(r"(?<![^\s>])--[a-z-]+")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere, their pictures, and the samples."""
    for name, place in ELSEWHERE.items():
        text = (ROOT / place).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            picture = posixpath.join(posixpath.dirname(place), target)
            files.append(
                File.generated(config, f"assets/{picture}", abs_src_path=str(ROOT / picture))
            )
    for folder, name in SAMPLES.items():
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path in sorted((ROOT / folder).iterdir()):
                archive.write(path, f"{path.parent.name}/{path.name}")
        files.append(File.generated(config, name, content=packed.getvalue()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to where the site has what they name, and fill in the commands."""
    name = page.file.src_uri
    folder = posixpath.dirname(ELSEWHERE.get(name, f"docs/{name}"))

    def led(link: re.Match[str]) -> str:
        target, hash_, anchor = link[1].partition("#")
        if not target or ":" in target:
            return link[1]
        place = posixpath.normpath(posixpath.join(folder, target))
        return f"{_address(place, name, config, files) or target}{hash_}{anchor}"

    markdown = _LINK.sub(led, markdown)
    return _COMMANDS.sub(lambda _: "\n\n".join(_told_of_commands()), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Mark short code and options, which the style keeps in one line."""

    def marked(code: re.Match[str]) -> str:
        if len(code[1]) <= _MOST_UNBROKEN:
            return f'<code class="unbroken">{code[1]}</code>'
        return _OPTION.sub(r'<span class="unbroken">\g<0></span>', code[0])

    return _CODE.sub(marked, html)


def _address(place: str, page: str, config: MkDocsConfig, files: Files) -> str:
    """Give where a file of the repository is to be found from a page, or nothing."""
    site = {source: name for name, source in ELSEWHERE.items()} | SAMPLES
    name = site.get(place) or place.removeprefix("docs/")
    if place not in site and not place.startswith("docs/"):
        name = f"assets/{place}"
    file = files.get_file_from_path(name)
    if file is not None and file.inclusion.is_included():
        return posixpath.relpath(name, posixpath.dirname(page) or ".")
    if not (ROOT / place).exists():
        return ""
    kind = "tree" if (ROOT / place).is_dir() else "blob"
    return f"{config.repo_url}/{kind}/main/{place}"


def _commands() -> Iterator[tuple[str, Any]]:
    """Give each command with its name, those of groups by both words."""
    import typer

    from microscope_quality.cli.app import app

    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        yield from (
            ((f"{name} {sub}", one) for sub, one in command.commands.items())
            if hasattr(command, "commands")
            else ((name, command),)
        )


def _told_of_commands() -> Iterator[str]:
    """Tell what ``--help`` tells, as Markdown."""
    for name, command in _commands():
        yield f"## {name}"
        arguments = " ".join(
            _named(one) if one.required else f"[{_named(one)}]"
            for one in command.params
            if not _is_option(one)
        )
        yield f"```text\nmicroscope-quality {name} {arguments} [OPTIONS]\n```"
        yield re.sub(r"(?m)(?<=\S)\n(?=\S)", " ", command.help)
        panels: dict[str, list[Any]] = {}
        for one in command.params:
            if not getattr(one, "hidden", False):
                panel = one.rich_help_panel or ("Options" if _is_option(one) else "Arguments")
                panels.setdefault(panel, []).append(one)
        for panel, members in panels.items():
            head = f"| {panel} | |\n| --- | --- |\n"
            yield head + "\n".join(f"| {_usage(one)} | {_cell(_said(one))} |" for one in members)


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def _named(parameter: Any) -> str:
    return parameter.metavar or parameter.name.upper()


def _usage(parameter: Any) -> str:
    if not _is_option(parameter):
        return f"`{_named(parameter)}`"
    value = "" if parameter.is_flag else f" {_value(parameter)}"
    names = sorted([*parameter.opts, *parameter.secondary_opts], key=len, reverse=True)
    return "<br>".join(f"`{name}{value}`" for name in names)


def _value(parameter: Any) -> str:
    choices = getattr(parameter.type_descriptor.annotation, "__members__", {})
    return parameter.metavar or "|".join(choices) or parameter.name.upper()


def _said(parameter: Any) -> str:
    default = parameter.show_default
    if default is True and parameter.default not in (None, False, ""):
        value = parameter.default
        values = value if isinstance(value, tuple) else (getattr(value, "value", value),)
        default = " ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in values)
        if parameter.is_flag:
            default = parameter.opts[0]
    # Stars of patterns are no emphasis.
    said = re.sub(
        r"`[^`]*`|([*_<])", lambda one: f"\\{one[0]}" if one[1] else one[0], parameter.help
    )
    if isinstance(default, str) and default:
        return f"{said} *Unless set: {default}.*"
    return said


def _cell(text: str) -> str:
    # In code a bar parts no cells.
    text = re.sub(r"`[^`]*`|(\|)", lambda one: r"\|" if one[1] else one[0], text)
    return text.replace("\n", " ")
