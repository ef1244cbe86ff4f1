"""What scans return.

Requirements: numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastism.calls.result import Outputs


@dataclass(frozen=True)
class Scan:
    """Model outputs for a change at every position of every sequence.

    Axes: N sequences, W changes (widths of deletions, or inserted words; one for chimeras), P
    positions. Where the model has several outputs, every array is a list of arrays, one per output.

    Parameters
    ----------
    reference : ndarray, shape (N, *output)
        Outputs for the sequences as they are (for chimeras, of the sequences on the left).
    mutants : ndarray, shape (N, W, P, *output)
    positions : ndarray of int, shape (P,)
        0-based: the first letter that is deleted, the letter before which a word is inserted, or
        the first letter of the sequence on the right.
    names : tuple of str
        Names of the W changes.
    """

    reference: Outputs
    mutants: Outputs
    positions: np.ndarray
    names: tuple[str, ...]

    def delta(self) -> Outputs:
        """Mutants minus reference, with the axes of `mutants`."""
        if isinstance(self.mutants, list):
            pairs = zip(self.mutants, self.reference, strict=True)
            return [mutants - reference[:, None, None] for mutants, reference in pairs]
        return self.mutants - self.reference[:, None, None]
