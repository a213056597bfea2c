"""The pages as a site: what they link to and show, and every command of the tutorial, run."""

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from posixpath import normpath
from urllib.parse import unquote

import command_line
import hosts
import numpy as np
import pytest

import microscope_quality
from microscope_quality import measure_focus
from microscope_quality.measuring.naming import Naming

pytest.importorskip("PIL")
from PIL import Image

TOP = Path(__file__).parents[1]
DOCS = TOP / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
SETTINGS = (TOP / "mkdocs.yml").read_text(encoding="utf-8")
#: Pages of the site that lie elsewhere in the repository.
ELSEWHERE = {
    "changelog.md": "CHANGELOG.md",
    "fiji-macros.md": "fiji_bridge/plugin/README.md",
    "model-card.md": "pretrained/compact/MODEL.md",
    "rater-card.md": "pretrained/em/MODEL.md",
}
REJECTED = ["A02_s1_dna.tif", "A02_s2_dna.tif", "B01_s2_actin.tif", "B02_s1_dna.tif"]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}


def text_of(page):
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(page, language, mark=None):
    """Fenced blocks of a page, without the indentation of lists; those behind a mark."""
    behind = "" if mark is None else rf"<!-- {mark} -->\n\s*\n"
    found = re.findall(rf"{behind}(?m:^)( *)```{language}\n(.*?)```", text_of(page), re.DOTALL)
    return [re.sub(rf"(?m)^{indent}", "", text) for indent, text in found]


def words(text):
    return " ".join(text.split())


def links(place):
    """What a page of the repository links to, as paths in the repository."""
    text = (TOP / place).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^()\s]+)\)", text):
        target = target.partition("#")[0]
        if target and ":" not in target:
            yield normpath(f"{Path(place).parent.as_posix()}/{target}")


def table_rows(page, mark):
    """Cells of the table behind a mark."""
    rows = text_of(page).split(f"<!-- {mark} -->\n\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


# The pages, without building anything.


def test_every_page_is_in_the_navigation_once():
    listed = re.findall(r"^ +- (?:.*: )?([\w/-]+\.md)$", SETTINGS.split("\nnav:")[1], re.MULTILINE)
    assert sorted(listed) == sorted([*PAGES, *ELSEWHERE])


def test_every_page_is_reached_from_the_first_by_links():
    found, waiting = set(), ["docs/README.md"]
    while waiting:
        page = waiting.pop()
        if page not in found:
            found.add(page)
            waiting += [to for to in links(page) if to.endswith(".md") and (TOP / to).exists()]
    assert {*(f"docs/{page}" for page in PAGES), *ELSEWHERE.values()} <= found


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_are_there(page):
    missing = [to for to in links(f"docs/{page}") if not (TOP / to).exists()]
    assert not missing


def test_the_address_is_that_of_the_package():
    project = (TOP / "pyproject.toml").read_text(encoding="utf-8")
    (repository,) = re.findall(r'^Repository = "(.+)"$', project, re.MULTILINE)
    assert re.findall(r"^repo_url: (.+)$", SETTINGS, re.MULTILINE) == [repository]


#: Pages about the repository itself.
OF_THE_REPOSITORY = {"benchmarks.md", "development.md"}


@pytest.mark.parametrize("page", sorted({*PAGES} - OF_THE_REPOSITORY))
def test_what_pages_tell_one_to_type_works_outside_of_the_repository(page):
    text = text_of(page)
    if page == "install.md":
        text = text.partition("In a copy of the repository")[0]
    assert not re.findall(r"pip install '?\.\W", text.replace("pip install './microscope_", ""))
    assert "docs/gallery" not in text
    assert "docs/sample" not in text.replace(
        "(In the repository it is the folder `docs/sample`.)", ""
    )


def test_the_citation_is_that_of_the_file():
    cff = (TOP / "CITATION.cff").read_text(encoding="utf-8")
    own, paper = cff.split("\nreferences:\n")

    def value(part, key):
        return re.search(rf'(?m)^[ -]*{key}: "?(.+?)"?$', part)[1]

    names = re.findall(r"family-names: (.+)\n +given-names: (.+)", paper)
    assert len(names) == 13
    wanted = [
        {
            "author": f"{{{value(own, 'name')}}}",
            **{key: value(own, key) for key in ("title", "version")},
            "url": value(own, "repository-code"),
        },
        {
            "author": " and ".join(f"{family}, {given}" for family, given in names),
            **{key: value(paper, key) for key in ("title", "journal", "volume", "year", "doi")},
            "pages": value(paper, "start"),
        },
    ]
    entries = blocks("faq.md", "bibtex")[0].split("\n\n")
    given = [dict(re.findall(r'(?ms)^  (\w+) = [{"](.*?)[}"],?$', one)) for one in entries]
    assert [{key: words(text) for key, text in one.items()} for one in given] == wanted
    page = words(text_of("faq.md"))
    short = ", ".join(
        f"{family} {''.join(word[0] for word in given.split())}" for family, given in names
    )
    article = wanted[1]
    said = f"{article['journal']} {article['volume']}:{article['pages']}, {article['year']}."
    assert f"- {short}: {article['title']}. {said}" in page
    assert (
        f"{wanted[0]['author'][1:-1]}: {wanted[0]['title']}, version {wanted[0]['version']}."
        in page
    )


def test_numbers_of_the_page_on_limits_are_the_measured_ones():
    record = json.loads((DOCS / "meaning" / "numbers.json").read_text(encoding="utf-8"))
    numbers = {name: text for part in record.values() for name, text in part.items()}
    marked = re.findall(r"<!--(\w+)-->([\d.,]+)", text_of("limit.md"))
    assert len(marked) > 10
    assert [(name, text.rstrip(".,")) for name, text in marked] == [
        (name, numbers[name]) for name, _ in marked
    ]
    per_level = float(numbers["blur_px_per_level"])
    page = words(text_of("limit.md"))
    for level, said in ((1.5, "a disc of {:.1f} pixels"), (3, "level 3 ({:.1f} p")):
        assert said.format(level * per_level) in page
    # Binomial: none of n is seen with a probability of 5 % where this share is wrong.
    for n, said in ((10, "up to 1 in 4"), (30, "up to 1 in 10")):
        assert said in page
        assert 1 / (1 - 0.05 ** (1 / n)) == pytest.approx(int(said.split()[-1]), rel=0.08)


# The gallery.

SHOWN = json.loads((DOCS / "gallery" / "numbers.json").read_text(encoding="utf-8"))


def test_the_gallery_says_the_numbers_on_record():
    page = text_of("gallery.md")
    script = runpy.run_path(str(DOCS / "make_gallery.py"))
    assert script["filled"](page, SHOWN) == page
    assert set(re.findall(r"gallery/(\w+)\.png", page)) == SHOWN.keys()
    assert {name for name, _ in re.findall(r"<!--(\w+)_(level|verdict)-->", page)} == SHOWN.keys()
    assert set(re.findall(r"gallery/(\w+)_patches\.jpg", page)) == SHOWN.keys()


def test_the_command_of_the_gallery_works_where_a_picture_was_saved(tmp_path, monkeypatch):
    (command,) = re.findall(r"`microscope-quality (measure .+?)`", text_of("gallery.md"))
    *_, file = command.split()
    shutil.copy(DOCS / "gallery" / file, tmp_path)
    monkeypatch.chdir(tmp_path)
    said = words(command_line.run(*command.split()).stdout)
    name = Path(file).stem
    assert f"{file} {SHOWN[name]['level']} " in said
    assert SHOWN[name]["verdict"] in said


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_a_crop_measured_again_gives_its_numbers(name):
    plane = np.asarray(Image.open(DOCS / "gallery" / f"{name}.png"))
    assert plane.shape == (252, 252)
    again, said = measure_focus(plane), SHOWN[name]
    assert again.status.replace("_", " ") == said["verdict"][2:]
    assert again.certainty == pytest.approx(float(said["certainty"]), abs=0.006)
    if again.status == "no_content":
        assert said["level"] == "–"
    else:
        assert again.expected_level == pytest.approx(float(said["level"]), abs=0.06)


def test_pictures_are_small_enough_for_a_slow_line():
    assert sum(path.stat().st_size for path in (DOCS / "gallery").iterdir()) < 600_000
    assert all(path.stat().st_size < 150_000 for path in (DOCS / "tutorial").iterdir())


@pytest.mark.skipif(
    not (TOP / "../shared/data/manifest.csv").exists(), reason="the images are not here"
)
def test_crops_of_the_gallery_are_what_their_sources_hold():
    script = runpy.run_path(str(DOCS / "make_gallery.py"))
    made = script["crops"](TOP / "../shared/data")
    assert made.keys() == SHOWN.keys()
    for name, (plane, source) in made.items():
        assert source.items() <= SHOWN[name].items()
        stored = np.asarray(Image.open(DOCS / "gallery" / f"{name}.png")).astype(int)
        assert np.abs(stored - plane).max() <= 1, name


# The tutorial.


@pytest.fixture(scope="module")
def beginner(tmp_path_factory):
    """A folder in which the commands of a page were given in turn, and what each printed."""
    made = {}

    def given(page):
        if page not in made:
            folder = tmp_path_factory.mktemp("beginner")
            for name in ("sample", "plate1"):
                shutil.copytree(DOCS / "sample", folder / name)
            shutil.copytree(DOCS / "micrographs", folder / "micrographs")
            for kind, names in (("good", "A01_s1 A01_s2 B01_s1 B03"), ("bad", "A02_s1 B01_s2")):
                (folder / "calibration" / kind).mkdir(parents=True)
                for name in names.split():
                    (path,) = (folder / "sample").glob(f"{name}*")
                    shutil.copy(path, folder / "calibration" / kind)
            made[page] = folder, printed(folder, page)
        return made[page]

    return given


def printed(folder, page):
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "100")
        for block in blocks(page, "sh"):
            for line in block.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "microscope-quality"
                said[line] = command_line.run(*arguments).stdout
    return said


@pytest.mark.readme
def test_what_the_page_on_ratings_shows_is_so(beginner):
    folder, said = beginner("rating.md")
    screen, alert = blocks("rating.md", "text")
    shown = words(said["microscope-quality rate micrographs"])
    for line in screen.splitlines():
        assert words(line) in shown
    watched = next(text for line, text in said.items() if " watch " in line)
    assert words(alert) in words(watched)
    again = next(text for line, text in said.items() if "--score-limit" in line)
    assert "8 files were measured before" in words(again)
    (code,) = blocks("rating.md", "python")
    ran = subprocess.run(
        command_line.example(code),
        cwd=folder,
        env=command_line.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    first, *rows = ran.stdout.splitlines()
    score, cause, elongation = first.split()
    assert (f"{float(score):.2f}", cause) == ("0.57", "astigmatism")
    assert float(elongation) > 1.3
    assert len(rows) == 8


@pytest.mark.readme
def test_the_screen_shows_what_the_tutorial_shows(beginner):
    _, said = beginner("tutorial.md")
    shown = words(said["microscope-quality measure sample"])
    lines = [line for line in blocks("tutorial.md", "text")[0].splitlines() if line != "…"]
    assert len(lines) == 10
    for line in lines:
        assert words(line) in shown


@pytest.mark.readme
def test_the_tutorial_writes_what_it_says(beginner):
    folder, said = beginner("tutorial.md")
    assert len(said) == 6
    assert {path.name for path in (folder / "results").iterdir()} == {
        "results.csv",
        "stacks.csv",
        "report.html",
        "run.json",
        "overlays",
        "kept.csv",
        "rejected.csv",
    }
    rows = command_line.table(folder / "results" / "results.csv")
    first = {column: rows[0][column] for column in ("well", "site", "channel")}
    assert first == {"well": "A01", "site": "1", "channel": "dna"}
    assert {row["well"] for row in rows} == {"A01", "A02", "B01", "B02", "B03"}
    statuses = [row["status"] for row in rows if not row["z"]]
    statuses += [row["status"] for row in command_line.table(folder / "results" / "stacks.csv")]
    assert [statuses.count(one) for one in ("in_focus", "out_of_focus", "mixed")] == [4, 2, 1]


def test_names_of_an_instrument_are_told_as_the_tutorial_says(tmp_path):
    (line,) = (one for one in blocks("tutorial.md", "text") if one.startswith("Names as"))
    name = re.search(r"\S+\.tif", line)[0]
    for one in (name, name.replace("B02", "B03")):
        shutil.copy(DOCS / "sample" / "A01_s1_dna.tif", tmp_path / one)
    said = words(command_line.measure(tmp_path))
    assert words(line) in said.replace(f"{tmp_path}/", "")


def test_other_names_beside_those_of_an_instrument_are_read_as_the_tutorial_says(tmp_path):
    ((layout, pattern),) = re.findall(r"`--layout (\w+) --pattern '(.+)'`", text_of("tutorial.md"))
    names = ["day1_B02_s1_w1.tif", "day1_B03_s1_w1.tif", "B04_overview.tif"]
    for name in names:
        shutil.copy(DOCS / "sample" / "A01_s1_dna.tif", tmp_path / name)
    told = {}
    for more in ([], ["--pattern", pattern], ["--layout", layout, "--pattern", pattern]):
        command_line.measure(tmp_path, "--out", tmp_path / "out", *more)
        rows = command_line.table(tmp_path / "out" / "results.csv")
        told[len(more)] = {row["file"]: (row["plate"], row["well"]) for row in rows}
    by_layout = {names[0]: ("day1", "B02"), names[1]: ("day1", "B03")}
    assert told[0] == {**by_layout, names[2]: ("", "")}
    assert told[2] == {**dict.fromkeys(by_layout, ("", "")), names[2]: ("", "B04")}
    assert told[4] == {**by_layout, names[2]: ("", "B04")}


@pytest.mark.skipif(os.name == "nt", reason="the other line is for Windows")
def test_the_line_of_the_tutorial_activates_an_environment(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    (line,) = blocks("tutorial.md", "shell")
    done = subprocess.run(
        ["sh", "-ec", f"{line}command -v python"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(tmp_path / ".venv" / "bin" / "python"), done.stderr
    assert blocks("tutorial.md", "powershell") == [".venv\\Scripts\\Activate.ps1\n"]


def test_patterns_of_the_tutorial_find_what_they_name():
    _, _, *rows = table_rows("tutorial.md", "patterns")
    wells = []
    for name, pattern in rows:
        file = re.search(r"`(.+?)`", name)[1]
        naming = Naming(pattern.strip("`"))
        naming.add([(file, Path("/data") / file)])
        wells.append(naming[file].groups.get("well"))
    assert wells == ["B07", "C11", "B07", None, "B07"]


def test_the_parts_of_the_pattern_make_the_pattern():
    rows = re.findall(r"^\| `.+?` \| .+ \| `(.+?)` \|$", text_of("tutorial.md"), re.MULTILINE)
    assert f"--pattern '{''.join(rows[:5])}'" in text_of("tutorial.md")


@pytest.mark.readme
def test_the_tutorial_lists_what_to_retake_and_copies_the_others(beginner):
    folder, said = beginner("tutorial.md")
    (shown,) = (text for text in blocks("tutorial.md", "text") if "rejected" in text)
    assert words(said["microscope-quality select results"]) == words(shown)
    columns, _, *wanted = table_rows("tutorial.md", "rejected")
    rows = command_line.table(folder / "results" / "rejected.csv")
    assert [[row[column] for column in columns] for row in rows] == wanted
    assert [row["file"] for row in rows] == REJECTED
    kept = {path.name for path in (folder / "kept").iterdir()}
    assert kept == {path.name for path in (DOCS / "sample").iterdir()} - {*REJECTED}
    rows = command_line.table(folder / "results" / "kept.csv")
    assert {row["file"] for row in rows} == kept


@pytest.mark.readme
def test_only_retaken_images_are_measured_again(beginner, tmp_path):
    folder, _ = beginner("tutorial.md")
    shutil.copytree(folder / "sample", tmp_path / "sample")
    shutil.copytree(folder / "results", tmp_path / "results")
    shutil.copy(tmp_path / "sample" / "A01_s2_dna.tif", tmp_path / "sample" / "A02_s1_dna.tif")
    for path in (tmp_path / "sample").iterdir():
        if path.name != "A02_s1_dna.tif":
            shutil.copystat(folder / "sample" / path.name, path)
    (command,) = (
        line for block in blocks("tutorial.md", "sh") for line in block.splitlines() if "-2" in line
    )
    again = shlex.split(command.replace("results-2", "results").replace("--in-focus-limit 2", ""))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        said = command_line.run(*again[1:]).stdout
    (shown,) = (one for one in blocks("tutorial.md", "text") if "measured before" in one)
    # A time that is another one each time.
    shown, said = (re.sub(r"\d+T\d+Z", "…", words(one)) for one in (shown, said))
    assert said.endswith(shown)
    rows = command_line.table(tmp_path / "results" / "results.csv")
    assert [row["status"] for row in rows if row["file"] == "A02_s1_dna.tif"] == ["in_focus"]
    said = command_line.run("select", tmp_path / "results", "--keep-no-content").stdout
    assert "Wells with a rejected image: A02 B01\n" in said
    rows = command_line.table(tmp_path / "results" / "rejected.csv")
    assert [row["file"] for row in rows] == REJECTED[1:3]


@pytest.mark.readme
def test_wrong_optics_hide_blur_as_the_page_on_limits_says(beginner):
    folder, _ = beginner("limit.md")
    name, hidden, level = re.search(
        r"`(\S+\.tif)` of the .*? reads ([\d.]+) in place of ([\d.]+)\.", words(text_of("limit.md"))
    ).groups()
    rows = command_line.table(folder / "rescaled" / "results.csv")
    (row,) = (row for row in rows if row["file"] == name)
    assert f"{float(row['expected_level']):.1f}" == hidden
    assert row["status"] == "in_focus"
    here = measure_focus(np.asarray(Image.open(folder / "sample" / name)))
    assert f"{here.expected_level:.1f}" == level
    assert {row["binning"] for row in rows} == {"2"}


@pytest.mark.readme
def test_the_script_for_a_limit_counts_errors(beginner):
    folder, _ = beginner("limit.md")
    (script,) = blocks("limit.md", "python", "limits")
    done = subprocess.run(
        command_line.example(script), cwd=folder, capture_output=True, text=True, check=True
    )
    rows = command_line.table(folder / "calibrated" / "results.csv")
    level = {row["file"] + row["z"]: float(row["expected_level"]) for row in rows}
    good = [number for name, number in level.items() if name.startswith("good/")]
    bad = [number for name, number in level.items() if name.startswith("bad/")]
    assert len(good) == 3 + 8
    assert len(bad) == 2
    lost, kept = sum(one > 1.5 for one in good), sum(one <= 5 for one in bad)
    assert f"limit 1.5: {lost} good ones lost, 0 bad ones kept" in done.stdout
    assert f"limit 5: 0 good ones lost, {kept} bad ones kept" in done.stdout
    assert len(list((folder / "calibrated" / "overlays").iterdir())) == len(rows)


@pytest.mark.browser
def test_the_report_saves_the_lists_that_the_tutorial_makes(beginner, browser):
    folder, _ = beginner("tutorial.md")
    tab = browser.new_page()
    tab.goto((folder / "results" / "report.html").as_uri())
    tab.wait_for_selector("html[data-ready]")
    for button, name in (("#save-rejected", "rejected.csv"), ("#save-kept", "kept.csv")):
        with tab.expect_download() as download:
            tab.click(button)
        assert download.value.suggested_filename == name
        assert download.value.path().read_bytes() == (folder / "results" / name).read_bytes()
    tab.uncheck("text=images without content")
    tab.wait_for_selector("#kept-count:text-is('5 images kept, 3 thrown out')")
    tab.close()


# The site.


class Page(HTMLParser):
    """What a page of the site has."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.loaded, self.links, self.text = set(), [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids.add(given.get("id"))
        if tag == "a":
            self.links.append(given.get("href") or "")
        else:
            self.loaded += [given[name] for name in ("src", "href", "srcset") if given.get(name)]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built with every warning an error."""
    if not all(map(find_spec, ("material", "mkdocs", "mkdocstrings"))):
        hosts.missing("pip install 'microscope-quality[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=TOP,
        env=command_line.environment(NO_MKDOCS_2_WARNING="1"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def pages_of(site):
    return sorted(path for path in site.rglob("*.html") if path.name != "404.html")


@pytest.mark.site
def test_a_page_of_the_site_for_each_page(site):
    built = {path.relative_to(site).with_suffix(".md").as_posix() for path in pages_of(site)}
    assert built == {*PAGES, *ELSEWHERE} - {"README.md"} | {"index.md"}


@pytest.mark.site
def test_the_site_loads_nothing_from_elsewhere(site):
    for path in pages_of(site):
        page = Page(path)
        assert len(page.loaded) > 3
        assert not [one for one in page.loaded if re.match(r"(https?:)?//", one)], path.name
        for one in page.loaded:
            if not one.startswith(("data:", "#")):
                assert (path.parent / one.partition("#")[0].partition("?")[0]).exists(), one
    for path in site.rglob("*.css"):
        style = path.read_text(encoding="utf-8")
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", style), path.name


@pytest.mark.site
def test_links_of_the_site_lead_to_places_in_it(site):
    known = {path: Page(path) for path in pages_of(site)}
    for path, page in known.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            if re.match(r"\w+:", target) or not link:
                continue
            to = Path(os.path.normpath(path.parent / target)) if target else path
            assert to.exists(), f"{path.name}: {link}"
            if anchor and to in known:
                assert unquote(anchor) in known[to].ids, f"{path.name}: {link}"


@pytest.mark.site
def test_links_out_of_the_pages_lead_to_the_repository(site):
    addresses = {link for path in pages_of(site) for link in Page(path).links}
    inside = {one for one in addresses if "/microscope-quality/microscope-quality/" in one}
    told = {re.sub(r".*?/(blob|tree)/main/", "", one.partition("#")[0]) for one in inside}
    told = {one for one in told if ":" not in one}
    assert len(told) > 10
    assert not [one for one in told if not (TOP / one).exists()]


@pytest.mark.site
def test_the_site_hands_out_the_sample(site):
    with zipfile.ZipFile(site / "sample.zip") as archive:
        names = {f"sample/{path.name}" for path in (DOCS / "sample").iterdir()}
        assert {*archive.namelist()} == names
    assert "sample.zip" in Page(site / "tutorial.html").links
    assert not (site / "sample").exists()


COMMANDS = [
    *(
        "measure",
        "rate",
        "watch",
        "report",
        "select",
        "retake",
        "verify",
        "label",
        "agreement",
        "study",
    ),
    *("synthesize", "train", "unseen", "evaluate"),
    *("models list", "models verify", "models show", "models export", "models export-fiji"),
    *("plugin cellprofiler", "plugin fiji"),
]


def test_the_table_of_exit_codes_has_every_command():
    table = text_of("reference/commands.md").split("| command |")[1].split("\n\n")[0]
    told = re.findall(r"`([a-z-]+(?: [a-z-]+)?)`", "".join(re.findall(r"(?m)^\| (`.*?) \|", table)))
    assert told == COMMANDS
    told = words(command_line.run("--help").stdout)
    assert all(re.search(rf"│ {name.split()[0]} ", told) for name in COMMANDS)


@pytest.mark.site
def test_the_page_of_commands_has_every_option(site):
    page = words("".join(Page(site / "reference" / "commands.html").text))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "250")
        for command in COMMANDS:
            said = command_line.run(*command.split(), "--help").stdout
            part = page.split(f"microscope-quality {command} ", 1)[1]
            options = {*re.findall(r"(?m)^│\s+\*?\s*(--[a-z][a-z-]+)", said)} - {"--help"}
            assert options or command.startswith("models")
            assert not [one for one in options if one not in part], command
    assert "csv|json" in page
    assert "\\|" not in page
    assert "in the repository, ask" not in page
    assert "Unless set: 300 20000." in page


@pytest.mark.site
@pytest.mark.browser
def test_options_are_not_broken_at_their_dashes(site, browser):
    tab = browser.new_page(viewport=PHONE)
    for page in ("tutorial.html", "reference/commands.html"):
        tab.goto((site / page).as_uri())
        lines = "nodes => nodes.map(n => [n.textContent, n.getClientRects().length])"
        found = tab.eval_on_selector_all(".unbroken", lines)
        assert len([text for text, _ in found if text.startswith("--")]) > 10
        assert not [text for text, number in found if number > 1]
        # None is left in code that may be broken.
        codes = tab.eval_on_selector_all(
            ":not(pre) > code:not(.unbroken)", "nodes => nodes.map(n => n.innerHTML)"
        )
        assert any('class="unbroken">--' in code for code in codes)
        assert not [code for code in codes if re.search(r"(^|\s)--[a-z]", code)]
    tab.close()


@pytest.mark.site
def test_the_reference_has_everything_that_is_imported(site):
    ids = Page(site / "reference" / "python.html").ids
    public = [name for name in microscope_quality.__all__ if not name.startswith("_")]
    named = {str(one).rpartition(".")[2] for one in ids if str(one).count(".") in (1, 2)}
    assert set(public) <= named
    assert "microscope_quality.FocusModel.predict" in ids
    errors = [
        name for name, one in vars(microscope_quality.errors).items() if isinstance(one, type)
    ]
    assert not [name for name in errors if f"microscope_quality.errors.{name}" not in ids]
    assert "microscope_quality.psf.psf" in Page(site / "reference" / "light.html").ids
    assert "fiji_bridge.measure" in Page(site / "reference" / "imagej.html").ids


@pytest.mark.site
@pytest.mark.browser
def test_the_site_opens_from_a_disk(site, browser):
    """It asks for nothing, says nothing, and no page is wider than a phone."""
    for viewport in (DESKTOP, PHONE):
        tab = browser.new_page(viewport=viewport)
        asked, said = [], []
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.on("console", lambda message, said=said: said.append(message.text))
        tab.on("pageerror", lambda error, said=said: said.append(str(error)))
        for path in pages_of(site):
            tab.goto(path.as_uri())
            width = tab.evaluate("document.documentElement.scrollWidth")
            assert width <= viewport["width"], path.name
        assert len(asked) > 100
        assert not [one for one in asked if not one.startswith(("file:", "data:", "blob:"))]
        assert not said
        tab.close()


@pytest.mark.site
@pytest.mark.browser
@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("retake", "tutorial.html"),
        ("63x", "faq.html#40-60-6314-40x-60x-63x"),
        ("under 84 pixels", "faq.html#why-has-my-image-of-under-84-pixels-no-level"),
    ],
)
def test_the_search_works_from_a_disk(site, browser, typed, found):
    tab = browser.new_page(viewport=DESKTOP)
    tab.goto((site / "index.html").as_uri())
    tab.focus(".md-search__input")
    tab.keyboard.type(typed)
    results = tab.locator(".md-search-result__item").first.locator(".md-search-result__link")
    results.first.wait_for()
    addresses = [re.sub(r"\?h=[^#]*", "", link.get_attribute("href")) for link in results.all()]
    assert any(found in one for one in addresses), addresses
    tab.close()


@pytest.mark.site
@pytest.mark.browser
def test_examples_are_seen_whole(site, browser):
    tab = browser.new_page(viewport=DESKTOP)
    wide = "nodes => nodes.filter(n => n.scrollWidth > n.clientWidth).map(n => n.textContent)"
    for page in ("index", "install", "tutorial", "limit", "gallery", "faq", "python", "measures"):
        tab.goto((site / f"{page}.html").as_uri())
        assert tab.eval_on_selector_all("pre > code", wide) == [], page
    tab.close()
