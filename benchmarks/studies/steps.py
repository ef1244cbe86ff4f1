"""What a step of a design takes: the reference pass, and what is kept from the step before.

    python -m benchmarks.studies.steps --job basset deepsea bpnet --threads 1 \
        --markdown benchmarks/records/steps.md

Requirements: rich; Keras with PyTorch.

PyTorch twins of the Keras models evolve one sequence, once with effects of far substitutions kept
from step to step and once with every step computed anew, in turns. The share of the reference pass
is that in the processor time of one step that is computed anew, both taken in turns.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import median

from benchmarks.studies.command import Study
from benchmarks.studies.turns import Turns, Twins, in_turns, known_architecture, told_ratio
from fastism import FastISM
from fastism.base_ism import BaseISM
from fastism.design import Goal, evolve

HEADER = (
    *("model", "bp", "effects add up from", "reference pass"),
    *("anew, s a step", "kept, s a step", "speedup", "of processor time", "designs"),
)
LEFT = (0, 8)
#: The sum of the first output: models may have several, and outputs several entries.
GOAL = Goal()


class Anew(FastISM):
    """Every step in full."""

    saturate_changing = BaseISM.saturate_changing


def reference_share(twins: Twins, rounds: int) -> Turns:
    """Saturation of a sequence, and its reference pass alone, in turns."""
    engine, x = twins.fast.engine, twins.x
    inputs = [x.transpose(0, 2, 1)]
    return in_turns(lambda: twins.fast.saturate(x), lambda: engine.reference(inputs), rounds)[0]


def row(name: str, given: argparse.Namespace) -> list[str]:
    """Time one architecture, as a line of the table."""
    twins = Twins.make(name, given.length, given.fasta)
    shape = {"input_shape": twins.x.shape[1:], "test_correctness": False}
    anew, x, steps = Anew(twins.fast.model, **shape), twins.x, given.steps
    # Memory, and what is made once.
    evolve(anew, x, 1, GOAL)
    evolve(twins.fast, x, 2, GOAL)
    share = reference_share(twins, given.rounds).process
    turns, slow, fast = in_turns(
        lambda: evolve(anew, x, steps, GOAL),
        lambda: evolve(twins.fast, x, steps, GOAL),
        given.rounds,
    )
    same = (slow.sequences == fast.sequences).all()
    return [
        name,
        str(given.length),
        f"{twins.fast.edit_plan().distance} bp",
        f"{100 / share.median:.2g} % ({100 / share.most:.2g}–{100 / share.least:.2g})",
        f"{median(turns.slow.clock) / steps:.3g}",
        f"{median(turns.fast.clock) / steps:.3g}",
        told_ratio(turns.clock),
        told_ratio(turns.process),
        "the same" if same else "differ",
    ]


def head(given: argparse.Namespace) -> str:
    """What stands above the table."""
    return (
        f"Greedy evolution of the first sequence of {given.fasta.name} for {given.steps} steps, "
        "all substitutions at every step, the sum of the first output made large. Reference pass: "
        "its share of the processor time of a step that is computed anew. Kept: effects of "
        "substitutions far from the last ones are those of the step before. Medians of "
        f"{given.rounds} runs in turns, in brackets the least and the most within a round. "
        "Designs: whether both made the same substitutions."
    )


STUDY = Study(
    name="steps",
    description="Print what steps of designs take, as a table in Markdown.",
    job=known_architecture,
    metavar="ARCHITECTURE",
    help="such as basset",
    header=HEADER,
    left=LEFT,
    row=row,
    told=str,
    head=head,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what steps of designs take, as a table in Markdown."""
    parser = STUDY.parser(5)
    parser.add_argument("--steps", type=int, default=5, help="substitutions to make")
    return STUDY.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
