"""What gradient × input and DeepSHAP say of the held-out promoters, to set beside ISM.

    python -m benchmarks.studies.promoter.attribute --model M.keras --fasta F.fa --output A.npz

Requirements: numpy, psutil, rich; Keras with TensorFlow, and shap.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.jobs.progress import Progress
from benchmarks.jobs.select_sequences import encoded
from benchmarks.methods import discover
from benchmarks.records import environment
from benchmarks.studies.correlate import chosen, importance

#: Those of `benchmarks.methods` that are compared; DeepSHAP against ten shuffled references.
METHODS = ("gradient_x_input", "deepshap")


def attribute(
    model: Any, sequences: np.ndarray, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Importance of every position by every method.

    Parameters
    ----------
    model : keras.Model
        One output.
    sequences : ndarray, float32, shape (sequences, length, 4)
        One-hot.
    progress : Progress, optional
        Told what has come out.

    Returns
    -------
    dict from str to ndarray, float32, shape (sequences, length)
        By the name of the method.

    Raises
    ------
    BenchmarkError
        A method cannot run here, or its attributions are not what they should be.
    """
    found = {}
    for method in chosen(METHODS, discover()):
        if reason := method.refuse():
            raise BenchmarkError(f"{method.label} cannot run: {reason}")
        method.set_up(model, sequences)
        result = method.run()
        check = method.check(result)
        if check and not check.holds:
            raise BenchmarkError(
                f"{method.label} fails its check ({check.identity}): residual "
                f"{check.residual:.3g}, at most {check.tolerance:.3g} is accepted."
            )
        found[method.name] = importance(method, result, sequences).astype(np.float32)
        if progress:
            progress.done(f"{method.label}: {len(sequences):,} sequences")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Attribute the output of a model to the positions of sequences by other methods than ISM."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.promoter.attribute", description=main.__doc__
    )
    parser.add_argument("--model", type=Path, required=True, help=".keras, one output")
    parser.add_argument("--fasta", type=Path, required=True, help="sequences of its length")
    parser.add_argument("--output", type=Path, required=True, help=".npz, one array per method")
    parser.add_argument("--threads", type=int, default=0, help="processors to use; 0 for all")
    given = parser.parse_args(arguments)
    environment.prepare(threads=given.threads)
    import keras

    with Progress("Attributions of the promoter model") as progress:
        model = keras.saving.load_model(given.model, compile=False)
        sequences = encoded(given.fasta, model.inputs[0].shape[1])
        found = attribute(model, sequences, progress)
        given.output.parent.mkdir(parents=True, exist_ok=True)
        np.savez(given.output, **found)


if __name__ == "__main__":
    main()
