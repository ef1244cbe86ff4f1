"""Train the promoter model, and record how.

    python -m benchmarks.studies.promoter.train --fasta F.fa.gz --model M.keras --record R.json

Requirements: numpy, scipy, psutil, rich; Keras with TensorFlow once training begins.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.jobs.progress import Progress
from benchmarks.networks.promoter import promoter_model
from benchmarks.records import environment
from benchmarks.studies.promoter.dataset import (
    ASIDE,
    BACKGROUND,
    HELD_OUT,
    PROMOTER,
    VALIDATION,
    Examples,
    read_upstream,
    split,
)
from fastism.loading.model_files import hash_weights


@dataclass(frozen=True, slots=True)
class Settings:
    """How the model is trained.

    Attributes
    ----------
    seed : int
        Of the weights, the order of the examples and the dropout.
    batch : int
        Examples per step.
    learning_rate : float
        Of Adam, the optimizer.
    epochs : int
        At most.
    patience : int
        Training ends after so many epochs without a better AUC on the validation set; the weights
        of the best epoch are kept.
    """

    seed: int = 20
    batch: int = 64
    learning_rate: float = 1e-3
    epochs: int = 30
    patience: int = 5


@dataclass(frozen=True)
class Trained:
    """A trained model and how the training went.

    Attributes
    ----------
    model : keras.Model
        Neither compiled nor with the state of an optimizer.
    history : mapping from str to list of float
        Per epoch: ``loss``, ``validation_loss``, ``validation_auc``.
    best_epoch : int
        The epoch, counted from 1, whose weights the model has.
    seconds : float
        Of the training.
    """

    model: Any
    history: Mapping[str, list[float]]
    best_epoch: int
    seconds: float


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties half.

    Parameters
    ----------
    labels : ndarray of bool, shape (examples,)
    scores : ndarray, shape (examples,)

    Examples
    --------
    >>> auc(np.array([True, False, True, False]), np.array([3.0, 1.0, 2.0, 2.0]))
    0.875
    """
    scores = np.asarray(scores, dtype=np.float64)  # ranks in single precision would be rounded
    positive, negative = scores[labels], scores[~labels]
    greater = stats.mannwhitneyu(positive, negative).statistic
    return float(greater / (len(positive) * len(negative)))


def predict(model: Any, examples: Examples, batch: int = 512) -> np.ndarray:
    """Logits, shape (examples,)."""
    encoded = examples.encoded()
    parts = [encoded[i : i + batch] for i in range(0, len(encoded), batch)]
    return np.concatenate([np.asarray(model.predict_on_batch(x))[:, 0] for x in parts])


def train(
    splits: Mapping[str, Examples],
    settings: Settings,
    report: Callable[[int, Mapping[str, float]], None] | None = None,
) -> Trained:
    """Train the model; after `make_deterministic`, settings and machine determine the weights.

    Parameters
    ----------
    splits : mapping from str to Examples
        ``train`` and ``validation``.
    settings : Settings
    report : callable, optional
        Called after every epoch with its number, from 1, and its loss and AUC.
    """
    import keras

    keras.utils.set_random_seed(settings.seed)
    model = promoter_model()
    model.compile(
        keras.optimizers.Adam(settings.learning_rate),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    history: dict[str, list[float]] = {"loss": [], "validation_loss": [], "validation_auc": []}
    best: tuple[float, int, list[np.ndarray]] = (-1.0, 0, [])

    x, y = splits["train"].encoded(), splits["train"].labels.astype(np.float32)
    began = time.monotonic()
    for epoch in range(1, settings.epochs + 1):
        fitted = model.fit(x, y, settings.batch, epochs=1, verbose=0)
        logits = predict(model, splits["validation"])
        labels = splits["validation"].labels
        now = {
            "loss": float(fitted.history["loss"][0]),
            "validation_loss": float(np.logaddexp(0, np.where(labels, -logits, logits)).mean()),
            "validation_auc": auc(labels, logits),
        }
        for key, value in now.items():
            history[key].append(value)
        if report:
            report(epoch, now)
        if now["validation_auc"] > best[0]:
            best = now["validation_auc"], epoch, model.get_weights()
        if epoch - best[1] >= settings.patience:
            break
    seconds = time.monotonic() - began
    # A model that was never compiled is saved without the state of an optimizer.
    trained = promoter_model()
    trained.set_weights(best[2])
    return Trained(trained, history, best[1], seconds)


def make_deterministic() -> None:
    """Let TensorFlow use only operations that give the same every time, from now on."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def evaluate(model: Any, splits: Mapping[str, Examples]) -> dict[str, float]:
    """AUC on every split, and on the held-out one without its ambiguous windows."""
    found = {}
    for name, examples in splits.items():
        logits = predict(model, examples)
        found[name] = auc(examples.labels, logits)
        if name == "held_out":
            clear = ~examples.ambiguous
            found["held_out_unambiguous"] = auc(examples.labels[clear], logits[clear])
    return found


def describe(
    fasta: Path, splits: Mapping[str, Examples], settings: Settings, trained: Trained
) -> dict[str, Any]:
    """The training record: data, settings, outcome, machine and versions, without the file."""
    return {
        "data": {
            "file": fasta.name,
            "sha256": hashlib.sha256(fasta.read_bytes()).hexdigest(),
            "promoter": [p - 2000 for p in PROMOTER],
            "background": [p - 2000 for p in BACKGROUND],
            "held_out": HELD_OUT,
            "validation": VALIDATION,
            "aside": list(ASIDE),
            "counts": {
                name: {
                    "promoter": int(examples.labels.sum()),
                    "background": int((~examples.labels).sum()),
                    "ambiguous": int(examples.ambiguous.sum()),
                }
                for name, examples in splits.items()
            },
        },
        "settings": dataclasses.asdict(settings),
        "model": {
            "parameters": trained.model.count_params(),
            "output": "logit",
            "weights_sha256": hash_weights(trained.model),
        },
        "epochs": len(trained.history["loss"]),
        "best_epoch": trained.best_epoch,
        "history": trained.history,
        "auc": evaluate(trained.model, splits),
        "seconds": trained.seconds,
        "where": dataclasses.asdict(environment.describe()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the promoter model."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.promoter.train", description=main.__doc__
    )
    parser.add_argument("--fasta", type=Path, required=True, help="2,000 bp upstream of starts")
    parser.add_argument("--model", type=Path, required=True, help="what to write, .keras")
    parser.add_argument("--record", type=Path, required=True, help="how it went, JSON")
    parser.add_argument("--epochs", type=int, default=Settings().epochs, help="at most")
    parser.add_argument("--threads", type=int, default=0, help="processors to use; 0 for all")
    given = parser.parse_args(arguments)
    environment.prepare(threads=given.threads)
    make_deterministic()
    settings = dataclasses.replace(Settings(), epochs=given.epochs)
    with Progress("Promoter model") as progress:
        splits = split(read_upstream(given.fasta))
        for name, examples in splits.items():
            progress.done(f"{name}: {len(examples):,} windows")

        def report(epoch: int, now: Mapping[str, float]) -> None:
            numbers = ", ".join(f"{key.replace('_', ' ')} {v:.4f}" for key, v in now.items())
            progress.done(f"epoch {epoch}: {numbers}")

        trained = train(splits, settings, report)
        record = describe(given.fasta, splits, settings, trained)
        given.model.parent.mkdir(parents=True, exist_ok=True)
        trained.model.save(given.model)
        record["model"]["sha256"] = hashlib.sha256(given.model.read_bytes()).hexdigest()
        given.record.parent.mkdir(parents=True, exist_ok=True)
        given.record.write_text(json.dumps(record, indent=2) + "\n")
        found = ", ".join(f"{name} {value:.3f}" for name, value in record["auc"].items())
        progress.done(f"AUC: {found}; {trained.seconds:.0f} seconds")


if __name__ == "__main__":
    main()
