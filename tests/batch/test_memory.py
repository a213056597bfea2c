"""Amounts of memory in words."""

from __future__ import annotations

import pytest

from microscope_quality.batch.memory import bytes_in_words, parse_bytes
from microscope_quality.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("2GB", 2_000_000_000),
        ("800MB", 800_000_000),
        ("1.5GiB", 1_610_612_736),
        (" 512 mib ", 536_870_912),
        ("100kB", 100_000),
        (".5TB", 500_000_000_000),
        ("7B", 7),
        ("1tib", 1_099_511_627_776),
    ],
)
def test_an_amount_is_a_number_and_a_unit(text: str, n_bytes: int) -> None:
    assert parse_bytes(text) == n_bytes


@pytest.mark.parametrize(
    "text", ["", "2", "GB", "2G", "-1GB", "2GBit", "0MB", "0.1B", "1e3MB", "2 GB 3", "٣GB", "nanGB"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is no amount of memory; it has to be .* such as 2GB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9_940_000, "9.9 MB"),
        (9_960_000, "10 MB"),
        (999_400_000, "999 MB"),
        (999_600_000, "1.0 GB"),
        (5_340_000_000, "5.3 GB"),
        (2_000_000_000_000_000, "2000 TB"),
    ],
)
def test_an_amount_in_words_has_two_digits(n_bytes: int, words: str) -> None:
    assert bytes_in_words(n_bytes) == words
