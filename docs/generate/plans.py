"""Plans of real models as the library prints them, and the rewrites that precede planning.

Requirements: fastism, Keras.
"""

from __future__ import annotations

import inspect
from functools import cache

from docs.generate import table
from fastism.graph import simplify
from fastism.planning.plan import Plan, make_plan


@cache
def basset_plan() -> Plan:
    """The plan of Basset at 1000 bp, whose numbers do not depend on weights."""
    from fastism.frontends.keras import keras_graph
    from fastism.models import basset_model

    return make_plan(simplify.simplify(keras_graph(basset_model(seqlen=1000))))


def plan_of_basset() -> str:
    """What ``print(ism.plan)`` shows for Basset."""
    return f"```text\n{basset_plan()}\n```"


def rewrites() -> str:
    """The rewrites of `fastism.graph.simplify` in the order in which they are tried."""
    rows = [
        [f"`{function.__name__}`", inspect.getdoc(function).partition("\n\n")[0].replace("\n", " ")]
        for function in dict.fromkeys((*simplify._EARLY, *simplify._LATE))
    ]
    return table(["rewrite", "what it does"], rows)
