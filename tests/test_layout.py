"""The rule of the layout: what a module may import, and the oldest Python it must suit."""

import ast
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: path.stem)
def test_a_module_imports_numpy_scipy_and_siblings_alone(path):
    missing_from_frozen_app = {"statistics", "shelve", "cProfile"}
    allowed = (set(sys.stdlib_module_names) - missing_from_frozen_app) | {
        "numpy",
        "scipy",
        "microscope_quality",
    }
    for name, level in _imported(ast.parse(path.read_text(encoding="utf-8"))):
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


def test_training_knows_nothing_of_evaluation():
    for path in sorted((PACKAGE / "training").glob("*.py")):
        for name, _ in _imported(ast.parse(path.read_text(encoding="utf-8"))):
            assert "evaluation" not in name.split("."), f"{path.name} imports {name}"
