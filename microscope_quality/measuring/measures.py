"""The measures that there are, by their names; each is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from microscope_quality.errors import SettingsError
from microscope_quality.measuring.measure import Measure, as_mapping
from microscope_quality.model import find_model, read_description

#: Names that `measure_of` knows.
MEASURES = ("focus", "classical", "rating")


def measure_of(name: str) -> type[Measure]:
    """Give the measure of a name, or of a model's task.

    Raises
    ------
    SettingsError
        There is none.
    """
    if name not in MEASURES:
        raise SettingsError(f"measures has {name!r}; known are {', '.join(MEASURES)}.")
    if name == "classical":
        from microscope_quality.measuring.classical import Classical

        return Classical
    if name == "rating":
        from microscope_quality.measuring.rating import Rating

        return Rating
    from microscope_quality.measuring.focus import Focus

    return Focus


def measures_with(listed: Iterable[str], given: Mapping[str, Any]) -> tuple[Measure, ...]:
    """Make measures by their names, each with those of the settings that are its own.

    A model is that of the measure that bears the name of its task, where several have models.

    Raises
    ------
    SettingsError
        There is no such measure, or a setting is of none of them.
    ModelNotFoundError, ModelError
        Several measures have models, and the one that is given cannot be read.
    """
    kinds = [measure_of(name.strip()) for name in listed]
    for name in given:
        if not any(name in settings_of(kind) for kind in kinds):
            having = [one for one in MEASURES if name in settings_of(measure_of(one))]
            raise SettingsError(
                f"{name} is a setting of {' and '.join(having)}; `measures` names others alone."
            )
    task = ""
    if "model" in given and sum("model" in settings_of(kind) for kind in kinds) > 1:
        task = read_description(find_model(given["model"])).task
        if not any(kind.name == task for kind in kinds):
            raise SettingsError(
                f"model is one of the task {task}, and `measures` names "
                f"{', '.join(kind.name for kind in kinds)}."
            )

    def own(kind: type[Measure]) -> dict[str, Any]:
        names = settings_of(kind) & given.keys()
        return {name: given[name] for name in names if name != "model" or task in ("", kind.name)}

    return tuple(kind(**own(kind)) for kind in kinds)


def settings_of(kind: type[Measure]) -> set[str]:
    """Give the names of a measure's settings."""
    return {one.name for one in fields(kind)}


def recorded_measures(record: Mapping[str, Any], header: Sequence[str]) -> tuple[Measure, ...]:
    """Give the measures that wrote a table, the one that judges first.

    Parameters
    ----------
    record
        Of the run; an older one, or none at all, is of focus.
    header
        Names of the table's columns.

    Raises
    ------
    SettingsError
        The one that judges is not known to this version; others that are not are left out.
    """
    settings, model = (as_mapping(record.get(name)) for name in ("settings", "model"))
    listed = settings.get("measures")
    if not isinstance(listed, list) or not listed:
        listed = [name for name in MEASURES if measure_of(name).value in header][:1] or ["focus"]
    if listed[0] not in MEASURES:
        raise SettingsError(
            f"The table was judged by the measure {str(listed[0])[:40]!r}, which this version does "
            f"not know; known are {', '.join(MEASURES)}."
        )
    found = [measure_of(listed[0]).recorded(record, header)]
    for name in (one for one in listed[1:] if one in MEASURES):
        # Where a measure before it has a model, its own stands under its name.
        own = {**settings, **as_mapping(settings.get(name))}
        of_model = as_mapping(model.get(name)) or model
        found.append(measure_of(name).recorded({"settings": own, "model": of_model}, header))
    return tuple(found)
