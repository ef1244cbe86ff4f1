"""What commands read alike (alphabet, outputs, positions), and how a run is written down.

Requirements: typer.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, parsed, refuse, stage
from fastism.cli.opened import ModelOptions, Opened


@dataclass(frozen=True)
class Wanted:
    """What of a model's outputs is kept, and which positions change.

    Attributes
    ----------
    outputs : dict
        From the number of an output to its entries, or None for all of it; as `saturate` takes it.
    shapes : dict
        From the number of an output to the shape of what is kept of it, without the batch axis.
    positions : (int, int)
        0-based and half-open.
    """

    outputs: dict[int, list[int] | None]
    shapes: dict[int, tuple[int, ...]]
    positions: tuple[int, int]


def wanted(opened: Opened, alphabet: str, outputs: str | None, positions: str | None) -> Wanted:
    """Read --outputs and --positions, and compare --alphabet with the model.

    Raises
    ------
    Failure
        If one of them does not fit the model.
    """
    ism = opened.ism
    if len(alphabet) != ism.num_chars:
        raise refuse(
            f"--alphabet {alphabet} has {len(alphabet)} letters; the model takes {ism.num_chars}."
        )
    with stage(Exit.MODEL):
        shapes = ism.output_shapes
    names = opened.output_names
    kept = parsed("--outputs", lambda text: o.read_outputs(text, shapes, names), outputs)
    where = parsed("--positions", lambda text: o.read_positions(text, ism.seqlen), positions)
    left = {
        number: tuple(shapes[number] if entries is None else (len(entries), *shapes[number][1:]))
        for number, entries in kept.items()
    }
    return Wanted(kept, left, where)


def command_line(
    words: Sequence[str], options: Mapping[str, Any], model: ModelOptions, flags: Sequence[str] = ()
) -> str:
    """A command with nothing but what determines the content of its output.

    Parameters
    ----------
    words : sequence of str
        Command and arguments.
    options : mapping
        Options with their values; None where one was not given.
    model : ModelOptions
    flags : sequence of str
        Options without values.
    """
    made = ["fastism", *words]
    for option, value in options.items():
        made += [option, str(value)] if value is not None else []
    made += ["--naive"] * model.naive + ["--channels-last"] * model.channels_last
    return shlex.join([*made, *flags])
