"""Residuals of the identities that attributions must satisfy.

Requirements: numpy.
"""

from __future__ import annotations

import numpy as np


def completeness_residual(attributions: np.ndarray, differences: np.ndarray) -> float:
    """How far attributions are from summing up to a difference of outputs.

    Completeness, or the summation to delta: what integrated gradients (Sundararajan et al. 2017)
    and DeepLIFT (Shrikumar et al. 2017) satisfy by construction.

    Parameters
    ----------
    attributions : ndarray, shape (cases, length, characters)
        One case per sequence and output.
    differences : ndarray, shape (cases,)
        Output minus that of the baseline, or minus the mean over baselines.

    Returns
    -------
    float
        The largest ``|sum - difference|`` of any case, divided by the difference. If the
        difference happens to be close to zero, the divisor is what the sum would typically be if
        its terms had random signs: rounding alone must not look like a failure.
    """
    values = attributions.reshape(len(attributions), -1).astype(np.float64)
    expected = np.asarray(differences, dtype=np.float64)
    scale = np.maximum(np.abs(expected), np.sqrt((values**2).sum(1)))
    return _largest(np.abs(values.sum(1) - expected), scale)


def relative_difference(values: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference between two arrays, in units of the largest expected value.

    Returns
    -------
    float
        Infinite where shapes differ.
    """
    if values.shape != expected.shape:
        return float("inf")
    wrong = np.abs(values.astype(np.float64) - expected)
    return _largest(np.array([wrong.max()]), np.array([np.abs(expected).max()]))


def _largest(wrong: np.ndarray, scale: np.ndarray) -> float:
    """The largest of ``wrong / scale``: 0 where both are 0, infinite if any of them is NaN."""
    ratio = np.where(wrong == 0, 0.0, wrong / np.maximum(scale, 1e-300))
    return float("inf") if np.isnan(ratio).any() else float(ratio.max())
