"""Batches of mutants for naive ISM, made on the host or where the model lives.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

#: ``batches(sequence, start, replacement)``: inputs of the model for a batch of mutants. Of each of
#: them: which sequence it changes, where, and what stands there instead (width, characters).
Batches = Callable[[np.ndarray, np.ndarray, np.ndarray], list[Any]]


def host_batches(inputs: Sequence[np.ndarray], sequence: int) -> Batches:
    """Batches of mutants made on the host.

    Parameters
    ----------
    inputs : sequence of ndarray, each (sequences, *shape)
    sequence : int
        Which input is mutated: (sequences, length, characters).
    """

    def batch(which: np.ndarray, start: np.ndarray, replacement: np.ndarray) -> list[np.ndarray]:
        made = [x[which] for x in inputs]
        rows = start[:, None] + np.arange(replacement.shape[1])
        made[sequence][np.arange(len(which))[:, None], rows] = replacement
        return made

    return batch
