"""Whether outputs of fast and naive ISM are the same, but for rounding.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fastism.errors import NotFiniteError

#: What fast and naive outputs may differ by, as parts of the largest output and the largest effect.
#: With the factors of TF32, naive ISM alone was found to be off by 0.01 to 0.4 of this sum
#: (benchmarks/records/rounding.md); fast ISM may be off by as much.
ROUNDING = {"float32": (1e-5, 1e-3), "tf32": (2e-3, 5e-2)}


def agree(
    outputs: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], precision: str, atol: float
) -> bool:
    """Whether fast and naive outputs differ by rounding alone.

    Parameters
    ----------
    outputs : iterable of (fast, naive, reference)
        For each output of the model: of mutants, twice ``(sequences, mutants, *output)``, and of
        the sequences themselves, ``(sequences, *output)``.
    precision : {"float32", "tf32"}
    atol : float
        Absolute tolerance, to which `ROUNDING` is added.

    Returns
    -------
    bool

    Raises
    ------
    NotFiniteError
        If the model itself gives no finite number, so that nothing can be compared.
    """
    compared = False
    for fast, slow, reference in outputs:
        reference = np.broadcast_to(reference[:, None], slow.shape)
        # What the model itself has no number for is not a matter of fast or naive.
        finite = np.isfinite(slow) & np.isfinite(reference)
        if not finite.any():
            continue
        compared = True
        fast, slow, reference = fast[finite], slow[finite], reference[finite]
        effect = np.abs(slow - reference).max()
        of_output, of_effect = ROUNDING[precision]
        tolerance = atol + of_output * np.abs(slow).max() + of_effect * effect
        if not np.abs(fast - slow).max() <= tolerance:
            return False
    if not compared:
        raise NotFiniteError(
            "The model itself gives no finite output (NaN or infinite) for random sequences, "
            "so that fast and naive ISM cannot be compared. Check the model and its weights; "
            "test_correctness=False leaves this check out in Python."
        )
    return True
