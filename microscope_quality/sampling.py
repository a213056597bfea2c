"""Estimate the focus of a large plane from some of its patches, with an interval of confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality import certainty, planes, tiles, verdicts
from microscope_quality.arguments import as_count, as_number, as_seed
from microscope_quality.contrast import patch_contrasts, plane_contrast
from microscope_quality.focus import (
    FocusResult,
    hints_of,
    is_too_small,
    measure_focus,
    summed_up,
    without_patch,
)
from microscope_quality.masks import without_borders
from microscope_quality.model import FocusModel, ModelLike, as_model
from microscope_quality.normalisation import half_unmasked
from microscope_quality.optics import Optics
from microscope_quality.resampling import Rescaling, binned, binning_of
from microscope_quality.spectrum import SurestPatches
from microscope_quality.statuses import TOO_SMALL

Float64Array = NDArray[np.float64]

#: The fewest places that have an interval.
FEWEST_PLACES = 4
#: A stratum is drawn from until so many of its places are sure ...
SURE_PLACES = 2
#: ... or so many are measured.
MOST_DRAWS = 6
CONFIDENCE = 0.95

# Contrasts of neighbouring strata, by their number, and the sums of their squares.
_CONTRASTS = {2: ((1, -1), 2), 3: ((1, -2, 1), 6)}


@dataclass(frozen=True, eq=False, repr=False)
class SampleResult(FocusResult):
    """The focus of a plane, estimated from some of its patches.

    The attributes of `FocusResult` are estimates of the whole plane's, but for these:
    `max_certainty` and `product_probabilities` are those of the patches measured, and the arrays
    of patches hold the measured ones alone.

    Attributes
    ----------
    places : int
        Patches measured.
    expected_level_low, expected_level_high : float
        Ends of the interval that holds the whole plane's `expected_level` with a confidence of
        95 %; NaN when that is.
    """

    places: int
    expected_level_low: float
    expected_level_high: float

    def __repr__(self) -> str:
        """Tell the outcome; the arrays would fill screens."""
        return (
            f"<SampleResult: expected level {self.expected_level:.2f} "
            f"({self.expected_level_low:.2f} to {self.expected_level_high:.2f}), "
            f"certainty {self.certainty:.2f}, {self.status}, {self.places} places>"
        )

    def to_row(self) -> Dict[str, Union[int, float, str]]:
        """Give the columns of a results table that a plane itself determines, by name."""
        row = super().to_row()
        for name in ("places", "expected_level_low", "expected_level_high"):
            row[name] = getattr(self, name)
        return row

    def _grid(self) -> Tuple[NDArray[np.intp], NDArray[np.intp]]:
        # That of the whole plane; what was not measured is NaN in it.
        side = int(self.patch_size_px)
        return tiles.starts(self.height, side), tiles.starts(self.width, side)


class _Drawn(NamedTuple):
    """Patches of a stratum that were measured."""

    of_stratum: int  # patches in the stratum
    weights: Float64Array  # patches that each of them stands for
    measured: List[_Place]


class _Place(NamedTuple):
    """A measured patch."""

    y: int
    x: int
    probabilities: Float64Array
    certainty: float
    counted: bool  # at least half of its pixels do
    contrast: float
    noise: float  # its contrast
    tops: planes.TopValues
    pixels: int  # that count


def sample_focus(
    plane: ArrayLike,
    model: ModelLike = None,
    *,
    places: int = 200,
    seed: int = 0,
    optics: Optional[Optics] = None,
    rescale: Rescaling = "auto",
    in_focus_limit: float = 1.5,
) -> SampleResult:
    """Estimate how far a large plane is out of focus, from some places in it.

    The places are patches of the grid that `focus.measure_focus` measures, and what is estimated
    is its result. The grid is cut into ``places // 2`` compact strata of equal size. In each,
    patches are drawn at random without replacement until two of them are sure, six at most: where
    there is little content, more is looked at.

    Parameters
    ----------
    plane : (height, width) array
        As for `focus.measure_focus`. Of one that is not in memory, little more is read than the
        places.
    model, optics, rescale, in_focus_limit
        As for `focus.measure_focus`.
    places : int
        How many to measure if all are sure; at most three times as many are. With as many as there
        are patches, or more, the whole plane is measured.
    seed : int
        The same seed draws the same places.

    Returns
    -------
    SampleResult

    Raises
    ------
    ImageError, SettingsError, ModelNotFoundError, ModelError
        As `focus.measure_focus`; `SettingsError` also for fewer than 4 places or a negative seed.
    FileError
        A plane that lies in a file cannot be read.

    Notes
    -----
    *Estimate.* The whole plane's value is R = Σ c·e / Σ c over all patches, with their weights c by
    `certainty.weights_of` and expected levels e, so both sums are estimated from the same places:
    the combined ratio estimator of stratified sampling (W. G. Cochran, *Sampling Techniques*, 3rd
    edition, 1977, section 6.11). Drawing on until some are sure would favour strata with content,
    were each drawn patch to count alike. In a stratum of N patches of which n were drawn, x of them
    sure, the sure ones stand for N·q patches and the others for N·(1 − q), where q = (x − 1)/(n −
    1) when the second sure one ended the drawing and q = x/n otherwise. That is the chance, given
    what was seen, that the first patch drawn was a sure one, and so unbiased whatever the rule of
    stopping (M. A. Girshick, F. Mosteller and L. J. Savage, Ann. Math. Statist. 17, 13, 1946); by
    the same argument are the sums.

    *Interval.* A stratum's part in the error of R is the estimated sum of c·(e − R) over it. The
    variance of these parts is that of second differences, z₁ − 2·z₂ + z₃, between neighbouring
    strata in threes, which a trend over the plane leaves out (K. M. Wolter, *Introduction to
    Variance Estimation*, 1985, section 7.2; with pairs it would be the method of collapsed strata,
    Cochran, section 5A.12), times the share of patches not measured. What differs between the
    strata besides makes it on average too large rather than too small. The interval is that of
    Student's t, its degrees of freedom those of Satterthwaite (Biometrics 2, 110, 1946) for parts
    of unequal variance.
    """
    places = as_count("places", places, FEWEST_PLACES)
    seed = as_seed(seed)
    used = as_model(model)
    focus = used.description.focus
    limit = as_number("in_focus_limit", in_focus_limit, 0, focus.levels - 1)
    binning, messages = binning_of(optics, focus.optics, rescale)
    size = used.description.patch_size
    side = size * binning
    source = _Source(plane, used, binning, SurestPatches() if optics is None else None)
    rows, columns = tiles.starts(source.height, side), tiles.starts(source.width, side)
    groups: List[List[_Drawn]] = []
    if not len(rows) or not len(columns):
        messages.append(without_patch(source.height, source.width, size, binning))
    elif len(rows) * len(columns) <= places:
        every = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
        groups = [[_Drawn(1, np.ones(1), [one])] for one in source.measure(every)]
    else:
        groups = _draw(rows, columns, places // 2, seed, source)

    drawn = [one for group in groups for one in group]
    measured = [place for one in drawn for place in one.measured]
    weights = np.concatenate([one.weights for one in drawn]) if drawn else np.empty(0)
    probabilities = np.array([place.probabilities for place in measured]).reshape(-1, focus.levels)
    certainties = np.array([place.certainty for place in measured])
    counted = np.array([place.counted for place in measured], np.bool_)
    c = weights * certainties
    found = summed_up(probabilities, certainties, weights, size, binning, optics, focus.optics)
    expected, of_patches = found["expected_level"], found["patch_expected_levels"]
    half = _half_width(groups, expected)
    if measured and not counted.any():
        messages.append("No place is at least half unmasked.")
    elif measured and math.isnan(expected):
        messages.append("All places are constant.")
    of_counted = weights * counted
    total = float(of_counted.sum())
    status = verdicts.status_of(
        expected, of_patches, certainties, focus.sure_certainty, limit, weights
    )
    if is_too_small(source.height, source.width, size, binning):
        status = TOO_SMALL.key
    messages += hints_of(status, source.surest)
    contrast = plane_contrast(
        np.array([place.contrast for place in measured]),
        np.array([place.noise for place in measured]),
        weights,
    )
    if status == TOO_SMALL.key:
        contrast = measure_focus(plane, used, optics=optics, rescale=rescale).contrast
    return SampleResult(
        **found,
        mean_certainty=float(of_counted @ certainties / total) if total > 0 else 0.0,
        weighted_certainty=float(c @ certainties / c.sum()) if c.sum() > 0 else 0.0,
        status=status,
        message=" ".join(messages),
        saturated_fraction=_saturated_fraction(source.dtype, measured, weights),
        contrast=contrast,
        height=source.height,
        width=source.width,
        patch_positions=np.array([(p.y, p.x) for p in measured], np.intp).reshape(-1, 2),
        places=len(measured),
        expected_level_low=max(expected - half, 0.0),
        expected_level_high=min(expected + half, focus.levels - 1.0),
    )


def _draw(
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    strata: int,
    seed: int,
    source: _Source,
) -> List[List[_Drawn]]:
    """Measure places in each stratum; strata come in groups of two or three neighbours."""
    generator = np.random.default_rng(seed)
    sure = source.sure_certainty
    # Bands of rows of patches, cut across into about squares. All places of a band are measured
    # before those of the next one: a file's tiles are then decoded once.
    bands = int(np.clip(round(math.sqrt(strata * len(rows) / len(columns))), 1, len(rows)))
    bands = min(bands, strata)
    drawn: List[_Drawn] = []
    row_edges, strata_edges = _edges(len(rows), bands), _edges(strata, bands)
    for band in range(bands):
        first, last = row_edges[band], row_edges[band + 1]
        high = last - first
        edges = _edges(high * len(columns), strata_edges[band + 1] - strata_edges[band])
        # Every second band runs backwards: neighbours in the list are neighbours in the plane.
        spans = list(zip(edges[:-1], edges[1:]))[:: 1 if band % 2 == 0 else -1]
        orders = [
            start + generator.choice(end - start, min(MOST_DRAWS, end - start), replace=False)
            for start, end in spans
        ]
        found: List[List[_Place]] = [[] for _ in spans]
        open_strata = list(range(len(spans)))
        while open_strata:
            wanted = []
            for k in open_strata:
                done = len(found[k])
                wanted += [(k, i) for i in orders[k][done : max(done + 1, SURE_PLACES)]]
            index = np.array([i for _, i in wanted])
            chosen = np.stack([rows[first + index % high], columns[index // high]], axis=1)
            for (k, _), place in zip(wanted, source.measure(chosen)):
                found[k].append(place)
            open_strata = [
                k
                for k in open_strata
                if len(found[k]) < len(orders[k])
                and sum(place.certainty >= sure for place in found[k]) < SURE_PLACES
            ]
        for (start, end), measured in zip(spans, found):
            drawn.append(_Drawn(end - start, _weights(end - start, measured, sure), measured))
    # Three each; two pairs where one would be left over.
    threes = len(drawn) // 3 - (len(drawn) % 3 == 1)
    cuts = [*range(0, 3 * threes + 1, 3), *range(3 * threes + 2, len(drawn) + 1, 2)]
    return [drawn[start:end] for start, end in zip(cuts[:-1], cuts[1:])]


def _weights(of_stratum: int, measured: List[_Place], sure: float) -> Float64Array:
    """Give how many patches of the stratum each one stands for; see `sample_focus`."""
    is_sure = np.array([place.certainty >= sure for place in measured])
    n, x = len(measured), int(np.count_nonzero(is_sure))
    stopped = x == SURE_PLACES and bool(is_sure[-1])
    share = (x - 1) / (n - 1) if stopped and n > 1 else x / n
    of_sure = share / x if x else 0.0
    of_others = (1 - share) / (n - x) if n > x else 0.0
    return of_stratum * np.where(is_sure, of_sure, of_others)


class _Source:
    """Patches at places of a plane, at the model's sampling, and their pixels' highest values."""

    def __init__(
        self,
        plane: ArrayLike,
        model: FocusModel,
        binning: int,
        surest: Optional[SurestPatches],
    ) -> None:
        self._plane: Any = plane
        self._unmasked: Optional[NDArray[np.bool_]] = None
        if not planes.is_lazy(plane):
            self._plane, self._unmasked = planes.as_plane(plane)
        self.dtype = np.dtype(self._plane.dtype)
        self.height, self.width = (int(length) for length in self._plane.shape)
        self.sure_certainty = model.description.sure_certainty
        self._model, self._binning = model, binning
        self._side = model.description.patch_size * binning
        self.surest = surest

    def measure(self, places: NDArray[np.intp]) -> List[_Place]:
        """Measure patches by y and x of their upper left pixels."""
        patches, masks, tops = [], [], []
        for y, x in places.tolist():
            area = (slice(y, y + self._side), slice(x, x + self._side))
            patch = planes.as_measured(np.asarray(self._plane[area]))
            mask = np.ones(patch.shape, np.bool_)
            if self._unmasked is not None:
                mask = self._unmasked[area]
            elif patch.dtype.kind == "f":
                mask = np.isfinite(patch)
            tops.append(_top_values(patch, mask))
            bordered, _ = without_borders(patch[np.newaxis], mask[np.newaxis])
            if bordered is not None:
                mask = bordered[0]
            patches.append(patch)
            masks.append(mask)
        own, own_masks = np.stack(patches), np.stack(masks)
        some = None if own_masks.all() else own_masks
        stacked, some_masked = binned(own, some, self._binning)
        unmasked = np.ones(stacked.shape, np.bool_) if some_masked is None else some_masked
        contrasts, noises = patch_contrasts(stacked, some_masked)
        probabilities = self._model.predict(
            stacked,
            masks=some_masked,
            type_max=planes.largest_value(self.dtype),
        )
        certainties = certainty.certainty(probabilities)
        if self.surest is not None:
            self.surest.add(stacked, some_masked, certainties)
        values = zip(
            places.tolist(),
            probabilities,
            certainties.tolist(),
            half_unmasked(unmasked).tolist(),
            contrasts.tolist(),
            noises.tolist(),
            tops,
        )
        return [_Place(y, x, *others, *top) for (y, x), *others, top in values]


def _top_values(patch: NDArray[Any], mask: NDArray[np.bool_]) -> Tuple[planes.TopValues, int]:
    """Give the highest values of an integer patch, and the number of pixels that count."""
    tops, values = planes.TopValues(), patch[mask]
    if patch.dtype.kind != "f":
        tops.add(values)
    return tops, values.size


def _saturated_fraction(dtype: Any, measured: List[_Place], weights: Float64Array) -> float:
    known = np.array([bool(place.tops.counts) for place in measured], np.bool_)
    if not known.any():
        return math.nan
    tops = planes.TopValues()
    for place in measured:
        tops.include(place.tops.counts.items())
    if not tops.saturated(dtype) or not weights[known].sum() > 0:
        return 0.0
    highest = max(tops.counts)
    shares = [place.tops.counts.get(highest, 0) / max(place.pixels, 1) for place in measured]
    return float(np.average(np.array(shares)[known], weights=weights[known]))


def _half_width(groups: List[List[_Drawn]], expected: float) -> float:
    """Give half the width of the interval around an expected level."""
    total, variances = 0.0, []
    for group in groups:
        parts, shares = [], []
        for drawn in group:
            levels = certainty.expected_level(
                np.stack([place.probabilities for place in drawn.measured])
            )
            own = certainty.weights_of([place.certainty for place in drawn.measured])
            c = drawn.weights * own
            known = c > 0
            total += float(c[known].sum())
            parts.append(float((c[known] * (levels[known] - expected)).sum()))
            shares.append(len(drawn.measured) / drawn.of_stratum)
        if len(group) > 1:
            # What a trend leaves: nothing of three, and of two what it makes them differ by.
            contrast, squares = _CONTRASTS[len(group)]
            spread = len(group) * float(np.dot(contrast, parts)) ** 2 / squares
            variances.append(spread * (1 - float(np.mean(shares))))
    variance = sum(variances)
    if not (total > 0 and variance > 0):
        return 0.0 if total > 0 else math.nan
    # Imported where it is used: few planes are sampled.
    from scipy.special import stdtrit

    # The mean square of a variance with one degree of freedom is three times its mean's square.
    degrees = min(3 * variance**2 / sum(v * v for v in variances), float(len(variances)))
    quantile = float(stdtrit(max(degrees, 1.0), (1 + CONFIDENCE) / 2))
    return quantile * math.sqrt(variance) / total


def _edges(length: int, parts: int) -> List[int]:
    """Give where to cut a length into about equal parts: one edge more than parts."""
    return [math.floor(edge + 0.5) for edge in np.linspace(0, length, parts + 1).tolist()]
