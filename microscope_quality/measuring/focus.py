"""Focus as a measure: its columns, what they mean, and how a plane gets them."""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from microscope_quality.arguments import as_count
from microscope_quality.errors import MicroscopeQualityError, OpticsError, SettingsError
from microscope_quality.files.columns import SATURATED, Column
from microscope_quality.files.metadata import KnownOptics, optics_of, told
from microscope_quality.files.pictures import Legend
from microscope_quality.files.plane import Plane
from microscope_quality.files.tables import as_number
from microscope_quality.focus import FocusResult, measure_focus
from microscope_quality.measuring.measure import (
    Best,
    Cell,
    Chart,
    Judged,
    Measure,
    Result,
    Row,
    Scale,
    as_mapping,
    block,
    filled,
    hex_colours,
)
from microscope_quality.model import FocusModel, ModelDescription
from microscope_quality.optics import BLUR_PX_PER_LEVEL, Optics, parse_values
from microscope_quality.overlay import legend, overlay
from microscope_quality.resampling import Rescaling, as_rescaling, binning_of
from microscope_quality.sampling import FEWEST_PLACES, sample_focus
from microscope_quality.stacks import best_of, spoken
from microscope_quality.statuses import FOCUS_STATUSES, IN_FOCUS, MIXED, OUT_OF_FOCUS

# Of numbers with six digits, and of sums of them.
_ROUNDING = 1e-3
_PROBABILITY = re.compile("p[0-9]{1,3}")

_LEVEL = Column("level", "integer", "Most probable level", 0, True)
_EXPECTED = Column("expected_level", "number", "Expected level", 1, True)
_CERTAINTY = Column("certainty", "share", "Certainty", 2)
_OF_IMAGE = (
    _LEVEL,
    _EXPECTED,
    _CERTAINTY,
    Column("mean_certainty", "share", "Mean certainty of patches", 2),
    Column("max_certainty", "share", "Highest certainty of patches", 2),
    Column("weighted_certainty", "share"),
    Column("status"),
    Column("blur_diameter_px", "number", "Blur disc, pixels", 1, True),
    Column("defocus_um", "number", "Defocus, µm", 2, True),
    SATURATED,
)


@functools.lru_cache(maxsize=1)
def _model(name: str | None) -> FocusModel:
    """The model of a run: that it had at its start, read once."""
    return FocusModel.from_pretrained(name)


@functools.lru_cache(maxsize=8)
def _probabilities(levels: int) -> tuple[str, ...]:
    return tuple(f"p{k}" for k in range(levels))


@functools.lru_cache(maxsize=8)
def _scale(levels: int) -> Scale:
    return Scale(hex_colours(levels), 0, levels - 1, ("in focus", "far out of focus"), levels)


@dataclass(frozen=True)
class Focus(Measure):
    """How far a plane is out of focus, by a learned model.

    Attributes
    ----------
    model : str, optional
        Name or folder of a model; the default one without it.
    optics : mapping
        What the user says of the optics, by the fields of `Optics`; files may tell the rest.
    rescale : str
        Whether planes are brought to the sampling that the model knows: one of
        `resampling.RESCALINGS`, which True and False may stand for.
    in_focus_limit : float
        The highest expected level that is in focus.
    sample : int, optional
        Number of random places to measure in each plane, by the `seed`; all patches without it.
    known : (int, float), optional
        Levels and sure certainty of a model that need not be at hand, to read what it measured.
    """

    name = "focus"
    title = "Focus"
    statuses = FOCUS_STATUSES
    value = "expected_level"
    trust = "certainty"
    noun = "level"
    nouns = "levels"
    needed = ("level", "expected_level", "certainty", "status", "p0")
    worst = "Furthest out of focus"
    told = ("level", "expected_level", "certainty", "defocus_um")
    templates = ("level {expected_level:1}", "certainty {certainty:2}")
    drift = "a slow rise is a drifting focus, a step a bumped stage"
    reference = "What the number means"
    caveats = (
        "The number is about blur in fluorescence images at the sampling that the model knows: "
        "images that are sampled much finer, by optics that were not told, thick samples, objects "
        "that are smooth even in focus and very few photons are given too high a level, and "
        "brightfield is not to be trusted.",
        "Levels 0 and 1 are often taken for each other, the last level means “at least”, and "
        "without content or certainty there is nothing to believe.",
    )

    model: str | None = None
    optics: Mapping[str, float] = field(default_factory=dict)
    rescale: Rescaling = "auto"
    in_focus_limit: float = 1.5
    sample: int | None = None
    seed: int = 0
    known: tuple[int, float] | None = None

    @property
    def _description(self) -> ModelDescription:
        return _model(self.model).description

    @property
    def levels(self) -> int:
        """How many there are."""
        return self.known[0] if self.known else self._description.levels

    @property
    def sure_certainty(self) -> float:
        """The certainty from which a patch is sure."""
        return self.known[1] if self.known else self._description.sure_certainty

    @property
    def columns(self) -> tuple[Column, ...]:
        return (*_OF_IMAGE, *(Column(name, "share") for name in self.distribution))

    @property
    def later_columns(self) -> tuple[Column, ...]:
        # Of a sample of places: their number, and the 95 % interval.
        interval = (Column(f"expected_level_{end}", "number") for end in ("low", "high"))
        sampled = (Column("places", "integer"), *interval)
        return (Column("optics"), *sampled, Column("contrast", "number"))

    @property
    def last_columns(self) -> tuple[Column, ...]:
        return (Column("binning", "integer", "Binning"),)

    @property
    def patch_columns(self) -> tuple[Column, ...]:
        odds = (Column(name, "share") for name in self.distribution)
        return (_LEVEL, _EXPECTED, _CERTAINTY, *odds)

    @property
    def distribution(self) -> tuple[str, ...]:
        return _probabilities(self.levels)

    @property
    def scale(self) -> Scale:
        return _scale(self.levels)

    @property
    def limit(self) -> float:
        return self.in_focus_limit

    @property
    def charts(self) -> tuple[Chart, ...]:
        corners = (
            "unsure:|empty, noise, or|hard to judge",
            "few patches sure,|but alike",
            "sure but unlike:|several levels",
            "sure and alike:|one level",
        )
        sure = self.sure_certainty
        caption = (
            "To the right: the patches are sure. Up: they agree. The lines are at "
            f"{sure:.2g}, from which the model counts a patch as sure. After Fig. 2 of Yang et "
            "al., BMC Bioinformatics 19:77 (2018)."
        )
        title = "How sure it is, and why not"
        return (Chart(title, "mean_certainty", "certainty", sure, corners, caption),)

    @property
    def explanation(self) -> str:
        return (
            f"Level 0 is in focus; up to {self.in_focus_limit:g} counts as in focus. A level is a "
            f"blur disc of {BLUR_PX_PER_LEVEL} pixels, so that level 5 is blurred over "
            f"{5 * BLUR_PX_PER_LEVEL:.0f}."
        )

    @property
    def legend(self) -> Legend:
        colours = functools.partial(legend, levels=self.levels)
        return Legend(colours, *self.scale.ends, "sure", "unsure", self.levels)

    @property
    def reads_whole(self) -> bool:
        return False

    @property
    def is_sample(self) -> bool:
        return self.sample is not None

    @property
    def patch_size(self) -> int:
        return self._description.patch_size

    def check(self) -> None:
        limit, last = self.in_focus_limit, self.levels - 1
        if not 0 <= limit <= last:
            raise SettingsError(
                f"in_focus_limit is {limit:g}, but the model's levels go from 0 to {last}."
            )
        as_rescaling(self.rescale)
        if self.sample is not None:
            as_count("sample", self.sample, FEWEST_PLACES)

    def settings(self) -> dict[str, object]:
        return {
            "model": self.model,
            "optics": optics_text(self.optics) or None,
            "rescale": as_rescaling(self.rescale),
            # A whole number is an older version's: see `_recorded_limit`.
            "in_focus_limit": float(self.in_focus_limit),
            "sample": self.sample,
            "seed": None if self.sample is None else self.seed,
        }

    def identity(self) -> dict[str, object]:
        description = self._description
        return {
            "model": description.sha256,
            "levels": description.levels,
            "patch_size": description.patch_size,
            "normalisation": description.normalisation,
            "sure_certainty": description.sure_certainty,
            "sampling": description.optics.to_dict(),
        }

    def facts(self) -> dict[str, object]:
        names = ("name", "sha256", "levels", "sure_certainty", "patch_size")
        return {name: getattr(self._description, name) for name in names}

    def on_any_machine(self) -> Focus:
        folder = self.model is not None and Path(self.model).is_dir()
        return replace(self, model=str(Path(str(self.model)).absolute())) if folder else self

    @classmethod
    def recorded(cls, record: Mapping[str, Any], header: Sequence[str]) -> Focus:
        own, facts = (as_mapping(record.get(name)) for name in ("settings", "model"))
        levels = sum(1 for name in header if _PROBABILITY.fullmatch(name)) or 11
        sample = own.get("sample")
        name, sure = own.get("model"), facts.get("sure_certainty")
        measure = cls(
            model=name if isinstance(name, str) and name else None,
            rescale=_recorded_rescaling(own.get("rescale")),
            sample=sample if isinstance(sample, int) else None,
            in_focus_limit=_recorded_limit(own.get("in_focus_limit"), levels - 1),
        )
        if not isinstance(sure, (int, float)) or not 0 <= sure <= 1:
            sure = _sure_certainty(measure.model)
        return replace(measure, known=(levels, float(sure)))

    def run(self, plane: Plane) -> Result:
        optics, message = optics_of(plane.known_optics, self.optics, "defocus_um")
        if optics is None and as_rescaling(self.rescale) == "on":
            missing = told(plane.known_optics, self.optics)[1]
            why = message or f"Neither the file nor the option optics tells {missing}."
            raise SettingsError(f"Rescaling is on, but the optics are not known. {why}")
        if optics is None and not message and as_rescaling(self.rescale) == "auto":
            message = _maybe_finer(plane.known_optics, _model(self.model).description.focus.optics)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            measure: Callable[..., FocusResult] = measure_focus
            if self.sample is not None:
                measure = functools.partial(sample_focus, places=self.sample, seed=self.seed)
            result = measure(
                plane.array,
                _model(self.model),
                optics=optics,
                rescale=self.rescale,
                in_focus_limit=self.in_focus_limit,
            )
        row = {**result.to_row(), "message": " ".join(filter(None, (result.message, message)))}
        if optics is not None:
            row["optics"] = optics_text(optics.to_dict())
        return Result(
            row,
            functools.partial(_patch_rows, self.distribution, result),
            lambda max_side: overlay(plane.array, result, max_side=max_side),
        )

    def fault(self, row: Row) -> str:
        status, odds = row["status"], self.distribution
        empty = [name for name in ("level", self.value, "certainty", *odds) if not row[name]]
        if empty and (not self.status(row).is_blank or row["level"]):
            return f"{empty[0]} is empty, but the status is {status}"
        for name in ("level", self.value):
            # Six digits may round up.
            if row[name] and float(row[name]) > self.levels - 1 + _ROUNDING:
                return f"{name} is {row[name]!r}, but the levels end at {self.levels - 1}"
        total = sum(float(row[name]) for name in odds if row[name])
        if row["level"] and abs(total - 1) > _ROUNDING:
            return f"{odds[0]} to {odds[-1]} come to {total:.6g}, not to 1"
        return ""

    def doubt(self, row: Row) -> tuple[float, str]:
        """See `Measure.doubt`.

        1 for a mixed plane. Else the larger one of 2 min(q, 1 - q), where q is the probability
        that the level is at most the in-focus limit, and 1 - certainty / `sure_certainty`. So 0.25
        means that the other side of the limit has a probability of an eighth, or that the plane as
        a whole has three quarters of the certainty that makes a patch a sure one. 0 without
        content: there is nothing to look at. Level k stands for those from k - 1/2 to k + 1/2, of
        which a limit between them has a share.
        """
        status = self.status(row)
        if not status.is_judged:
            return 0.0, ""
        if status is MIXED:
            return 1.0, "parts at different levels"
        focused = sum(
            min(max(self.in_focus_limit - level + 0.5, 0.0), 1.0) * as_number(row[name])
            for level, name in enumerate(self.distribution)
        )
        close = 2 * min(max(focused, 0.0), max(1 - focused, 0.0))
        sure = self.sure_certainty
        unsure = 1 - as_number(row["certainty"]) / sure if sure > 0 else 0.0
        if unsure > close:
            return unsure, "low certainty"
        other = OUT_OF_FOCUS if status is IN_FOCUS else IN_FOCUS
        # Of its number alone one would not tell: 0.8 may be mostly 0, and 3 now and then.
        return close, f"could be {other.words}: {close / 2:.0%}"

    def headline(self, row: Row) -> str:
        blur = as_number(row.get("blur_diameter_px", ""))
        said = super().headline(row)
        return f"{said} · blur {blur:.1f} px" if self.status(row).is_judged else said

    def details(self, row: Row) -> list[str]:
        if not self.status(row).is_judged:
            return []
        said = [f"certainty {float(row['certainty']):.2f}"]
        return said + ([f"{float(row['defocus_um']):.1f} µm"] if row.get("defocus_um") else [])

    def repeated(self, row: Row) -> Focus | None:
        # A sample of places stands for a plane that takes long to measure whole.
        if row.get("places"):
            return None
        optics = parse_values(row["optics"]) if row.get("optics") else {}
        rescale = self.rescale if optics else "off"
        return replace(self, optics=optics, rescale=rescale, sample=None)

    def cells(self, row: Row) -> list[Cell]:
        colours, last = self.scale.colours, self.levels - 1
        text = self.short(row)
        nothing = ("–", "dim")
        shown = (text, self.colour(row)) if text else nothing
        # What is there without content means nothing.
        defocus = nothing if row.get("optics") and not text else (filled("{defocus_um:1}", row), "")
        odds = [as_number(row.get(name, "")) for name in self.distribution]
        known = not any(map(math.isnan, odds))
        bars = [
            (block(share), colour) if share >= 0.02 else ("▁", "dim")
            for share, colour in zip(odds, colours)
        ]
        interval = [row.get(f"{self.value}_{end}", "") for end in ("low", "high")]
        between = f"{float(interval[0]):.2f} to {float(interval[1]):.2f}" if interval[0] else ""
        return [
            Cell("Level", (shown,)),
            Cell(f"0{last:>{last}}", tuple(bars) if known else (), right=False),
            Cell("Certainty", ((filled("{certainty:2}", row) if known else "", ""),)),
            Cell("Level, 95 %", ((between, ""),)),
            Cell("Defocus µm", (defocus,)),
        ]

    def best(self, planes: Sequence[Judged]) -> Best:
        statuses = [one.status for one in planes]
        # Tables of older versions have no contrast.
        expected, certainties, contrasts = (
            [as_number(one.row.get(name, "")) for one in planes]
            for name in (self.value, "certainty", "contrast")
        )
        best, position, speaker = best_of(statuses, expected, certainties, contrasts)
        return Best(best, position, *spoken(statuses, expected, speaker))


def _recorded_limit(limit: object, last: int) -> float:
    """Give the in-focus limit of a record: of the expected level, or what is usual.

    Older versions recorded a whole number, the limit of the most probable level.
    """
    if isinstance(limit, int) and not isinstance(limit, bool) and 0 <= limit <= last:
        return min(limit + 0.5, float(last))
    return limit if isinstance(limit, float) and 0 <= limit <= last else Focus.in_focus_limit


def _recorded_rescaling(rescale: object) -> Rescaling:
    """Give the rescaling of a record; older versions recorded True or False."""
    try:
        return as_rescaling(rescale)
    except MicroscopeQualityError:
        return "off"


def _maybe_finer(known: KnownOptics | None, of_model: Optics) -> str:
    """Say what is missing to bin an image that green light would show finer than a model knows."""
    values, missing = told(known)
    if not {"na", "pixel_size_um"} <= set(values):
        return ""
    # The sampling is the same with any index.
    index = max(1.515, 1.01 * values["na"])
    try:
        assumed = Optics(**{"wavelength_um": 0.52, **values, "refractive_index": index})
    except OpticsError:
        # A file may tell anything.
        return ""
    if binning_of(assumed, of_model, "auto")[0] == 1:
        return ""
    return (
        f"It may be sampled more finely than the model knows; the file does not tell {missing}, "
        "which --optics can."
    )


def _sure_certainty(model: str | None) -> float:
    """Sure certainty of a model, or what is usual where it is not at hand."""
    from microscope_quality.errors import ModelError, ModelNotFoundError

    try:
        return _model(model).description.sure_certainty
    except (ModelError, ModelNotFoundError):
        return 0.3


def optics_text(values: Mapping[str, float]) -> str:
    """Give values of optics as `Optics.parse` and `optics.parse_values` read them."""
    names = {"refractive_index": "n"}
    return ",".join(f"{names.get(name, name)}={value:g}" for name, value in values.items())


def _patch_rows(odds: Sequence[str], result: FocusResult) -> Iterator[dict[str, object]]:
    for (y, x), level, expected, certainty, probabilities in zip(
        result.patch_positions.tolist(),
        result.patch_levels.tolist(),
        result.patch_expected_levels.tolist(),
        result.patch_certainties.tolist(),
        result.patch_probabilities.tolist(),
    ):
        numbers = {"level": level, "expected_level": expected, "certainty": certainty}
        yield {"y": y, "x": x, **numbers, **dict(zip(odds, probabilities))}
