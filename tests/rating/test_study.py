"""Tables of scores, trials, and answers that survive any end."""

import csv
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest
import tifffile
from simulated_testers import make_study, scores_of, write_images, write_table
from systems import posix

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.rating.score_tables import read_scores
from microscope_quality.rating.study import (
    ANSWERS,
    COLUMNS,
    STEPS,
    Study,
    StudyImage,
    StudySettings,
    begin_study,
    make_trials,
    pair_scores,
    read_answers,
    read_study,
    shown_score,
    sides,
    step_of,
)

# Tables.


def test_tables_of_images_of_labels_and_of_results_are_read(tmp_path):
    plain = read_scores(
        write_table(tmp_path / "a.csv", [("x.tif", "0.7"), ("y.tif", ""), ("z", 1)])
    )
    assert plain.scores == {("x.tif", None, None, None): 0.7, ("z", None, None, None): 1.0}
    assert plain.without_score == 1
    header = ("image", "y", "x", "size", "score", "rater", "repeat")
    rows = [
        ("x.tif", 1, 2, 64, 0.2, "Ada", 0),
        ("x.tif", 1, 2, 64, 0.4, "Ada", 0),
        ("x.tif", 1, 2, 64, 0.5, "Ada", 1),
        ("x.tif", 1, 2, 64, 0.8, "Ben", 0),
        ("x.tif", 9, 2, 64, 1, "Ben", 0),
        ("y.tif", "", "", "", "", "Ben", 0),
    ]
    labels = read_scores(write_table(tmp_path / "labels.csv", rows, header))
    # Ada corrected 0.2 to 0.4, and said 0.5 at the second showing: 0.45; with Ben's 0.8.
    assert labels.scores == {
        ("x.tif", 1, 2, 64): pytest.approx(0.625, abs=1e-12),
        ("x.tif", 9, 2, 64): 1.0,
    }
    rows = [
        ("p.tif", 0, 0.5, ""),
        ("p.tif", 1, 0.6, ""),
        ("q.tif", 0, 0.25, ""),
        ("r.tif", "", "", "bad"),
    ]
    results = read_scores(write_table(tmp_path / "r.csv", rows, ("file", "z", "score", "error")))
    assert [place[0] for place in results.scores] == ["p.tif#z=0", "p.tif#z=1", "q.tif"]
    assert results.without_score == 1


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        (("image", "score"), [("x", "0.5"), ("y", "good")], "line 3, column score: found 'good'"),
        (("image", "score"), [("x", "0.5"), ("y", "5")], "line 3, column score: found '5'"),
        (("file", "score"), [("x", "0.5"), ("y", "-1")], "line 3, column score: found '-1'"),
        (("file", "score"), [("x", "0.5"), ("y", "nan")], "line 3, column score: found 'nan'"),
        (
            ("image", "score"),
            [("x", ".5"), ("y", 1), ("x", 1)],
            "line 4: 'x' has a score in line 2",
        ),
        (("file", "score"), [("x", ".5"), ("y", 1), ("x", 1)], "line 4: 'x' has a score in line 2"),
        (("file", "level"), [("x", 1)], "lacks the column score"),
        (("name", "score"), [("x", 1)], "lacks the column image"),
        (("image;score",), [("x;1",)], "save it with commas"),
        (("image", "score"), [("x", "")], "has no row with a score"),
        (("file", "score"), [("x", "")], "has no row with a score"),
        (("file", "score"), [("x", 1, 2)], "line 2 is damaged (3 fields under 2 columns)"),
    ],
)
def test_what_is_wrong_in_a_table_is_told_with_its_line(tmp_path, header, rows, said):
    path = write_table(tmp_path / "a.csv", rows, header)
    with pytest.raises(FileError) as raised:
        read_scores(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert said in str(raised.value)


def test_a_table_that_is_missing_or_empty_is_told(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        read_scores(tmp_path / "none.csv")
    (tmp_path / "empty.csv").touch()
    with pytest.raises(FileError, match="is empty; it must have the columns image and score"):
        read_scores(tmp_path / "empty.csv")


def test_images_are_found_by_name_path_or_last_part_and_what_is_left_out_is_told(tmp_path):
    images = write_images(tmp_path / "images", 6)
    a = write_table(
        tmp_path / "a.csv", [(f"s00{k}.png", 0.1 * k) for k in (0, 1, 2, 3)] + [("w", 1)]
    )
    rows = [
        ("images/s000.png", 0.3),
        ("elsewhere/s001.png", 0.2),
        ("s004.png", 0.9),
        ("s003.png", 1),
    ]
    b = write_table(tmp_path / "b.csv", [*rows, ("s005.png", "")], ("file", "score"))
    paired, notes = pair_scores(images, read_scores(a), read_scores(b))
    assert [(one.name, one.target, one.prediction) for one in paired] == [
        ("s000.png", 0, 0.3),
        ("s001.png", 0.1, 0.2),
        ("s003.png", pytest.approx(0.3), 1),
    ]
    assert notes == [
        f"Left out, named in {a} and not found: 1 image, w.",
        f"1 row has no score in {b}.",
        f"Left out, with a score in {a} alone: 1 image, s002.png.",
        f"Left out, with a score in {b} alone: 1 image, s004.png.",
        "Left out, without a score: 1 image, s005.png.",
    ]


def test_tables_without_a_common_image_one_score_for_all_and_names_of_one_image(tmp_path):
    images = write_images(tmp_path / "images", 3)
    a = read_scores(write_table(tmp_path / "a.csv", [("s000.png", 0.1), ("s001.png", 0.2)]))
    b = read_scores(write_table(tmp_path / "b.csv", [("s002.png", 0.1)]))
    with pytest.raises(SettingsError, match="No image has a score in both"):
        pair_scores(images, a, b)
    same = read_scores(write_table(tmp_path / "c.csv", [("s000.png", 0.5), ("s001.png", 0.5)]))
    with pytest.raises(SettingsError, match="one score, 0.5, for all 2 images"):
        pair_scores(images, a, same)
    twice = write_table(tmp_path / "d.csv", [("s000.png", 0.5), ("images/s000.png", 0.6)])
    with pytest.raises(FileError, match="are the same image"):
        pair_scores(images, a, read_scores(twice))


def test_images_that_cannot_be_read_are_left_out_before_anybody_sees_them(tmp_path):
    images = write_images(tmp_path / "images", 4)
    images[1][1].write_bytes(b"no image")
    tifffile.imwrite(
        tmp_path / "images/stack.tif", np.zeros((5, 20, 20), np.uint8), photometric="minisblack"
    )
    images.append(("stack.tif", tmp_path / "images/stack.tif"))
    header = ("image", "y", "x", "size", "score")
    rows = [
        ("s000.png", "", "", "", 0.1),
        ("s001.png", "", "", "", 0.2),
        ("s002.png", 40, 0, 16, 0.3),
        ("s003.png", 32, 0, 16, 0.4),
        ("stack.tif#z=1", "", "", "", 0.5),
        ("stack.tif", "", "", "", 0.6),
        ("stack.tif#z=7", "", "", "", 0.7),
    ]
    a, b = (read_scores(write_table(tmp_path / name, rows, header)) for name in ("a.csv", "b.csv"))
    paired, _ = pair_scores(images, a, b)
    record, notes = begin_study(tmp_path / "study", paired, a, b)
    assert [(one.name, one.y) for one in record.images] == [
        ("s000.png", None),
        ("s003.png", 32),
        ("stack.tif#z=1", None),
    ]
    assert len(notes) == 1 and "s001.png: is not a" in notes[0] and "and 3 more" in notes[0]
    with pytest.raises(SettingsError, match="No image can be read"):
        begin_study(tmp_path / "other", [paired[1]], a, b)


# Scores as they are shown.


def test_scores_are_shown_in_the_coarser_step_so_that_digits_do_not_tell():
    hand, network = [0.1, 0.8, 1.0, 0.3], [0.73, 0.811, 0.2]
    assert step_of(hand, network) == 0.1
    assert step_of([0.05, 0.9], network) == 0.05
    assert step_of(network, [0.123]) == 0.01
    assert shown_score(0.8, 0.1) == "0.8" and shown_score(0.73, 0.1) == "0.7"
    assert shown_score(0.875, 0.05) == "0.90" and shown_score(0.87, 0.02) == "0.88"
    for step in STEPS:
        for k in range(round(1 / step) + 1):
            assert float(shown_score(k * step, step)) == pytest.approx(k * step, abs=1e-12)
    assert shown_score(0.15, 0.1) == "0.2" and shown_score(0.25, 0.1) == "0.3"


# Trials.


def study_images(number=200):
    target, prediction, _ = scores_of(number)
    return [
        StudyImage(f"{k}", f"/{k}", None, None, None, a, b)
        for k, (a, b) in enumerate(zip(target, prediction))
    ]


def test_each_image_is_shown_once_and_a_share_again_later():
    images = study_images()
    training = [0.11, 0.22, 0.33]
    trials = make_trials(images, training, StudySettings(baseline=0.25, repeats=0.1), "Ada")
    assert Counter(trial.showing for trial in trials) == {
        "study": 200,
        "baseline": 50,
        "repeat": 20,
    }
    assert sorted(trial.image for trial in trials if trial.showing == "study") == list(range(200))
    first = {trial.image: k for k, trial in enumerate(trials) if trial.showing == "study"}
    for k, trial in enumerate(trials):
        if trial.showing != "study":
            assert k > first[trial.image]
        expected = training if trial.showing == "baseline" else [images[trial.image].prediction]
        assert trial.other in expected
    # Bad and good ones are shown again alike: at equal steps in the order of targets.
    for showing, every in (("baseline", 4), ("repeat", 10)):
        ranks = np.argsort(np.argsort([image.target for image in images], kind="stable"))
        again = sorted(ranks[trial.image] for trial in trials if trial.showing == showing)
        assert len(set(again)) == len(again)
        assert max(np.diff(again)) <= 2 * every


def test_orders_are_each_tester_s_own_and_come_again_with_the_seed():
    images, settings = study_images(), StudySettings(seed=5)
    ada = make_trials(images, [0.5], settings, "Ada")
    assert ada == make_trials(images, [0.5], settings, "Ada")
    ben = make_trials(images, [0.5], settings, "Ben")
    assert [trial.image for trial in ada] != [trial.image for trial in ben]
    assert ada != make_trials(images, [0.5], StudySettings(seed=6), "Ada")


def test_the_side_of_the_target_tells_nothing():
    """Of 11 testers, 200 trials each: within four deviations of a half, whatever the scores."""
    images = study_images()
    training = np.linspace(0, 1, 41).tolist()
    settings = StudySettings(baseline=1, repeats=0)
    drawn = [
        trial for name in "abcdefghijk" for trial in make_trials(images, training, settings, name)
    ]
    for showing in ("study", "baseline"):
        left = [trial.target_is_left for trial in drawn if trial.showing == showing]
        assert abs(np.mean(left) - 0.5) < 4 * 0.5 / math.sqrt(len(left))
    higher = [
        trial.target_is_left
        for trial in drawn
        if trial.showing == "study" and images[trial.image].target > trial.other
    ]
    assert abs(np.mean(higher) - 0.5) < 4 * 0.5 / math.sqrt(len(higher))
    # Random scores are drawn from all training scores alike.
    counts = Counter(trial.other for trial in drawn if trial.showing == "baseline")
    assert set(counts) == set(training)
    mean = 2200 / 41
    assert max(abs(count - mean) for count in counts.values()) < 5 * math.sqrt(mean)


def test_without_shares_and_of_few_images_there_is_each_once():
    images = study_images(3)
    trials = make_trials(images, [0.5], StudySettings(baseline=0, repeats=0), "Ada")
    assert sorted(trial.image for trial in trials) == [0, 1, 2]
    trials = make_trials(images, [0.5], StudySettings(baseline=1, repeats=1), "Ada")
    assert Counter(trial.showing for trial in trials) == {"study": 3, "baseline": 3, "repeat": 3}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"baseline": 1.5}, "baseline must be from 0 to 1"),
        ({"repeats": -0.1}, "repeats must be from 0 to 1"),
        ({"step": 0.3}, "step must be one of 0.1, 0.05, 0.02, 0.01"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"seed": "x"}, "seed must be a whole number"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    with pytest.raises(SettingsError, match=said):
        StudySettings(**settings)


# A study in a folder.


def rows_of(folder):
    with (folder / ANSWERS).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_answers_are_rows_and_the_study_goes_on(tmp_path):
    folder = make_study(tmp_path)
    with Study(folder) as study:
        ada = study.add_tester("  Ada \n Lovelace ")
        assert ada.name == "Ada Lovelace"
        assert study.answer(ada, 1, "left", 2.345, 1)
        assert study.answer(ada, 2, "discard", 1, 1)
    with Study(folder) as study:
        (tester,) = study.record.testers
        assert tester == ada
        assert study.done(tester) == 2
        # Sent again, as by a browser that had no answer: nothing is added.
        assert not study.answer(tester, 2, "discard", 9, 1)
        assert study.answer(tester, 2, "equivalent", 3, 2)
        assert study.answer(tester, 3, "right", 3, 1)
    rows = rows_of(folder)
    assert [(row["trial"], row["revision"]) for row in rows] == [
        *(("1", "1"), ("2", "1"), ("2", "2"), ("3", "1"))
    ]
    record = read_study(folder)
    for row in rows:
        trial = ada.trials[int(row["trial"]) - 1]
        image = record.images[trial.image]
        assert (row["image"], float(row["target"])) == (image.name, image.target)
        assert float(row["other"]) == trial.other
        assert (row["left"], row["right"]) == sides(record, trial)
    first = ada.trials[0]
    assert rows[0]["choice"] == ("target" if first.target_is_left else "prediction")
    last = ada.trials[2]
    assert rows[3]["choice"] == ("prediction" if last.target_is_left else "target")
    found = read_answers(folder)
    assert [(one.trial, one.choice) for one in found] == [
        (1, rows[0]["choice"]),
        (2, "equivalent"),
        (3, rows[3]["choice"]),
    ]


def test_what_is_no_answer_is_refused(tmp_path):
    folder = make_study(tmp_path)
    with Study(folder) as study:
        ada = study.add_tester("Ada")
        with pytest.raises(SettingsError, match="trial 2 is not the next one"):
            study.answer(ada, 2, "left", 1, 1)
        with pytest.raises(SettingsError, match="pressed must be one of"):
            study.answer(ada, 1, "target", 1, 1)
        with pytest.raises(SettingsError, match="seconds must be from 0"):
            study.answer(ada, 1, "left", -1, 1)
        assert study.answer(ada, 1, "equivalent", 1, 1)
        for revision in (1, 3, 0):
            with pytest.raises(SettingsError, match="answered elsewhere in the meantime"):
                study.answer(ada, 1, "discard", 1, revision)
        for name in ("", "  ", "x" * 61, "a\x07b", "ADA"):
            with pytest.raises(SettingsError, match="tester"):
                study.add_tester(name)
    assert len(rows_of(folder)) == 1


def test_scores_that_look_the_same_cannot_be_told_apart(tmp_path):
    images = write_images(tmp_path / "images", 2)
    a = read_scores(write_table(tmp_path / "a.csv", [("s000.png", 0.3), ("s001.png", 0.8)]))
    b = read_scores(write_table(tmp_path / "b.csv", [("s000.png", 0.31), ("s001.png", 0.2)]))
    paired, _ = pair_scores(images, a, b)
    begin_study(tmp_path / "study", paired, a, b, settings=StudySettings(baseline=0, repeats=0))
    with Study(tmp_path / "study") as study:
        ada = study.add_tester("Ada")
        for number in (1, 2):
            if sides(study.record, ada.trials[number - 1]) == ("0.3", "0.3"):
                with pytest.raises(SettingsError, match="both scores are 0.3"):
                    study.answer(ada, number, "left", 1, 1)
            study.answer(ada, number, "equivalent", 1, 1)


def test_one_process_conducts_a_study_and_results_can_be_read_meanwhile(tmp_path):
    folder = make_study(tmp_path)
    with Study(folder) as study:
        ada = study.add_tester("Ada")
        with pytest.raises(FileError, match="another process conducts the study"):
            Study(folder)
        study.answer(ada, 1, "discard", 1, 1)
        assert [one.choice for one in read_answers(folder)] == ["discard"]
    with Study(folder):
        pass


def test_a_folder_goes_on_with_its_own_study_alone(tmp_path):
    folder = make_study(tmp_path, number=6, seed=0)
    record = read_study(folder)
    assert make_study(tmp_path, number=6, seed=0) == folder
    assert read_study(folder) == record
    for changed in (
        {"seed": 1},
        {"number": 5},
        {"baseline": 0.5},
        {"repeats": 0.3},
        {"step": 0.05},
    ):
        with pytest.raises(SettingsError, match="has a study already, with other"):
            make_study(tmp_path, **{"number": 6, "seed": 0, **changed})
    training = write_table(tmp_path / "c.csv", [("x", 0.5), ("y", 0.6)])
    with pytest.raises(SettingsError, match="with other training scores"):
        make_study(tmp_path, number=6, seed=0, training=training)
    assert read_study(folder) == record


def test_images_that_were_moved_are_found_where_they_are_now(tmp_path):
    folder = make_study(tmp_path / "old", number=4)
    (tmp_path / "old/images").rename(tmp_path / "moved")
    names = sorted((tmp_path / "moved").iterdir())
    a, b = (read_scores(tmp_path / "old" / name) for name in ("a.csv", "b.csv"))
    paired, _ = pair_scores([(path.name, path) for path in names], a, b)
    record, _ = begin_study(folder, paired, a, b)
    assert [one.path for one in record.images] == [str(path) for path in names]
    assert read_study(folder) == record


def test_what_is_damaged_is_told(tmp_path):
    with pytest.raises(FileError, match="has no study in it"):
        read_study(tmp_path)
    folder = make_study(tmp_path)
    with Study(folder) as study:
        ada = study.add_tester("Ada")
        study.answer(ada, 1, "discard", 1, 1)
        study.answer(ada, 2, "discard", 1, 1)
    table = folder / ANSWERS
    good = table.read_bytes()
    table.write_bytes(good.replace(b"discard", b"perhaps", 1))
    with pytest.raises(FileError, match=r"answers.csv: line 2 is damaged: 'study', 'perhaps'"):
        read_answers(folder)
    table.write_bytes(good)
    content = json.loads((folder / "study.json").read_text("utf-8"))
    for changed in ({"schema": 9}, {"images": [{}]}, {"testers": 3}, {"images": []}):
        (folder / "study.json").write_text(json.dumps({**content, **changed}), "utf-8")
        with pytest.raises(FileError, match=r"study.json: is damaged"):
            read_study(folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / ANSWERS).write_text("mine\n")
    a, b = (read_scores(tmp_path / name) for name in ("a.csv", "b.csv"))
    with pytest.raises(FileError, match="is there without its study.json"):
        begin_study(other, list(read_study_images(content)), a, b)
    assert (other / ANSWERS).read_text() == "mine\n"


def read_study_images(content):
    return (StudyImage(**image) for image in content["images"])


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_what_a_killed_process_left_of_a_row_is_cut_off(tmp_path, cut):
    folder = make_study(tmp_path, number=4)
    with Study(folder) as study:
        ada = study.add_tester("Ada")
        for number in (1, 2):
            study.answer(ada, number, "discard", 1, 1)
    table = folder / ANSWERS
    content = table.read_bytes()
    table.write_bytes(content[:-cut])
    assert [one.trial for one in read_answers(folder)] == [1]
    with Study(folder) as study:
        assert study.done(ada) == 1
        assert study.answer(ada, 2, "equivalent", 1, 1)
    assert [row["choice"] for row in rows_of(folder)] == ["discard", "equivalent"]


def test_a_disk_that_refuses_loses_nothing_and_keeps_no_half_row(tmp_path, monkeypatch):
    folder = make_study(tmp_path, number=4)
    with Study(folder) as study:
        ada = study.add_tester("Ada")
        study.answer(ada, 1, "discard", 1, 1)
        before = (folder / ANSWERS).read_bytes()
        write = os.write
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda file, content: write(file, content[:10]))
            with pytest.raises(FileError, match="cannot be written: only 10 of"):
                study.answer(ada, 2, "discard", 1, 1)
        assert (folder / ANSWERS).read_bytes() == before
        assert study.done(ada) == 1
        study.answer(ada, 2, "discard", 1, 1)
    assert len(rows_of(folder)) == 2


ANSWERING = """
import sys
from microscope_quality.rating.study import Study
with Study(sys.argv[1]) as study:
    (tester,) = study.record.testers
    while study.done(tester) < len(tester.trials):
        number = study.done(tester) + 1
        study.answer(tester, number, "equivalent", 1, 1)
        print(number, flush=True)
"""


@pytest.mark.long
@posix
def test_killed_at_any_moment_no_answer_is_lost_or_doubled(tmp_path):
    folder = make_study(tmp_path, number=60, baseline=0.5, repeats=0.5)
    with Study(folder) as study:
        study.add_tester("Ada")
    told = []
    for after in itertools.cycle((1, 4, 8, 9)):
        process = subprocess.Popen(
            [sys.executable, "-c", ANSWERING, str(folder)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(after):
            line = process.stdout.readline()
            if not line:
                break
            told.append(int(line))
        process.send_signal(signal.SIGKILL)
        # What it still said before its end counts as told.
        told += [int(line) for line in process.stdout if line.endswith("\n")]
        process.stdout.close()
        process.wait()
        kept = [one.trial for one in read_answers(folder)]
        # One more may be on the disk of which nobody was told.
        assert kept == list(range(1, len(kept) + 1))
        assert told[-1] <= len(kept) <= told[-1] + 1
        # It goes on behind what is kept, of which one may not have been told.
        assert len(set(told)) == len(told)
        if len(kept) == 120:
            break
    rows = rows_of(folder)
    assert [int(row["trial"]) for row in rows] == list(range(1, 121))
    assert all(list(row) == list(COLUMNS) for row in rows)


def test_two_testers_answer_at_the_same_time(tmp_path):
    folder = make_study(tmp_path, number=20)
    with Study(folder) as study:
        testers = [study.add_tester(name) for name in ("Ada", "Ben", "Cem", "Dee")]

        def answer_all(tester):
            for number in range(1, len(tester.trials) + 1):
                study.answer(tester, number, "equivalent", 1, 1)

        threads = [threading.Thread(target=answer_all, args=(one,)) for one in testers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    counted = Counter(row["tester"] for row in rows_of(folder))
    assert counted == {one.name: len(one.trials) for one in testers}
    assert len(testers[0].trials) == 27
