"""The menu scripts in Jython, which is what Fiji runs them in unless it is in Python mode."""

import ast
import subprocess

import pytest
from hosts import central_jar, java

from microscope_quality.plugins import fiji

pytestmark = pytest.mark.host

SCRIPTS = {name: text for name, text in fiji.files().items() if name.endswith(".py")}
JYTHON = "org.python:jython-standalone:2.7.4"


def jython(folder, *arguments):
    jars = [central_jar(JYTHON), central_jar("net.imagej:ij:1.54p")]
    return subprocess.run(
        [
            java(),
            "-Djava.awt.headless=true",
            f"-Dpython.cachedir={folder}",
            "-cp",
            ":".join(map(str, jars)),
            "org.python.util.jython",
            *arguments,
        ],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_jython_says_in_a_sentence_what_to_do(name, tmp_path):
    path = tmp_path / "script.py"
    path.write_bytes(SCRIPTS[name])
    done = jython(tmp_path, path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    said = done.stdout.strip()
    assert "This is Jython, and the library needs Python: start Fiji in Python mode" in said
    assert said.count("\n") <= 1


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_is_parameters_and_one_call(name):
    text = SCRIPTS[name].decode("ascii")
    assert text.startswith('#@script(language="python"')
    tree = ast.parse(text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [ast.unparse(call.func) for call in calls]
    assert len(tree.body) == 2
    assert sorted(n for n in names if not n.startswith("menu."))[:2] == ["IJ.error", "print"]
    (call,) = [call for call in calls if ast.unparse(call.func).startswith("menu.")]
    # Each parameter is handed over, in the order of the function's own.
    import inspect

    from fiji_bridge import menu

    function = getattr(menu, call.func.attr)
    handed = [ast.unparse(argument) for argument in call.args]
    assert handed == list(inspect.signature(function).parameters)
    declared = [line.split()[-1] for line in text.splitlines() if line.startswith("#@ ")]
    assert declared == handed
