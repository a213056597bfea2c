"""Which images belong together, and that a split keeps them together."""

import pytest

from microscope_quality.errors import SettingsError
from microscope_quality.training.defocus.stream import SharpImage
from microscope_quality.training.fields import GroupBy, split_by_field


def test_a_split_keeps_fields_together_and_is_reproducible():
    images = [
        SharpImage(f"{kind}/{field}_{channel}", kind=kind, field=f"{kind}{field}")
        for kind in "ab"
        for field in range(10)
        for channel in range(3)
    ] + [SharpImage("c/0", kind="c", field="c0")]
    training, validation = split_by_field(images, 0.2, seed=4)
    assert {image.field for image in training}.isdisjoint({image.field for image in validation})
    assert len({image.field for image in validation}) == 4
    assert {image.kind for image in validation} == {"a", "b"}
    assert split_by_field(images, 0.2, seed=4) == (training, validation)
    assert split_by_field(images, 0.2, seed=5) != (training, validation)


@pytest.mark.parametrize("fraction", [-0.1, 0.6])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(SettingsError, match="between 0 and 0.5"):
        split_by_field([SharpImage("a")], fraction, 0)


def test_too_few_fields_are_refused():
    with pytest.raises(SettingsError, match="too few to split"):
        split_by_field([SharpImage("a", field="a"), SharpImage("b", field="b")], 0.2, 0)


def test_what_a_model_has_learned_from_is_not_held_out():
    images = [SharpImage(f"cells/{n}.tif", kind="cells", field=f"f{n // 2}") for n in range(12)]
    for seed in range(5):
        seen = {"cells/0.tif", "cells/3.tif", "cells/4.tif"}
        training, validation = split_by_field(images, 0.5, seed, seen=seen)
        # Six fields; half of them are those of which nothing was seen.
        assert {image.field for image in validation} == {"f3", "f4", "f5"}
        assert {image.field for image in training} == {"f0", "f1", "f2"}
    assert split_by_field(images, 0.2, 3, seen=["cells/no.tif"]) == split_by_field(images, 0.2, 3)
    every = {f"cells/{n}.tif" for n in range(0, 12, 2)}
    with pytest.raises(SettingsError, match="images of 6 of the 6 fields"):
        split_by_field(images, 0.2, 0, seen=every)
    assert split_by_field(images, 0.0, 0, seen=every) == (images, [])


@pytest.mark.parametrize("text", ["(", "[A-P]\\d+", "(?P<z>\\d+)"])
def test_a_pattern_that_names_no_field_is_refused(text):
    with pytest.raises(SettingsError, match="group_by"):
        GroupBy.parse(text)
