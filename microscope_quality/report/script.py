"""The page's script: ES modules that a browser loads as they are, as one text to stand in a page.

Modules cannot import each other from within a page that asks for nothing from elsewhere. Here
each becomes a function of its own, in the order in which a browser would run them.
"""

from __future__ import annotations

import re
from pathlib import Path

#: Folder of the page's modules, of which ``main.js`` is the first.
SCRIPTS = Path(__file__).parent / "scripts"

_IMPORT = re.compile(r'^import \{ ([^}]+) \} from "\./(.+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|function|class) (\w+))", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def inlined(folder: Path = SCRIPTS, main: str = "main.js") -> str:
    """Join a module and those that it imports into a script without imports.

    Parameters
    ----------
    folder : Path
        Of the modules.
    main : str
        Name of the file to begin with.

    Raises
    ------
    ValueError
        Modules import each other in a circle, one imports a name that the other does not export,
        or imports or exports in another way than by ``import { a, b } from "./other.js";`` and
        ``export`` before a ``const``, ``function`` or ``class``, each on a line of its own.
    """
    exported: dict[str, list[str]] = {}
    joined = ['"use strict";', "{", "const modules = {};"]

    def join(name: str, importers: tuple[str, ...]) -> None:
        if name in importers:
            raise ValueError(f"modules import each other: {' imports '.join([*importers, name])}")
        if name in exported:
            return
        text = (folder / name).read_text(encoding="utf-8")
        for names, other in _IMPORT.findall(text):
            join(other, (*importers, name))
            for missing in set(names.split(", ")) - set(exported[other]):
                raise ValueError(f"{name} imports {missing}, which {other} does not export")
        exported[name] = _EXPORT.findall(text)
        text = _EXPORT.sub("", _IMPORT.sub(r'const { \1 } = modules["\2"];', text))
        if left := _LEFT.search(text):
            raise ValueError(f"{name}: cannot be joined to others: {left[0]}")
        given = ", ".join(exported[name])
        joined.append(f'modules["{name}"] = (() => {{\n{text}return {{ {given} }};\n}})();')

    join(main, ())
    return "\n".join([*joined, "}", ""])
