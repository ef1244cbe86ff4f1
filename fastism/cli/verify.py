"""`fastism verify`: whether fast and naive ISM agree on a model.

Requirements: numpy, typer; the framework of the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fastism.calls.result import listed
from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, Failure, parsed, refuse, stage
from fastism.cli.inputs import Input
from fastism.cli.opened import ModelOptions, Opened, open_model
from fastism.cli.progress import note
from fastism.cli.skipped import check_strict, counted, tell
from fastism.genomics.regions import Region
from fastism.sequences import one_hot

#: Positions that are compared unless the user names some: naive ISM is slow.
SAMPLE = 24


@dataclass(frozen=True)
class Difference:
    """How far fast and naive ISM are apart on one output.

    Parameters
    ----------
    sequences, output : str
    largest : float
        Largest absolute difference.
    deviation : float
        Standard deviation of the effects of all mutations that were compared.
    """

    sequences: str
    output: str
    largest: float
    deviation: float

    @property
    def relative(self) -> float:
        """The largest difference in standard deviations of the effects."""
        if self.largest == 0:
            return 0.0
        return self.largest / self.deviation if self.deviation else float("inf")

    def __str__(self) -> str:
        return (
            f"{self.sequences}, {self.output}: largest difference {self.largest:.2g}, "
            f"{self.relative:.2g} standard deviations of the effects ({self.deviation:.2g})"
        )


def verify(
    model: o.ModelSpec,
    input: Annotated[
        Path | None,
        typer.Argument(metavar="INPUT", readable=False, help="FASTA, or BED with --genome."),
    ] = None,
    genome: o.Genome = None,
    positions: Annotated[
        str | None,
        typer.Option(
            metavar="START:END", help="Positions to compare; by default 24 evenly spaced ones."
        ),
    ] = None,
    sequences: Annotated[
        int, typer.Option(min=1, help="How many random ones, and of INPUT the first ones.")
    ] = 2,
    tolerance: Annotated[
        float,
        typer.Option(min=0.0, help="Largest difference, in standard deviations of the effects."),
    ] = 0.01,
    seed: Annotated[int, typer.Option(min=0, help="Of the random sequences.")] = 0,
    alphabet: o.Alphabet = "dna",
    pad: o.PadOption = o.Pad.skip,
    contigs: o.ContigsOption = o.Contigs.exact,
    not_finite: o.NotFiniteOption = o.NotFinite.error,
    strict: o.Strict = False,
    backend: o.Backend = None,
    device: o.Device = None,
    precision: o.Precision = "float32",
    memory: o.Memory = None,
    seqlen: o.Seqlen = None,
    input_shape: o.InputShape = None,
    channels_last: o.ChannelsLast = False,
    unsafe: o.Unsafe = False,
) -> None:
    """Compare fast with naive ISM on random sequences, and on those of INPUT.

    Every mutant of the compared positions runs through the whole model as well. Exit code 6 says
    that a difference exceeds the tolerance. With --not-finite keep, the finite numbers of sequences
    that have others too are compared as well.
    """
    letters = parsed("--alphabet", o.read_alphabet, alphabet)
    options = ModelOptions(
        unsafe, seqlen, input_shape, channels_last, backend, device, memory, precision=precision
    )
    if input is None and genome is not None:
        raise refuse("--genome is of use with a BED file only.")
    check_strict(strict, not_finite)
    if input is None:
        source = None
    else:
        source = Input(input, genome, pad is o.Pad.n, contigs is o.Contigs.rename)
    opened = open_model(
        model, options, length=None if source is None else source.length, check=False
    )
    length = opened.ism.seqlen
    if positions is None:
        chosen = np.unique(np.linspace(0, length - 1, min(length, SAMPLE)).astype(int))
    else:
        start, end = parsed("--positions", lambda text: o.read_positions(text, length), positions)
        chosen = np.arange(start, end)
    compared = {"random sequences": opened.random(sequences, seed)}
    if source is not None:
        compared[source.path.name] = _first(source, opened, letters, sequences, strict)
    worst = 0.0
    for name, x in compared.items():
        for difference in differences(opened, name, x, chosen, not_finite):
            typer.echo(str(difference))
            worst = max(worst, difference.relative)
    if worst > tolerance:
        raise Failure(
            Exit.DIFFERENT,
            f"fast and naive ISM differ by {worst:.2g} standard deviations of the effects; "
            f"tolerated are {tolerance:g}. Score with --naive, and please report the model's plan.",
        )
    typer.echo(f"fast and naive ISM agree at {len(chosen)} positions")


def _first(source: Input, opened: Opened, letters: str, count: int, strict: bool) -> np.ndarray:
    """The first sequences of a file that can be scored, shape (n, L, C)."""
    if len(letters) != opened.ism.num_chars:
        raise refuse(f"the model takes {opened.ism.num_chars} characters; {letters} has others.")
    regions: list[Region] = []
    skipped: list[tuple[str, str]] = []
    for record in source.records(opened.ism.seqlen, letters, "zero"):
        if len(regions) == count:
            break
        if isinstance(record, Region):
            regions.append(record)
        else:
            skipped.append((record.name, record.reason))
    if skipped and (strict or not regions):
        name, reason = skipped[0]
        raise Failure(
            Exit.INPUT,
            f"{len(skipped)} of the first {len(skipped) + len(regions)} records of {source.path} "
            f"cannot be scored. {name}: {reason}.",
        )
    if left_out := tell(skipped, quiet=False):
        note(counted(len(regions) + len(skipped), left_out))
    with stage(Exit.INPUT):
        return one_hot([r.sequence for r in regions], letters, "zero")


def differences(
    opened: Opened,
    name: str,
    x: np.ndarray,
    positions: np.ndarray,
    not_finite: o.NotFinite = o.NotFinite.error,
) -> Iterator[Difference]:
    """Fast against naive ISM on sequences (n, L, C), for every output.

    Of sequences for which the model is not finite, nothing is compared (``skip``), or what is
    finite (``keep``).
    """
    with stage(Exit.MODEL), np.errstate(invalid="ignore", over="ignore"):
        fast = opened.ism.saturate_by_position(x, positions=positions)
        naive = opened.naive().saturate_by_position(x, positions=positions)
        effects = listed(naive.delta())
    right = listed(naive.mutants)
    finite = [np.isfinite(b) for b in right]
    rows = np.all([each.reshape(len(x), -1).all(1) for each in finite], axis=0)
    for output, each in zip(opened.output_names, finite, strict=True):
        if not_finite is o.NotFinite.error and not each.all():
            raise Failure(
                Exit.MODEL,
                f"The model's output {output!r} is not finite for {name}. --not-finite skip leaves "
                "such sequences out.",
            )
    if not rows.all():
        note(f"{name}: the model is not finite for {np.count_nonzero(~rows)} of {len(x)} sequences")
    if not_finite is o.NotFinite.skip and not rows.any():
        raise Failure(Exit.MODEL, f"The model is not finite for any sequence of {name}.")
    for number, (a, each) in enumerate(zip(listed(fast.mutants), finite, strict=True)):
        taken = rows.reshape(-1, *[1] * (each.ndim - 1))
        if not_finite is o.NotFinite.keep:
            # Of a sequence with infinite values, commands take what naive ISM gives: fast ISM,
            # which works on differences, may have no number where the model has one.
            taken = taken | np.isfinite(a)
        finite[number] = each & taken
    pairs = zip(listed(fast.mutants), right, effects, finite, strict=True)
    for output, (a, b, effect, compared) in zip(opened.output_names, pairs, strict=True):
        # Where fast ISM alone is not finite, the difference is as large as it can be.
        with np.errstate(invalid="ignore"):
            apart = np.abs(a.astype(np.float64) - b)[compared]
        largest = float(apart.max(initial=0)) if np.isfinite(apart).all() else float("inf")
        changed = effect[compared & np.isfinite(effect)]
        changed = changed[changed != 0]
        yield Difference(name, output, largest, float(changed.std()) if changed.size else 0.0)
