"""What a training shows: a log keeps lines, a terminal has one that moves."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from microscope_quality.cli import training_display as command
from microscope_quality.cli.training_display import Display

DOING = "measuring the model on 50,000 empty patches"


def screen(*, terminal):
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, highlight=False, width=100), file


def measuring(*done, of=50):
    """Records as of parts that took a second each."""
    yield {"doing": DOING, "done": done[0], "of": of}
    for number in done[1:]:
        yield {"doing": DOING, "done": number, "of": of, "seconds_left": float(of - number)}


def test_a_log_says_what_begins_and_now_and_then_how_far_it_is(monkeypatch):
    console, file = screen(terminal=False)
    clock = iter([0, 29.9, 31, 31, 45, 62, 62])
    monkeypatch.setattr(command.time, "monotonic", lambda: next(clock))
    with Display(console) as display:
        for record in measuring(0, 12, 25, 30, 48):
            display.show(record)
    begun, *lines = file.getvalue().splitlines()
    assert begun == f"{DOING} …"
    assert [line.split() for line in lines] == [
        ["50%", "25", "s", "left"],
        ["96%", "2", "s", "left"],
    ]


def test_a_log_says_what_is_done_already():
    console, file = screen(terminal=False)
    with Display(console) as display:
        display.show({"goes_on_from": 250, "steps": 250})
        for record in measuring(20, 21):
            display.show(record)
    first, second = file.getvalue().splitlines()
    assert first.split() == ["step", "250", "all", "steps", "are", "done", "already"]
    assert second == f"{DOING} (40% is done already) …"


def test_a_terminal_has_one_line_that_moves():
    console, file = screen(terminal=True)
    with Display(console) as display:
        for record in measuring(0, 10):
            display.show(record)
        display._line.refresh()
        assert "20%" in file.getvalue()
        assert "40 s left" in file.getvalue()
        display.show({"doing": DOING, "done": 50, "of": 50, "seconds_left": 0.0})
        before = len(file.getvalue())
        display._line.refresh()
        assert "left" not in file.getvalue()[before:]
    assert file.getvalue().count(DOING) == 1


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "No step was kept"),
        ([{"goes_on_from": 500, "steps": 6000}], "out holds step 500"),
        (
            [
                {"goes_on_from": 500, "steps": 6000},
                {"step": 750, "loss": 0.1, "patches_per_second": 9, "seconds_left": 1.0},
                *measuring(0, 1),
            ],
            "out holds step 750",
        ),
    ],
)
def test_an_interruption_says_what_is_kept(records, said):
    console, _ = screen(terminal=False)
    display = Display(console)
    for record in records:
        display.show(record)
    assert display.kept(Path("out")) == said


@pytest.mark.parametrize(("within_one", "warned"), [(0.89, True), (0.95, False)])
def test_a_model_that_is_no_help_is_said_to_be_none(within_one, warned):
    console, file = screen(terminal=False)
    found = {"exact": 0.5, "within_one": within_one, "calibration_error": 0.1}
    Display(console).show(
        {
            "validation_images": {"images": 11, **found},
            "validation_patches": {"patches": 99, **found},
        }
    )
    assert ("--from compact" in file.getvalue()) == warned
