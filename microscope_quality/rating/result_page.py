"""The frame of pages that tell results: one file that runs no script and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from microscope_quality.errors import FileError, printable
from microscope_quality.files.regular import open_regular, refusals
from microscope_quality.files.whole import whole
from microscope_quality.version import __version__

# An older page is looked for so many bytes into a file.
_HEAD_BYTES = 2000


def result_page(
    kind: str, title: str, subject: str, parts: Sequence[str], styles: Sequence[str] = ()
) -> bytes:
    """Give a page.

    Parameters
    ----------
    kind
        What it is of, by which `replace_page` knows it.
    title
        HTML that is also read without its elements.
    subject
        Text: what was looked at.
    parts
        HTML, one after the other; empty ones are left out.
    styles
        Names of style sheets beside that of all such pages.
    """
    style = _style(styles)
    plain = title.replace("<bdi>", "").replace("</bdi>", "")
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{_mark(kind)} {__version__}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{page_policy(styles)}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{plain}</title>\n"
        f'<link rel="icon" href="data:,">\n<style>{style}</style>\n</head>\n<body>\n'
        f'<header><div><h1>{title}</h1><p class="soft">{as_html(subject)}</p></div></header>\n'
        f"<main>\n{body}\n</main>\n</body>\n</html>\n"
    ).encode("utf-8", "replace")


def page_policy(styles: Sequence[str] = ()) -> str:
    """Give the policy by which a browser runs and loads nothing on such a page."""
    digest = base64.b64encode(hashlib.sha256(_style(styles).encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'"


def replace_page(path: Path, content: bytes, kind: str, what: str) -> None:
    """Write a page; an older one of its kind is replaced in one step, any other file is not.

    Raises
    ------
    FileError
        There is another file at that place, or nothing can be written there.
    """
    if path.exists():
        with refusals(path), open_regular(path) as stream:
            if _mark(kind).encode() not in stream.read(_HEAD_BYTES):
                raise FileError(
                    f"{path}: is there already and is no page of {what}; move it away or choose "
                    "another name"
                )
    with whole(path) as part, refusals(path, "written"):
        part.write_bytes(content)


def as_html(text: object) -> str:
    """Give a text as HTML that is it alone."""
    return html.escape(printable(str(text)))


def counted(number: int, what: str) -> str:
    """Give a number of things in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    """Give a table; the first cell of a row is its head. All cells are HTML."""
    head = "".join(f'<th scope="col">{as_html(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    name = as_html(caption)
    return (
        f'<div class="card scroll" tabindex="0" role="region" aria-label="{name}"><table>'
        f'<caption class="unseen">{name}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _mark(kind: str) -> str:
    return f'<meta name="generator" content="microscope-quality {kind}'


def _style(names: Sequence[str]) -> str:
    folder = resources.files("microscope_quality.rating")
    return "".join(
        folder.joinpath(name).read_text(encoding="utf-8") for name in ("study_results.css", *names)
    )
