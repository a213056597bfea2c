"""What is said while Keras is imported: heard after a failure, or when it is asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAYING = "import os\nos.write(2, b'I0000 a device was found')\n"


def said_by(folder, keras, **environment):
    (folder / "keras.py").write_text(keras)
    look = "from microscope_quality.rating.quiet_keras import import_keras as i; i()\n"
    look += "import os, sys\n"
    look += "sys.stderr.write('later'); sys.stderr.flush(); os.write(2, b' still')"
    found = subprocess.run(
        [sys.executable, "-c", look],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{folder}:{ROOT}", **environment},
    )
    return found.returncode, found.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="another separator of paths")
def test_only_a_failure_is_heard(tmp_path):
    assert said_by(tmp_path, SAYING) == (0, "later still")
    code, said = said_by(tmp_path, f"{SAYING}raise ImportError('a broken library')")
    assert code == 1
    assert "I0000 a device was found" in said
    assert "a broken library" in said
    code, said = said_by(tmp_path, f"{SAYING}raise ModuleNotFoundError('no TensorFlow')")
    assert code == 1
    assert "I0000" not in said
    assert "no TensorFlow" in said


@pytest.mark.skipif(sys.platform == "win32", reason="another separator of paths")
def test_it_is_heard_when_that_is_wished(tmp_path):
    code, said = said_by(tmp_path, SAYING, TF_CPP_MIN_LOG_LEVEL="0")
    assert (code, said) == (0, "I0000 a device was foundlater still")
