"""How much of a device's memory a plan may take, by arithmetic: no model runs, no GPU is needed.

What is counted for a block, which is the least that runs together: its windows at the step where
they are largest, what it leaves behind for its readouts, the whole tensors of its mutants where
a step runs in full, and the largest temporary, products with all taps. Weights, references and
results come on top.
"""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

import fastism.ism as ism_module  # noqa: E402
from benchmarks.gpu.measure import MOST_MEMORY, above_limit  # noqa: E402
from benchmarks.gpu.subject import BUILDERS, made  # noqa: E402
from fastism.backends.torch_graphs import MOST_BYTES as GRAPH_BYTES  # noqa: E402
from fastism.backends.torch_graphs import MOST_GRAPHS  # noqa: E402
from fastism.backends.torch_triton import MOST_BYTES  # noqa: E402
from fastism.frontends.torch import TorchFrontEnd  # noqa: E402
from fastism.graph.simplify import simplify  # noqa: E402
from fastism.planning.plan import make_plan  # noqa: E402
from fastism.running.budget import Budget  # noqa: E402

SMALLEST, DEFAULT, CARD = 256 << 20, 2 << 30, 8 << 30
LENGTHS = {
    "basset": 2000,
    "factorized_basset": 1000,
    "bpnet": 2000,
    "deepsea": 1000,
    "beluga": 2000,
}
#: Dense layers of so many features stand for those of these models, whose weights take seconds to
#: copy; what their features take is added.
NARROW, DENSE_OF = 8, ("deepsea", "beluga")
#: What a step in full takes is counted twice, for temporaries.
TWICE = 2


def narrowed(module: Any) -> int:
    """Make the dense layers of a module narrow; how many features they had."""
    features, given = 0, None
    for parent in list(module.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, torch.nn.Linear):
                features += layer.out_features
                setattr(parent, name, torch.nn.Linear(given or layer.in_features, NARROW))
                given = NARROW
    return features


@pytest.mark.parametrize("name", BUILDERS)
def test_a_block_of_every_architecture_fits_into_the_least_memory(name, monkeypatch):
    for initial in ("kaiming_uniform_", "uniform_", "xavier_uniform_"):
        monkeypatch.setattr(torch.nn.init, initial, lambda x, *_, **__: x)  # of no matter here
    length = LENGTHS[name]
    module = made(name, length).eval()
    weights = sum(x.nbytes for x in module.parameters())
    left_out = 4 * narrowed(module) if name in DENSE_OF else 0
    with torch.no_grad():
        for x in module.parameters():
            x.zero_()
    graph = simplify(TorchFrontEnd(module, 0, None, (4, length)).graph())
    plan = make_plan(graph, 1, 3, uniform=True)
    mutants = 3 * plan.layout.block
    windows, stored = mutants * plan.window_bytes, mutants * (plan.stored_bytes + left_out)
    in_full = mutants * (plan.full_bytes + TWICE * left_out)
    total = windows + stored + in_full + MOST_BYTES
    assert total <= SMALLEST, f"{total / 2**20:.0f} MiB for a block of {mutants} mutants"
    # The same by the parts that a budget has: no part is too small for a block.
    assert windows <= SMALLEST // 2 and stored <= SMALLEST // 2 and in_full <= SMALLEST // 4
    assert Budget(plan, SMALLEST).most_in_full >= mutants
    # On a card of 8 GiB the default is the same: the model's own weights, those in the form of the
    # plan, and all that mutants may take by default leave it half empty.
    assert min((CARD - 2 * weights) // 4, ism_module.DEVICE_MEMORY) == ism_module.DEVICE_MEMORY
    assert 2 * weights + DEFAULT <= CARD // 2


def test_by_default_all_that_is_no_model_or_result_stays_below_two_gib():
    memory = ism_module.DEVICE_MEMORY
    # Windows of a chunk, what a batch leaves behind, steps in full; references of a group.
    mutants, references = memory // 2 + memory // 2 + memory // 4, memory // 4
    graphs = MOST_GRAPHS * GRAPH_BYTES
    assert mutants + references + MOST_BYTES + graphs <= DEFAULT == MOST_MEMORY


def test_a_peak_above_the_limit_is_said():
    mib = 1 << 20
    assert above_limit(peak=3000 * mib, result=1000 * mib, limit=2048 * mib) == ""
    said = above_limit(peak=3100 * mib, result=1000 * mib, limit=2048 * mib)
    assert said.startswith("MEMORY") and "2100 MiB" in said and "2048 MiB" in said
