"""Amounts of memory as people write them."""

from __future__ import annotations

import re

from microscope_quality.errors import SettingsError

_UNITS = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)},
    **{f"{prefix}IB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}


def parse_bytes(text: str) -> int:
    """Read an amount of memory such as ``"2GB"``, ``"800 MB"`` or ``"1.5GiB"``.

    Parameters
    ----------
    text : str
        A number and a unit, in capitals or not: B; kB, MB, GB, TB, of 1000 each; KiB, MiB, GiB,
        TiB, of 1024.

    Returns
    -------
    int
        In bytes, rounded down.

    Raises
    ------
    SettingsError
        It is something else, or less than a byte.
    """
    found = re.fullmatch(
        r"(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?i?b)", text.strip(), re.IGNORECASE | re.A
    )
    n_bytes = int(float(found[1]) * _UNITS.get(found[2].upper(), 0)) if found else 0
    if not n_bytes:
        raise SettingsError(
            f"{text!r} is no amount of memory; it has to be a number and a unit, such as 2GB, "
            "800MB or 1.5GiB"
        )
    return n_bytes


def bytes_in_words(n_bytes: int) -> str:
    """Tell an amount of memory with two digits or more, such as ``"5.3 GB"`` or ``"120 MB"``."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    amount = float(n_bytes)
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        del units[0]
    digits = 0 if amount >= 9.95 or units[0] == "bytes" else 1
    return f"{amount:.{digits}f} {units[0]}"
