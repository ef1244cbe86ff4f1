r"""Whether importance is higher where motifs match than where shuffled motifs do.

    python -m benchmarks.studies.promoter.enrichment --scores S.h5 --attributions A.npz \
        --motifs M.pfm --output promoter.json

The importance of a match is the mean over its positions. Of every motif, the matches next to start
sites are compared with those of matrices that have its columns in another order, in two ways: match
by match (Mann-Whitney), and matrix by matrix: how many of the shuffled matrices have matches that
are as important on average. The latter is the one to trust, as matches of one matrix have much in
common. Matches of a shuffled matrix that overlap one of the motif are no controls, but the motif
itself, a base or two away: they are left out.

Requirements: numpy, scipy, psutil, h5py, fastism.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.records import environment
from benchmarks.studies.promoter.dataset import HELD_OUT
from benchmarks.studies.promoter.motifs import (
    Matches,
    Motif,
    column_shuffles,
    log_odds,
    read_motifs,
    scan,
    threshold,
)
from fastism.errors import FastISMError
from fastism.sequences import to_string

#: What the importance of exact ISM is called in records, as `benchmarks.methods` calls it.
ISM = "fast_ism"
#: The motif whose matches are recorded one by one, and those that logos mark.
SHOWN = "Dref"
MARKED = ("Dref", "TBP")


@dataclass(frozen=True, slots=True)
class Settings:
    """How enrichment is measured.

    Attributes
    ----------
    near : int
        Base pairs next to the start site in which matches are compared.
    p_value : float
        Of a match, at one position on one strand; the least round number at which each of the
        seven matrices has a match.
    shuffles : int
        Shuffled matrices per motif.
    fewest : int
        Matches that a shuffled matrix must have to be compared as a matrix.
    resamples : int
        Of the promoters, for intervals.
    bin : int
        Base pairs of a step of the profile along the promoter.
    best, best_shown : int
        How many promoters are recorded for logos: of all those with the highest output, and of
        those that have a match of the shown motif next to the start site.
    logo : int
        Base pairs of a logo, next to the start site.
    seed : int
        Of shuffles and resamples.
    """

    near: int = 100
    p_value: float = 2.5e-4
    shuffles: int = 999
    fewest: int = 5
    resamples: int = 2000
    bin: int = 20
    best: int = 1
    best_shown: int = 2
    logo: int = 100
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Enrichment:
    """Importance at matches of a motif against matches of its shuffles, by one method.

    Attributes
    ----------
    identifier, motif, consensus, method : str
    matches, promoters : int
        Matches of the motif next to start sites, and promoters that have one.
    shuffled_matches : int
        Matches of all shuffled matrices there that overlap none of the motif.
    mean, shuffled_mean : float
        Importance, in units of the output.
    superiority : float
        How often a match has more importance than one of a shuffled matrix, ties half; 0.5 where
        there is no difference. It is U over the product of both numbers.
    low, high : float
        95 % of the superiority in resampled promoters, the shuffled matches being fixed.
    u, p_mann_whitney : float
        Of the one-sided test, match by match.
    matrices, exceeded : int
        Shuffled matrices with enough matches, and how many of them have matches that are on
        average less important.
    p_matrices : float
        One more than those that do not, over one more than all.
    """

    identifier: str
    motif: str
    consensus: str
    method: str
    matches: int
    promoters: int
    shuffled_matches: int
    mean: float
    shuffled_mean: float
    superiority: float
    low: float
    high: float
    u: float
    p_mann_whitney: float
    matrices: int
    exceeded: int
    p_matrices: float


@dataclass(frozen=True)
class Found:
    """Where a motif and its shuffles match, all along the promoters."""

    motif: Motif
    matches: Matches
    shuffled: Matches


def base_frequencies(sequences: np.ndarray) -> np.ndarray:
    """Frequencies of the bases, both strands taken together; shape (4,)."""
    frequencies = sequences.mean(axis=(0, 1), dtype=np.float64)
    return (frequencies + frequencies[::-1]) / 2


def find(motif: Motif, sequences: np.ndarray, settings: Settings) -> Found:
    """Matches of a motif, and those of its shuffles that do not overlap them.

    Parameters
    ----------
    motif : Motif
    sequences : ndarray, shape (sequences, length, 4)
        One-hot, the last position next to the start site.
    settings : Settings
    """
    background = base_frequencies(sequences)
    weights = log_odds(motif.counts, background)
    least = threshold(weights, background, settings.p_value)
    # A seed of its own: what comes out for a motif does not depend on the others.
    rng = np.random.default_rng([settings.seed, *motif.identifier.encode()])
    shuffles = column_shuffles(motif.counts, settings.shuffles, rng)
    shuffled = [log_odds(counts, background) for counts in shuffles]
    matches, others = (scan(sequences, each, least) for each in ([weights], shuffled))
    covered = np.zeros(sequences.shape[:2])
    for offset in range(matches.width):
        covered[matches.sequence, matches.start + offset] = 1
    return Found(motif, matches, others.where(others.means(covered) == 0))


def compare(found: Found, method: str, importance: np.ndarray, settings: Settings) -> Enrichment:
    """Compare importance at matches of a motif and of its shuffles next to start sites.

    Parameters
    ----------
    found : Found
    method : str
        Where `importance` is from.
    importance : ndarray, shape (sequences, length)
    settings : Settings

    Raises
    ------
    FastISMError
        The motif, or all of its shuffles together, have no match there.
    """
    length = importance.shape[1]
    near = found.matches.within(length - settings.near, length)
    others = found.shuffled.within(length - settings.near, length)
    if not len(near) or not len(others):
        raise FastISMError(
            f"{found.motif.name} has {len(near)} matches next to start sites, its shuffles "
            f"{len(others)}: nothing to compare. Score more sequences, or accept a larger p value."
        )
    values, shuffled = near.means(importance), others.means(importance)
    test = stats.mannwhitneyu(values, shuffled, alternative="greater", method="asymptotic")
    low, high = _interval(near.sequence, values, shuffled, settings)
    counts = np.bincount(others.matrix, minlength=settings.shuffles)
    sums = np.bincount(others.matrix, shuffled, minlength=settings.shuffles)
    means = sums[counts >= settings.fewest] / counts[counts >= settings.fewest]
    exceeded = int((means < values.mean()).sum())
    return Enrichment(
        identifier=found.motif.identifier,
        motif=found.motif.name,
        consensus=found.motif.consensus,
        method=method,
        matches=len(near),
        promoters=len(np.unique(near.sequence)),
        shuffled_matches=len(others),
        mean=float(values.mean()),
        shuffled_mean=float(shuffled.mean()),
        superiority=float(test.statistic / (len(values) * len(shuffled))),
        low=low,
        high=high,
        u=float(test.statistic),
        p_mann_whitney=float(test.pvalue),
        matrices=len(means),
        exceeded=exceeded,
        p_matrices=(1 + len(means) - exceeded) / (1 + len(means)),
    )


def _interval(
    promoter: np.ndarray, values: np.ndarray, shuffled: np.ndarray, settings: Settings
) -> tuple[float, float]:
    """95 % of the superiority in resampled promoters: matches of one promoter go together."""
    ordered = np.sort(shuffled)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    _, group = np.unique(promoter, return_inverse=True)
    sums, counts = np.bincount(group, below / (2 * len(shuffled))), np.bincount(group)
    rng = np.random.default_rng(settings.seed)
    times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), settings.resamples)
    low, high = np.quantile((times @ sums) / (times @ counts), [0.025, 0.975])
    return float(low), float(high)


def profile(
    found: Found, importances: Mapping[str, np.ndarray], settings: Settings
) -> dict[str, Any]:
    """Every match of a motif, and quantiles of importance at matches of its shuffles.

    Returns
    -------
    dict
        ``matches``: per match its distance, the last position being -1, from its middle to the
        start site, and its importance by every method; ``bins``: per step along the promoter, its
        half-open interval of distances, and quantiles of ISM importance at matches of shuffles;
        ``near``: per method, percentiles of both next to start sites.
    """
    length = importances[ISM].shape[1]
    first = length - settings.near
    distance = _distances(found.matches, length)
    order = np.argsort(distance, kind="stable")
    matches = {
        "sequence": found.matches.sequence[order].tolist(),
        "start": found.matches.start[order].tolist(),
        "distance": distance[order].tolist(),
        **{name: _rounded(found.matches.means(v)[order]) for name, v in importances.items()},
    }
    shuffled, at = found.shuffled.means(importances[ISM]), _distances(found.shuffled, length)
    bins = []
    for low in range(-length, 0, settings.bin):
        inside = shuffled[(at >= low) & (at < low + settings.bin)]
        if len(inside):
            quantiles = np.quantile(inside, [0.05, 0.5, 0.95])
            bins.append([low, low + settings.bin, len(inside), *_rounded(quantiles)])
    near = {
        name: {
            "matches": _percentiles(found.matches.within(first, length).means(values)),
            "shuffled": _percentiles(found.shuffled.within(first, length).means(values)),
            "sd": float(values[:, first:].std()),
        }
        for name, values in importances.items()
    }
    return {"motif": found.motif.name, "matches": matches, "bins": bins, "near": near}


def _distances(matches: Matches, length: int) -> np.ndarray:
    return matches.start + (matches.width - 1) / 2 - length


def _percentiles(values: np.ndarray) -> list[float]:
    return _rounded(np.percentile(values, np.arange(101)))


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.4g}") for value in values]


def logos(
    names: Sequence[str],
    sequences: np.ndarray,
    outputs: np.ndarray,
    importance: np.ndarray,
    marked: Mapping[str, Matches],
    settings: Settings,
) -> list[dict[str, Any]]:
    """The promoters with the highest outputs: letters, importance and matches next to the start.

    First those of all promoters, then those of the rest that have a match of the shown motif.
    """
    length, size = sequences.shape[1], settings.logo
    near = {name: matches.within(length - size, length) for name, matches in marked.items()}
    order = np.argsort(-outputs, kind="stable")
    has_match = np.isin(order, near[SHOWN].sequence) & (np.arange(len(order)) >= settings.best)
    chosen = np.append(order[: settings.best], order[has_match][: settings.best_shown])
    return [
        {
            "name": names[i],
            "output": float(outputs[i]),
            "sequence": text,
            "importance": _rounded(importance[i, length - size :]),
            "matches": [
                [name, int(start) - length, int(start) - length + matches.width]
                for name, matches in near.items()
                for start in np.sort(matches.start[matches.sequence == i])
            ],
        }
        for i, text in zip(chosen, to_string(sequences[chosen, length - size :]), strict=True)
    ]


def measure(
    names: Sequence[str],
    sequences: np.ndarray,
    outputs: np.ndarray,
    importances: Mapping[str, np.ndarray],
    motifs: Sequence[Motif],
    settings: Settings,
) -> dict[str, Any]:
    """Everything that the figure and the table show.

    Parameters
    ----------
    names : sequence of str
    sequences : ndarray, shape (sequences, length, 4)
        One-hot, the last position next to the start site.
    outputs : ndarray, shape (sequences,)
        Of the model.
    importances : mapping from str to ndarray, shape (sequences, length)
        By method; that of exact ISM is called "fast_ism".
    motifs : sequence of Motif
        Among them the one called "Dref".
    settings : Settings
    """
    rows, marked, shown = [], {}, None
    for motif in motifs:
        found = find(motif, sequences, settings)
        rows += [compare(found, name, values, settings) for name, values in importances.items()]
        if motif.name in MARKED:
            marked[motif.name] = found.matches
        if motif.name == SHOWN:
            shown = profile(found, importances, settings)
    if shown is None:
        raise FastISMError(f"There is no motif called {SHOWN} among the matrices.")
    return {
        "promoters": len(sequences),
        "length": sequences.shape[1],
        "settings": dataclasses.asdict(settings),
        "enrichment": [dataclasses.asdict(row) for row in rows],
        "profile": shown,
        "logos": logos(names, sequences, outputs, importances[ISM], marked, settings),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure how much more important positions are where motifs match."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.promoter.enrichment", description=main.__doc__
    )
    parser.add_argument("--scores", type=Path, required=True, help="store of `fastism score`")
    parser.add_argument("--attributions", type=Path, required=True, help="other methods, .npz")
    parser.add_argument("--motifs", type=Path, required=True, help="JASPAR count matrices")
    parser.add_argument("--output", type=Path, required=True, help="JSON")
    given = parser.parse_args(arguments)
    from fastism.store.reader import Store

    store, every = Store(given.scores), slice(None)
    importances = {ISM: store.importance(0, every)[..., 0], **np.load(given.attributions)}
    record = measure(
        [region.name for region in store.regions],
        store.one_hot(every),
        store.reference(0, every)[:, 0],
        importances,
        read_motifs(given.motifs),
        Settings(),
    )
    record = {
        "chromosome": HELD_OUT,
        "model": {"file": store.header.model, "sha256": store.header.model_hash},
        "motifs": given.motifs.name,
        **record,
        "where": dataclasses.asdict(environment.describe()),
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
