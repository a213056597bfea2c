"""What a score would be if it were without noise: a smooth surface through noisy scores."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

# Of the surface: lengths over which it changes, in shares of a parameter's range; its height and
# the noise, in shares of the scores' own variance.
_LENGTHS, _FIRST_LENGTH = (0.1, 3.0), 0.5
_HEIGHTS = (0.05, 20.0)
_NOISE, _FIRST_NOISE = (1e-4, 1.0), 0.05


class Smoothed(NamedTuple):
    """Scores without their noise.

    Attributes
    ----------
    mean, spread : (n,) array of float64
        At each point, with its standard deviation.
    noise : float
        Standard deviation of a single score about the surface.
    """

    mean: Float64Array
    spread: Float64Array
    noise: float


def smoothed(points: Float64Array, scores: Float64Array, at: Float64Array) -> Smoothed:
    """Estimate scores at points from noisy ones.

    Parameters
    ----------
    points : (n, d) array
        Settings, see `tune_space.coordinates`; the same one may be there several times.
    scores : (n,) array
    at : (m, d) array
        Where scores are asked for.

    Returns
    -------
    Smoothed

    Notes
    -----
    Regression by a Gaussian process, Matérn covariance of order 5/2 with a length for each axis,
    and white noise, all of them by maximum likelihood (C. E. Rasmussen and C. K. I. Williams,
    Gaussian Processes for Machine Learning, 2006, algorithm 2.1 and equation 5.8).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    deviation = float(scores.std())
    if deviation == 0:
        return Smoothed(np.full(len(at), scores.mean()), np.zeros(len(at)), 0.0)
    lengths = np.full(points.shape[1], _FIRST_LENGTH)
    kernel = ConstantKernel(1.0, _HEIGHTS) * Matern(lengths, _LENGTHS, nu=2.5) + WhiteKernel(
        _FIRST_NOISE, _NOISE
    )
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    with warnings.catch_warnings():
        # A parameter that makes no difference has the longest length: that is no fault.
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(points, scores)
    mean = process.predict(at)
    fitted = process.kernel_
    noise = deviation * float(np.sqrt(fitted.k2.noise_level))
    # The covariance of the surface alone: what is asked for is no further noisy score.
    surface = fitted.k1
    covariance = fitted(points)
    towards = surface(at, points)
    variance = surface.diag(at) - np.einsum(
        "ij,ij->i", towards, np.linalg.solve(covariance, towards.T).T
    )
    return Smoothed(mean, deviation * np.sqrt(np.maximum(variance, 0.0)), noise)
