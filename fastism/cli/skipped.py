"""What commands leave out: how it is counted, said, and refused on request.

Requirements: typer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastism.cli.exit_codes import Exit, Failure, refuse
from fastism.cli.inputs import NAMED
from fastism.cli.options import NotFinite
from fastism.cli.progress import note
from fastism.genomics.regions import Skip


def check_strict(strict: bool, not_finite: NotFinite) -> None:
    """Refuse to skip something and to end at whatever is skipped at once."""
    if strict and not_finite is NotFinite.skip:
        raise refuse("--strict ends at what --not-finite skip leaves out: give one of them.")


def counted(read: int, skipped: Counter[str]) -> str:
    """Records read, scored, and skipped by reason, for people.

    Examples
    --------
    >>> counted(7, Counter({"bad line": 2}))
    '7 records read, 5 sequences scored, 2 skipped (2 bad line)'
    """
    left_out = skipped.total()
    said = f"{read} records read, {read - left_out} sequences scored, {left_out} skipped"
    return f"{said} ({reasons(skipped)})" if skipped else said


def reasons(skipped: Counter[str]) -> str:
    """How many were skipped for which reason, for people."""
    return ", ".join(f"{count} {kind}" for kind, count in skipped.most_common())


def tell(skipped: Sequence[tuple[str, str]], quiet: bool, more: str = "") -> Counter[str]:
    """Name the first records that were skipped, with their reasons, and count all by reason.

    Parameters
    ----------
    skipped : sequence of (name, reason)
    quiet : bool
    more : str
        What to say of those that are not named.
    """
    for name, reason in skipped[:NAMED]:
        note(f"skipped {name}: {reason}", quiet)
    if len(skipped) > NAMED:
        note(f"skipped {len(skipped) - NAMED} more{more}", quiet)
    return Counter(Skip.of(reason) for _, reason in skipped)


def all_finite(arrays: Iterable[Any]) -> bool:
    """Whether nothing in some arrays is NaN or infinite."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


def not_finite_reason(name: str, policy: NotFinite) -> str:
    """Why a sequence is left out for which, or for a mutant of which, a model is not finite.

    Raises
    ------
    Failure
        Where that is an error.
    """
    if policy is NotFinite.error:
        raise Failure(
            Exit.MODEL,
            f"The model's output is not finite (NaN or infinite) for {name!r} or mutants of it. "
            "Check the model on that sequence; --not-finite skip leaves such sequences out, "
            "--not-finite keep takes what the model gives.",
        )
    return Skip.NOT_FINITE.because("an output for it or a mutant of it")


def check_some(scored: int, skipped: Sequence[tuple[str, str]]) -> None:
    """End the command where nothing is left."""
    if skipped and not scored:
        name, reason = skipped[0]
        raise Failure(
            Exit.MODEL, f"None of the {len(skipped)} sequences can be scored. {name}: {reason}."
        )
