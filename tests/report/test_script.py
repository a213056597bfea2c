import re
import shutil
import subprocess

import pytest

from microscope_quality.report.script import SCRIPTS, inlined

MODULES = {
    "main.js": 'import { half } from "./half.js";\nimport { say } from "./say.js";\n'
    "say(half(8));\n",
    # A name of its own in each, as modules have it.
    "half.js": "const factor = 0.5;\nexport function half(x) {\n  return factor * x;\n}\n",
    "say.js": 'import { half } from "./half.js";\n'
    "const factor = 2;\nexport const say = (x) => console.log(x, half(factor));\n",
}


def joined(folder, modules):
    for name, text in modules.items():
        (folder / name).write_text(text, encoding="utf-8")
    return inlined(folder)


def test_modules_run_once_each_in_the_order_of_their_imports(tmp_path):
    text = joined(tmp_path, MODULES)
    assert re.findall(r'^modules\["(.*)"\]', text, re.M) == ["half.js", "say.js", "main.js"]
    assert not re.search(r"\b(import|export)\b", text)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_joined_modules_do_what_they_do_apart(tmp_path):
    text = joined(tmp_path, MODULES)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "joined.cjs").write_text(text, encoding="utf-8")
    said = [
        subprocess.run(["node", tmp_path / name], capture_output=True, text=True, check=True).stdout
        for name in ("main.js", "joined.cjs")
    ]
    assert said == ["4 1\n"] * 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"half.js": 'import { say } from "./say.js";\n'},
            "half.js imports say.js imports half",
        ),
        ({"half.js": "export const third = 3;\n"}, "imports half, which half.js does not export"),
        ({"half.js": "export let half = 3;\n"}, "half.js: cannot be joined to others: export let"),
        ({"half.js": "export default 3;\n"}, "half.js: cannot be joined to others: export default"),
        ({"say.js": 'import "./half.js";\n'}, 'say.js: cannot be joined to others: import "./half'),
    ],
)
def test_what_would_not_do_the_same_is_refused(tmp_path, changed, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        joined(tmp_path, MODULES | changed)


def test_a_page_has_every_module():
    names = re.findall(r'^modules\["(.*)"\]', inlined(), re.M)
    assert sorted(names) == sorted(path.name for path in SCRIPTS.iterdir())
