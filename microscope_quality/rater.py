"""Rate how much of its detail an image shows, and say why: blur and its axis, noise, lines."""

from __future__ import annotations

import dataclasses
import math
import os
import threading
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality import planes, tiles
from microscope_quality.acquisition import blank_patches
from microscope_quality.arguments import (
    as_a,
    as_count,
    as_entries,
    as_list,
    as_mapping,
    as_number,
    as_numbers,
    as_seed,
    shown,
)
from microscope_quality.components import (
    ALONG,
    DIAGONAL,
    LOWEST_GOOD_SCORE,
    NOISE,
    OUTPUTS,
    SCORE,
    Components,
    cause_of,
    components_of,
    scores_of,
)
from microscope_quality.concordance import LOWEST_SCORE
from microscope_quality.descriptors import MULTIPLE, SMALLEST_PATCH_SIZE
from microscope_quality.errors import ArgumentError, ImageError, ModelError
from microscope_quality.model import Model, ModelDescription
from microscope_quality.network import Network
from microscope_quality.normalisation import zscore
from microscope_quality.own_score import OwnScore
from microscope_quality.statuses import GOOD, NO_CONTENT, POOR, TOO_SMALL

Float64Array = NDArray[np.float64]

RATING = "rating"
DEFAULT_RATER = "em"

#: Patches that are drawn for each place of a sample, far from each other.
PLACE_PATCHES = 6
#: A stratum of a sample is looked at in so many places before it counts as blank.
MOST_LOOKS = 4

# A normal distribution's interval of 95 %, in standard deviations.
_CONFIDENT = 1.96
# From this side on, in pixels, what has no structure by its spectrum has none; a smaller patch is
# blank when it is, by its output, also as noisy as that.
_TELLING_SIDE, _MOSTLY_NOISE = 192, 0.0
# Patches rated at a time.
_CHUNK = 16


@dataclasses.dataclass(frozen=True)
class RatingTask:
    """What a rater knows beside its network.

    Attributes
    ----------
    spread_factors : tuple of 7 floats
        What its spreads are multiplied by, so that 68 % of the errors of single patches are
        within one spread: by the names of `components.OUTPUTS`.
    shared_errors : tuple of 7 floats
        Share of the variance of a patch's error that all patches of an image have in common, 0 to
        1.
    own_score : mapping, optional
        What tells of a lab's own score; see `own_score.OwnScore`.

    Raises
    ------
    ModelError
        For a value that is out of its range.
    """

    spread_factors: Tuple[float, ...]
    shared_errors: Tuple[float, ...]
    own_score: Optional[Mapping[str, Any]] = None

    def __post_init__(self) -> None:
        for name, high in (("spread_factors", 1e3), ("shared_errors", 1.0)):
            values = as_list(name, getattr(self, name), "numbers")
            if len(values) != len(OUTPUTS):
                raise ModelError(f"{name} must be {len(OUTPUTS)} numbers, not {len(values)}.")
            numbers = (as_number(name, value, 0, high, error=ModelError) for value in values)
            object.__setattr__(self, name, tuple(numbers))
        if self.own_score is not None:
            as_mapping("own_score", self.own_score)

    def to_dict(self) -> Dict[str, Any]:
        """Give the object that ``model.json`` has for it."""
        values: Dict[str, Any] = {
            "spread_factors": list(self.spread_factors),
            "shared_errors": list(self.shared_errors),
        }
        return values if self.own_score is None else {**values, "own_score": dict(self.own_score)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RatingTask:
        """Read what `to_dict` gives.

        Raises
        ------
        ModelError
            For missing or unknown entries, or wrong values.
        """
        known = _mapping(values)
        names = [name for name in cls.__annotations__ if name != "own_score" or name in known]
        return cls(**as_entries(RATING, known, names, error=ModelError))


class Rated(NamedTuple):
    """Outputs of patches (n, 7) and the spreads of their errors; and scores, 0.1 to 1.

    The scores are those of the outputs, or a lab's own.
    """

    outputs: Float64Array
    spreads: Float64Array
    scores: Float64Array
    score_spreads: Float64Array


class RatingModel(Model):
    """A trained rater, ready to use; make one with `from_pretrained`.

    Parameters and errors are those of `model.Model`.

    Attributes
    ----------
    details : RatingTask
        What it knows beside its network.
    """

    task = RATING
    default = DEFAULT_RATER

    def __init__(self, description: ModelDescription, weights: Mapping[str, NDArray[Any]]) -> None:
        self.check(description)
        self.details = RatingTask.from_dict(_mapping(description.details))
        super().__init__(description, weights)
        own = {key: value for key, value in weights.items() if key not in self._weights}
        if self._network.outputs != 2 * len(OUTPUTS):
            raise ModelError(
                f"A rater's network must give {2 * len(OUTPUTS)} numbers for a patch, not "
                f"{self._network.outputs}."
            )
        self.own_score: Optional[OwnScore] = None
        if self.details.own_score is not None:
            self.own_score = OwnScore.from_model(self.details.own_score, own)
        elif own:
            raise ModelError("There are weights of an own score, but nothing that tells of it.")
        self._networks = {description.patch_size: self._network}
        self._making = threading.Lock()

    @property
    def smallest_side(self) -> int:
        """The side in pixels that an image must have at the least."""
        return min(SMALLEST_PATCH_SIZE, self.description.patch_size)

    def side_for(self, height: int, width: int) -> int:
        """Give the side of the patches of an image: smaller than usual in a small one.

        0 where the image is smaller than the smallest patch.
        """
        sides = (as_count("height", height, 0), as_count("width", width, 0))
        side = min(self.description.patch_size, *sides)
        side -= side % MULTIPLE
        return side if side >= self.smallest_side else 0

    def rate(self, patches: NDArray[Any]) -> Rated:
        """Rate patches.

        Parameters
        ----------
        patches : (n, P, P) array of any integer or float type
            P is what `side_for` gives for some image.

        Returns
        -------
        Rated
            NaN in the rows of patches that are constant, or not finite.

        Raises
        ------
        ImageError
            For patches of another shape or type.
        """
        patches = as_numbers("patches", patches, shape=(None, None, None), error=ImageError)
        n, side = len(patches), patches.shape[1]
        if patches.shape[2] != side or self.side_for(side, side) != side:
            raise ImageError(
                f"patches must be (n, P, P), with P from {self.smallest_side} to "
                f"{self.description.patch_size}, a multiple of {MULTIPLE}, not {patches.shape}."
            )
        outputs, spreads = np.full((2, n, len(OUTPUTS)), np.nan)
        network = self._network_for(side)
        finite = np.isfinite(patches).all(axis=(1, 2))
        for start in range(0, n, _CHUNK):
            chosen = start + np.flatnonzero(finite[start : start + _CHUNK])
            normalised, counts = zscore(patches[chosen])
            chosen = chosen[counts]
            if not len(chosen):
                continue
            given = network(normalised[counts]).astype(np.float64)
            outputs[chosen] = given[:, : len(OUTPUTS)]
            logs = np.clip(given[:, len(OUTPUTS) :], -8, 8)
            spreads[chosen] = np.exp(logs) * self.details.spread_factors
        scores = scores_of(outputs)
        score_spreads = (1 - LOWEST_SCORE) * spreads[:, SCORE]
        if self.own_score is not None:
            scores = self.own_score.of(outputs)
            score_spreads = np.where(np.isnan(scores), np.nan, self.own_score.spread)
        return Rated(outputs, spreads, scores, score_spreads)

    def _network_for(self, side: int) -> Network:
        with self._making:
            if side not in self._networks:
                layers = self.description.layers
                self._networks[side] = Network(layers, self._weights, side)
            return self._networks[side]


def without_own_score(description: ModelDescription) -> Dict[str, Any]:
    """Give what a rater's description tells beside its network, but for a lab's own score."""
    as_a(ModelDescription, "description", description)
    task = RatingTask.from_dict(_mapping(description.details))
    return dataclasses.replace(task, own_score=None).to_dict()


def _mapping(details: Any) -> Mapping[str, Any]:
    if not isinstance(details, Mapping):
        raise ModelError(f"{RATING} must be an object, not {shown(details)}.")
    return details


RaterLike = Union[RatingModel, str, "os.PathLike[str]", None]


def as_rater(model: RaterLike) -> RatingModel:
    """Give the rater that an argument of `rate_image` names."""
    if isinstance(model, RatingModel):
        return model
    if model is not None and not isinstance(model, (str, os.PathLike)):
        raise ArgumentError(
            f"model must be a RatingModel, or the name or folder of one, not {shown(model)}."
        )
    return RatingModel.from_pretrained(model)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RatingResult:
    """The rating of an image.

    Attributes
    ----------
    score : float
        Mean over the patches that were rated, 0.1 to 1; NaN when there are none.
    score_low, score_high : float
        Ends of the interval that holds the score of the whole image with a confidence of 95 %.
    components : Components
        Of the image: outputs of the patches averaged with weights of one over the squared spread,
        angles as axes.
    outputs, spreads : (7,) array
        What the components stand for, by the names of `components.OUTPUTS`, and the standard
        deviations of their errors.
    status : str
        ``good``, ``poor``, ``no_content`` when all is blank, or ``too_small``.
    cause, action : str
        What costs most of the score, and what to do about it: see `components.cause_of`. Empty for
        an image that is good, or was not judged.
    message : str
        What has to be said beside the numbers.
    blank_fraction : float
        Share of the patches looked at that have no content.
    saturated_fraction : float
        As `focus.FocusResult.saturated_fraction`; of a sample, of the places looked at.
    height, width : int
        Of the image.
    patch_size_px : int
        Side of the patches; 0 without any.
    patch_positions : (n, 2) array of int
        y and x of the upper left pixels of the patches that were looked at.
    patch_outputs, patch_spreads : (n, 7) array
        Of each; NaN for blank ones.
    patch_scores, patch_score_spreads : (n,) array
        Scores of each, 0.1 to 1, and the standard deviations of their errors.
    places : int or None
        Number of places that were sampled; None when the whole image was rated.
    """

    score: float
    score_low: float
    score_high: float
    components: Components
    outputs: Float64Array
    spreads: Float64Array
    status: str
    cause: str
    action: str
    message: str
    blank_fraction: float
    saturated_fraction: float
    height: int
    width: int
    patch_size_px: int
    patch_positions: NDArray[np.intp]
    patch_outputs: Float64Array
    patch_spreads: Float64Array
    patch_scores: Float64Array
    patch_score_spreads: Float64Array
    places: Optional[int] = None

    def __repr__(self) -> str:
        """Tell the outcome; the arrays would fill screens."""
        if math.isnan(self.score):
            return f"<RatingResult: {self.status}>"
        why = f", {self.cause}" if self.cause else ""
        return (
            f"<RatingResult: score {self.score:.2f} ({self.score_low:.2f} to "
            f"{self.score_high:.2f}), {self.status}{why}, blur {self.components.blur_px:.1f} px>"
        )

    def to_row(self) -> Dict[str, Union[int, float, str, None]]:
        """Give the columns of a results table that an image itself determines, by name."""
        return {
            "width": self.width,
            "height": self.height,
            "score": self.score,
            "score_low": self.score_low,
            "score_high": self.score_high,
            **dataclasses.asdict(self.components),
            "status": self.status,
            "cause": self.cause,
            "action": self.action,
            "saturated_fraction": self.saturated_fraction,
            "blank_fraction": self.blank_fraction,
            "patches": int(np.count_nonzero(~np.isnan(self.patch_scores))),
        }

    def score_map(self) -> Float64Array:
        """Give the scores of the patches where they lie, (rows, columns); NaN without one.

        Raises
        ------
        ImageError
            The result is of a sample, which has no map.
        """
        if self.places is not None:
            raise ImageError("A sample of places has no map; rate all patches.")
        rows, row_of = np.unique(self.patch_positions[:, 0], return_inverse=True)
        columns, column_of = np.unique(self.patch_positions[:, 1], return_inverse=True)
        scores = np.full((len(rows), len(columns)), np.nan)
        scores[row_of, column_of] = self.patch_scores
        return scores


def rate_image(
    plane: ArrayLike,
    model: RaterLike = None,
    *,
    patches: Optional[int] = None,
    seed: int = 0,
    score_limit: float = LOWEST_GOOD_SCORE,
) -> RatingResult:
    """Rate an image, and say what is wrong with it.

    Parameters
    ----------
    plane : (height, width) array
        Of any integer or float type, lines along the last axis; also three equal channels, and
        what reads its parts from a file when it is sliced. Patches that are not finite are left
        out, and so are blank ones: see `acquisition.blank_patches`.
    model : RatingModel, str or path, optional
        A rater, or the name or folder of one; ``em`` by default.
    patches : int, optional
        Number of random places to rate, of six patches each: every patch lies in a stratum of its
        own, since what is far apart tells more. All patches by default.
    seed : int
        The same seed draws the same places.
    score_limit : float
        The lowest score that is good, 0.1 to 1.

    Returns
    -------
    RatingResult

    Raises
    ------
    ImageError
        For an array that is no image.
    SettingsError
        For arguments that are out of their range.
    ModelNotFoundError, ModelError
        The model is not there, or damaged.
    FileError
        A plane that lies in a file cannot be read.

    Notes
    -----
    The score is the plain mean of the patches', since it is the whole image that is rated. The
    variance of its error has three parts: what the rater gets wrong alike in all patches of an
    image and what it gets wrong in each, from the spreads and `RatingTask.shared_errors`; and, of
    a sample, how far strata differ from their neighbours, times the share of the image that was
    not looked at. Neighbours' patches mirror each other, as antithetic variates (J. M. Hammersley
    and K. W. Morton, Math. Proc. Camb. Phil. Soc. 52, 449, 1956), so that what rises over the image
    adds nothing to the error; and their means are compared by second differences, to which it
    adds nothing either (K. M. Wolter, *Introduction to Variance Estimation*, 1985, section 7.2).
    """
    used = as_rater(model)
    limit = as_number("score_limit", score_limit, LOWEST_SCORE, 1)
    seed = as_seed(seed)
    number = None if patches is None else as_count("patches", patches, 1, 10**6)
    source = _Source(plane)
    side = used.side_for(source.height, source.width)
    looked = _Looked.none()
    if side:
        most = (source.height // side) * (source.width // side)
        if number is not None and most <= PLACE_PATCHES * number:
            number = None
        if number is None:
            looked = _all(source, used, side)
        else:
            looked = _sample(source, used, side, number, seed)
    return _result(looked, used, source, side, number, limit)


class _Looked(NamedTuple):
    """Patches that were looked at: where they lie, their stratum, and their rating."""

    positions: NDArray[np.intp]
    strata: NDArray[np.intp]
    rated: Rated

    @classmethod
    def none(cls) -> _Looked:
        empty = np.empty((0, len(OUTPUTS)))
        rated = Rated(empty, empty, np.empty(0), np.empty(0))
        return cls(np.empty((0, 2), np.intp), np.empty(0, np.intp), rated)

    @classmethod
    def together(cls, parts: Sequence[_Looked]) -> _Looked:
        if not parts:
            return cls.none()
        rated = Rated(*(np.concatenate(one) for one in zip(*(part.rated for part in parts))))
        positions = np.concatenate([part.positions for part in parts])
        return cls(positions, np.concatenate([part.strata for part in parts]), rated)


class _Source:
    """A plane, in memory or in a file, and how its pixels are saturated."""

    def __init__(self, plane: ArrayLike) -> None:
        self._plane: Any = plane
        self._unmasked: Optional[NDArray[np.bool_]] = None
        if not planes.is_lazy(plane):
            self._plane, self._unmasked = planes.as_plane(plane)
        self.height, self.width = (int(length) for length in self._plane.shape)
        self.dtype = np.dtype(self._plane.dtype)
        self._tops = planes.TopValues()
        self._pixels = 0

    @property
    def saturated_fraction(self) -> float:
        """Of the pixels that were read."""
        if self.dtype.kind == "f" or not self._pixels:
            return math.nan
        return self._tops.saturated(self.dtype) / self._pixels

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a part; what does not count is NaN."""
        part = planes.as_measured(np.asarray(self._plane[rows, columns]))
        if self._unmasked is not None:
            inside = self._unmasked[rows, columns]
            if not inside.all():
                part = np.where(inside, part, np.nan)
        return part

    def count(self, part: NDArray[Any]) -> None:
        """Count the highest values of a part, without masked ones."""
        if self.dtype.kind == "f":
            return
        values = part[np.isfinite(part)].astype(self.dtype) if part.dtype.kind == "f" else part
        self._tops.add(values)
        self._pixels += values.size


def _rate(used: RatingModel, patches: NDArray[Any]) -> Rated:
    """Rate patches but the blank ones."""
    n = len(patches)
    outputs, spreads = np.full((2, n, len(OUTPUTS)), np.nan)
    scores, score_spreads = np.full((2, n), np.nan)
    blank = blank_patches(patches)
    some = np.flatnonzero(~blank | (patches.shape[1] < _TELLING_SIDE))
    if len(some):
        rated = used.rate(patches[some])
        # In a small patch little structure can be told from none: what else has to be noise.
        with np.errstate(invalid="ignore"):
            kept = ~blank[some] | (rated.outputs[:, NOISE] < _MOSTLY_NOISE)
        some = some[kept]
        outputs[some], spreads[some] = rated.outputs[kept], rated.spreads[kept]
        scores[some], score_spreads[some] = rated.scores[kept], rated.score_spreads[kept]
    return Rated(outputs, spreads, scores, score_spreads)


def _all(source: _Source, used: RatingModel, side: int) -> _Looked:
    """Rate all patches; those of a few rows together where rows are short."""
    columns = tiles.starts(source.width, side)
    found: List[_Looked] = []
    cuts: List[NDArray[Any]] = []
    positions: List[NDArray[np.intp]] = []
    read_to = 0
    tops = tiles.starts(source.height, side).tolist()
    for y in tops:
        band = source.read(slice(y, y + side), slice(0, source.width))
        source.count(band[read_to - y if read_to > y else 0 :])
        read_to = y + side
        places = np.stack([np.zeros_like(columns), columns], axis=1)
        cuts.append(tiles.cut(band, places, side))
        positions.append(places + np.array([y, 0]))
        if len(cuts) * len(columns) >= _CHUNK or y == tops[-1]:
            rated = _rate(used, np.concatenate(cuts))
            strata = np.zeros(len(rated.scores), np.intp)
            found.append(_Looked(np.concatenate(positions), strata, rated))
            cuts, positions = [], []
    return _Looked.together(found)


def _sample(source: _Source, used: RatingModel, side: int, number: int, seed: int) -> _Looked:
    """Rate a random patch in each of the strata of so many places, where it is not blank."""
    rng = np.random.default_rng(seed)
    strata = np.array(
        _strata(source.height - side + 1, source.width - side + 1, PLACE_PATCHES * number)
    )
    shares = rng.random((len(strata), MOST_LOOKS, 2))
    # In every second stratum the patch of its neighbour, mirrored: what rises across both evens
    # out, and every place is as likely as any other all the same.
    mirrored = shares[1::2, 0]
    mirrored[:] = 1 - shares[: 2 * len(mirrored) : 2, 0]
    found = []
    still = np.arange(len(strata))
    for look in range(MOST_LOOKS):
        first, last = strata[still][:, [0, 2]], strata[still][:, [1, 3]]
        lengths = last - first
        at = first + np.minimum((shares[still, look] * lengths).astype(np.intp), lengths - 1)
        seen = np.zeros(len(still), np.bool_)
        for start in range(0, len(still), _CHUNK):
            chosen = slice(start, start + _CHUNK)
            parts = [
                source.read(slice(y, y + side), slice(x, x + side)) for y, x in at[chosen].tolist()
            ]
            for part in parts:
                source.count(part)
            rated = _rate(used, np.stack(parts))
            found.append(_Looked(at[chosen], still[chosen], rated))
            seen[chosen] = ~np.isnan(rated.scores)
        still = still[~seen]
    return _Looked.together(found)


def _strata(height: int, width: int, number: int) -> List[Tuple[int, int, int, int]]:
    """Divide a rectangle into so many, about square, of about the same size: a line through all.

    Each is top, bottom, left, right; neighbours in the list are neighbours in the plane.
    """
    bands = int(np.clip(round(math.sqrt(number * height / width)), 1, min(number, height)))
    per_band = np.diff(np.round(np.linspace(0, number, bands + 1)).astype(int))
    edges = np.linspace(0, height, bands + 1).astype(int)
    found = []
    for band, count in enumerate(per_band.tolist()):
        sides = np.linspace(0, width, max(min(count, width), 1) + 1).astype(int).tolist()
        spans = list(zip(sides[:-1], sides[1:]))[:: 1 if band % 2 == 0 else -1]
        found += [(int(edges[band]), int(edges[band + 1]), left, right) for left, right in spans]
    return found


def _result(
    looked: _Looked,
    used: RatingModel,
    source: _Source,
    side: int,
    number: Optional[int],
    limit: float,
) -> RatingResult:
    rated = looked.rated
    there = ~np.isnan(rated.scores)
    score = half = math.nan
    outputs, spreads = np.full((2, len(OUTPUTS)), np.nan)
    status, message = POOR.key, ""
    if not side:
        status = TOO_SMALL.key
        message = (
            f"The image has {source.height} x {source.width} pixels; patches have "
            f"{used.smallest_side} x {used.smallest_side} at least."
        )
    elif not there.any():
        status = NO_CONTENT.key
    else:
        shared = np.array(used.details.shared_errors)
        outputs, spreads = _combined(rated.outputs[there], rated.spreads[there], shared)
        n = int(np.count_nonzero(there))
        share = 0.0 if used.own_score is not None else float(shared[SCORE])
        spread = float(rated.score_spreads[there].mean())
        variance = spread**2 * (share + (1 - share) / n)
        if number is None:
            score = float(rated.scores[there].mean())
        else:
            of_strata = _means_of(rated.scores, looked.strata)
            score = float(of_strata.mean())
            seen = len(rated.scores) * side**2 / (source.height * source.width)
            variance += (1 - min(seen, 1)) * _variance_of_mean(of_strata)
        half = _CONFIDENT * math.sqrt(variance)
        status = GOOD.key if score >= limit else POOR.key
    components = components_of(outputs)
    cause, action = cause_of(components) if status == POOR.key else ("", "")
    return RatingResult(
        score=score,
        score_low=max(score - half, LOWEST_SCORE),
        score_high=min(score + half, 1.0),
        components=components,
        outputs=outputs,
        spreads=spreads,
        status=status,
        cause=cause,
        action=action,
        message=message,
        blank_fraction=float(1 - there.mean()) if len(there) else math.nan,
        saturated_fraction=source.saturated_fraction,
        height=source.height,
        width=source.width,
        patch_size_px=side,
        patch_positions=looked.positions,
        patch_outputs=rated.outputs,
        patch_spreads=rated.spreads,
        patch_scores=rated.scores,
        patch_score_spreads=rated.score_spreads,
        places=number,
    )


def _combined(
    outputs: Float64Array, spreads: Float64Array, shared: Float64Array
) -> Tuple[Float64Array, Float64Array]:
    """Average outputs of patches by their spreads; axes are vectors at twice their angle."""
    weights = 1 / np.maximum(spreads, 1e-6) ** 2
    # The two parts of an axis have one weight, or their mean would be turned.
    both = weights[:, [ALONG, DIAGONAL]].mean(axis=1, keepdims=True)
    weights[:, [ALONG, DIAGONAL]] = both
    means = (weights * outputs).sum(axis=0) / weights.sum(axis=0)
    alone = 1 / weights.sum(axis=0)
    variance = shared * (spreads**2).mean(axis=0) + (1 - shared) * alone
    return means, np.sqrt(variance)


def _means_of(scores: Float64Array, strata: NDArray[np.intp]) -> Float64Array:
    """Mean score of each stratum that has one, in their order."""
    there = ~np.isnan(scores)
    kept = strata[there]
    sums = np.bincount(kept, scores[there])
    counts = np.bincount(kept)
    return np.asarray(sums[counts > 0] / counts[counts > 0])


def _variance_of_mean(values: Float64Array) -> float:
    """Variance of the mean of one value a stratum, from differences of neighbouring pairs."""
    n = len(values)
    pairs = values[: n - n % 2].reshape(-1, 2).mean(axis=1)
    if len(pairs) < 3:
        differences = np.diff(values)
        return float((differences @ differences) / (2 * (n - 1) * n)) if n > 1 else 0.0
    differences = np.diff(pairs, 2)
    of_pair = float(differences @ differences) / (6 * len(differences))
    return 2 * of_pair / n
