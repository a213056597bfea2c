"""The rule of the layout: what a module may import, and the oldest Python it must suit."""

import ast
import re
import sys
from pathlib import Path

import pytest

import microscope_quality

PACKAGE = Path(__file__).parents[1] / "microscope_quality"
MODULES = sorted(PACKAGE.glob("*.py"))
FOLDERS = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
# The command line's entry is no module of the library.
LIBRARY = [path for path in MODULES if path.name != "__main__.py"]


def _imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level
            if node.level or node.module == "microscope_quality":
                yield from ((alias.name, 1) for alias in node.names)


# What a module uses where it is installed, and imports in the function that asks for it.
IF_INSTALLED = {"display.py": {"matplotlib"}}


def _loaded(tree):
    """What of a module is run when it is imported, but for what type checkers alone see."""
    return [node for node in tree.body if not isinstance(node, (ast.If, ast.FunctionDef))]


@pytest.mark.parametrize("name", IF_INSTALLED)
def test_what_may_be_missing_is_imported_where_it_is_used(name):
    tree = ast.parse((PACKAGE / name).read_text(encoding="utf-8"))
    tree.body = _loaded(tree)
    loaded = {found.split(".")[0] for found, _ in _imported(tree)}
    assert not loaded & IF_INSTALLED[name]


def test_the_package_hands_on_what_is_in_folders_when_it_is_asked():
    """It names each, for type checkers, and where it is found."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    later = {
        alias.name: node.module.partition(".")[2]
        for branch in tree.body
        if isinstance(branch, ast.If)
        for node in branch.body
        for alias in node.names
    }
    assert later == microscope_quality._LATER
    assert set(later) < set(microscope_quality.__all__)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_a_module_imports_numpy_scipy_and_siblings_alone(path):
    missing_from_frozen_app = {"statistics", "shelve", "cProfile"}
    allowed = (set(sys.stdlib_module_names) - missing_from_frozen_app) | {
        "numpy",
        "scipy",
        "microscope_quality",
    }
    allowed |= IF_INSTALLED.get(path.name, set())
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.name == "__init__.py":
        tree.body = _loaded(tree)
    for name, level in _imported(tree):
        parts = name.split(".")
        if level:
            assert parts[0] not in FOLDERS, f"{path.name} imports the folder {parts[0]}"
        else:
            assert parts[0] in allowed, f"{path.name} imports {name}"
            if parts[0] == "microscope_quality" and len(parts) > 1:
                assert parts[1] not in FOLDERS, f"{path.name} imports the folder {parts[1]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_is_python_3_8(path):
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_annotations_are_not_evaluated(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    futures = [
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        for alias in node.names
    ]
    uses_annotations = any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in tree.body)
    assert not uses_annotations or "annotations" in futures


# A folder may import those before its own, and no other.
ORDER = (
    "files",
    "batch",
    "rating",
    "measuring",
    "report",
    "training",
    "evaluation",
    "plugins",
    "cli",
)
# Beside the modules, what a folder does not need of those before it.
APART = {"training": {"batch", "measuring", "report"}, "evaluation": {"measuring", "report"}}
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path not in MODULES)


def _name(path):
    return path.relative_to(PACKAGE).as_posix()


def _folder(path):
    return path.relative_to(PACKAGE).parts[0]


def _folders_imported(path):
    for name, level in _imported(ast.parse(path.read_text(encoding="utf-8"))):
        parts = name.split(".")
        if not level and parts[0] == "microscope_quality" and parts[1:2]:
            yield from {parts[1]} & FOLDERS


def test_every_folder_has_its_place_in_the_order():
    assert set(ORDER) == FOLDERS


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_arrows_between_folders_run_down(path):
    own = _folder(path)
    allowed = {*ORDER[: ORDER.index(own) + 1]} - APART.get(own, set())
    assert set(_folders_imported(path)) <= allowed


def _imported_when_loaded(path):
    """Modules of the library that a module imports when it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = [node for node in tree.body if not isinstance(node, ast.If)]
    for node in body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "microscope_quality"
        ):
            place = PACKAGE.parent / node.module.replace(".", "/")
            for name in (place, *(place / alias.name for alias in node.names)):
                found = name.with_suffix(".py")
                if found.exists():
                    yield found


def test_there_is_no_circle_of_imports():
    graph = {path: set(_imported_when_loaded(path)) for path in (*MODULES, *SOURCES)}
    done = set()
    while graph.keys() - done:
        free = {path for path in graph.keys() - done if graph[path] <= done | {path}}
        assert free, sorted(_name(path) for path in graph.keys() - done)
        done |= free


# What knows measures, and no particular one.
GENERIC = [
    *(path for path in SOURCES if _folder(path) in ("files", "batch", "report")),
    *(PACKAGE / "cli" / f"{name}.py" for name in ("summary", "screen", "copies", "report")),
    *(
        path
        for path in sorted((PACKAGE / "measuring").glob("*.py"))
        if path.stem not in ("focus", "classical")
    ),
]
PAGES = [
    path
    for folder in ("report", "batch")
    for path in sorted((PACKAGE / folder).rglob("*"))
    if path.suffix in (".js", ".jinja", ".css", ".html")
]
OF_FOCUS = re.compile(
    r"\b(expected_level|level|(mean_|max_|weighted_)?certainty|blur_diameter_px|defocus_um"
    r"|in_focus|out_of_focus|mixed|in focus|out of focus|p0|p10)\b"
)


def _said(tree):
    """Texts and names of a module without its documentation."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value
        elif isinstance(node, ast.Attribute) and not node.attr.startswith("level"):
            yield node.attr


@pytest.mark.parametrize("path", GENERIC, ids=_name)
def test_what_knows_measures_names_nothing_of_focus(path):
    for said in _said(ast.parse(path.read_text(encoding="utf-8"))):
        # How hard a codec of Zarr compresses.
        if (path.name, said) != ("zarr_arrays.py", "level"):
            assert not OF_FOCUS.search(said), said


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_pages_name_nothing_of_focus(path):
    text = re.sub(r"/\*.*?\*/|^\s*//.*?$", "", path.read_text("utf-8"), flags=re.S | re.M)
    assert not OF_FOCUS.findall(text)


@pytest.mark.parametrize("path", [*MODULES, *SOURCES], ids=_name)
def test_errors_of_the_library_name_no_option_of_the_command_line(path):
    if _folder(path) == "cli":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise):
            for said in (one for one in ast.walk(node) if isinstance(one, ast.Constant)):
                # Of other programs' command lines it may speak.
                plain = re.sub("`[^`]*`", "", str(said.value))
                assert not re.search(r"(^|\s)--[a-z]", plain), said.value


@pytest.mark.parametrize("path", [*MODULES, *SOURCES], ids=_name)
def test_the_patch_size_is_the_models(path):
    """The only number of it is where networks are designed."""
    if path.name == "architectures.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.Constant) and node.value in (84, 83)), node.lineno


@pytest.mark.parametrize("path", [*MODULES, *SOURCES], ids=_name)
def test_weights_have_one_reader(path):
    read = re.search(r"\bnp\.load\(|read_array_header|NpzFile", path.read_text(encoding="utf-8"))
    # A training goes on from a state that it wrote itself and nobody hands out.
    assert not read or path.name in ("model.py", "state.py")


def test_every_path_of_the_page_for_developers_is_there():
    page = (PACKAGE.parent / "docs/development.md").read_text(encoding="utf-8")
    named = re.findall(r"`([\w.]+/[\w./*]*|\.ci/run)`", page) + re.findall(
        r"\]\(\.\./([^)]+)\)", page
    )
    missing = [one for one in named if not list(PACKAGE.parent.glob(one.rstrip("/")))]
    assert len(named) > 40
    assert not missing
    modules = page.split("arrays in, numbers out")[1].split(" |")[0]
    assert {f"{name}.py" for name in re.findall(r"`(\w+)`", modules)} == {
        path.name for path in LIBRARY if path.name not in ("__init__.py", "version.py")
    }
