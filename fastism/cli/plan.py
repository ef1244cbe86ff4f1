"""`fastism plan`: how a model would be run, and what that costs.

Requirements: typer; the framework of the model.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import typer

from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, stage
from fastism.cli.opened import ModelOptions, open_model
from fastism.cli.progress import note
from fastism.planning.plan import Plan
from fastism.planning.report import runs_on


def plan(
    model: o.ModelSpec,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    seqlen: o.Seqlen = None,
    input_shape: o.InputShape = None,
    channels_last: o.ChannelsLast = False,
    backend: o.Backend = None,
    unsafe: o.Unsafe = False,
) -> None:
    """Show per layer how it is run, what a change reaches, and what it costs.

    Widths are in positions, costs in multiply-adds per mutant. Layers that cannot be accelerated
    are named with the reason.
    """
    options = ModelOptions(unsafe, seqlen, input_shape, channels_last, backend)
    opened = open_model(model, options, check=False)
    with stage(Exit.MODEL):
        made = opened.ism.plan
    if as_json:
        typer.echo(json.dumps(as_dict(made) | {"build_seconds": opened.seconds}, indent=2))
    else:
        typer.echo(str(made))
        note(f"read and planned in {opened.seconds:.1f} s")


def as_dict(made: Plan) -> dict[str, Any]:
    """A plan in what JSON knows; widths that there are not and costs not known are null."""
    rows = enumerate(zip(made.graph.nodes, made.steps, made.costs, strict=True))
    return {
        "layers": [
            {
                "name": node.name,
                "absorbed": list(node.absorbed),
                "kind": node.kind,
                "runs_on": runs_on(step),
                "shape": list(node.shape),
                "width": None if math.isnan(cost.width) else cost.width,
                "naive_multiply_adds": None if node.name in made.uncounted else cost.naive,
                "fast_multiply_adds": None if node.name in made.uncounted else cost.fast,
                "opaque_because": made.reasons.get(index),
            }
            for index, (node, step, cost) in rows
        ],
        "naive_multiply_adds": made.naive_macs,
        "fast_multiply_adds": made.fast_macs,
        "speedup": None if made.uncounted else made.speedup,
        "opaque": list(made.opaque),
        "runs_naive": made.naive,
    }
