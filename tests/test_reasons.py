"""Steps in full that cost something say why; what they cost is counted, or said to be unknown."""

from __future__ import annotations

import json
import math

import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402

from fastism import FastISM  # noqa: E402
from fastism.cli.plan import as_dict  # noqa: E402
from fastism.planning.plan import Plan  # noqa: E402
from fastism.planning.reasons import SHARE  # noqa: E402
from fastism.planning.steps import Mode  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 60


class Written(nn.Module):
    """A convolution of four channels to eight, and a function of its result and of `parts`."""

    def __init__(self, function, **parts: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.function = nn.Conv1d(4, 8, 5, padding=2), function
        self.parts = nn.ModuleDict(parts)

    def forward(self, x):
        return self.function(self.parts, torch.relu(self.conv(x)))


def plan_of(function, **parts: nn.Module) -> Plan:
    module = Written(function, **parts).eval()
    return FastISM(module, input_shape=(4, LENGTH), test_correctness=False).plan


def index_of(plan: Plan, name: str) -> int:
    return next(i for i, node in enumerate(plan.graph.nodes) if node.name == name)


def squeezed(parts, y):
    gate = torch.sigmoid(parts["up"](torch.relu(parts["down"](parts["pool"](y).squeeze(-1)))))
    return parts["late"](y * gate[:, :, None]).amax(-1)


def squeeze_excitation() -> Plan:
    r"""
    conv -- relu ----------------------------- multiply -- late -- maximum
                \-- pool -- down -- up ------/
    """
    return plan_of(
        squeezed,
        pool=nn.AdaptiveAvgPool1d(1),
        down=nn.Linear(8, 2),
        up=nn.Linear(2, 8),
        late=nn.Conv1d(8, 16, 9),
    )


def test_the_gate_of_squeeze_excitation_names_the_pool_that_made_it_global():
    plan = squeeze_excitation()
    (gate,) = plan.opaque
    told = plan.reasons[index_of(plan, gate)]
    assert told.startswith("what parts.pool (AdaptiveAvgPool1d) reads from all positions")
    late = plan.reasons[index_of(plan, "parts.late")]
    assert late == f"after {gate} (mul)"
    assert f"In full: {gate} (mul): {told}." in " ".join(str(plan).split())
    assert "of naive ISM" in str(plan)


def test_every_costly_step_in_full_says_why_and_cheap_ones_need_not():
    plan = squeeze_excitation()
    for index in plan.full_steps:
        if plan.costs[index].naive > SHARE * plan.naive_macs:
            assert plan.reasons[index]
    assert index_of(plan, "parts.down") not in plan.reasons
    assert plan.steps[index_of(plan, "parts.down")].mode is Mode.FULL


def test_a_global_pool_that_is_multiplied_back_says_so():
    plan = plan_of(lambda parts, y: (y * y.amax(-1, keepdim=True)).mean(-1))
    assert len(plan.opaque) == 1
    assert "amax" in plan.reasons[index_of(plan, plan.opaque[0])]


def test_a_costly_dense_layer_behind_a_readout_names_the_readout():
    plan = plan_of(
        lambda parts, y: parts["second"](torch.relu(parts["first"](parts["pool"](y).flatten(1)))),
        pool=nn.AdaptiveMaxPool1d(1),
        first=nn.Linear(8, 64),
        second=nn.Linear(64, 64),
    )
    assert plan.opaque == ()
    assert plan.reasons[index_of(plan, "parts.second")] == "after parts.pool (AdaptiveMaxPool1d)"


def test_the_plan_of_the_command_line_holds_the_reasons():
    plan = squeeze_excitation()
    rows = {row["name"]: row for row in json.loads(json.dumps(as_dict(plan)))["layers"]}
    assert rows["parts.late"]["opaque_because"] == f"after {plan.opaque[0]} (mul)"
    assert rows["conv"]["opaque_because"] is None


def attention(parts, y):
    y = y.transpose(1, 2)
    return parts["attention"](y, y, y, need_weights=False)[0].mean(1)


#: What follows the convolution, its parts, and multiply-adds by hand.
COUNTED = {
    "lstm": (
        lambda parts, y: parts["lstm"](y.transpose(1, 2))[0].mean(1),
        {"lstm": nn.LSTM(8, 6, num_layers=2, batch_first=True, bidirectional=True)},
        LENGTH * 2 * (4 * 6 * (8 + 6) + 4 * 6 * (12 + 6)),
    ),
    "gru": (
        lambda parts, y: parts["gru"](y.transpose(1, 2))[0].mean(1),
        {"gru": nn.GRU(8, 6, batch_first=True)},
        LENGTH * 3 * 6 * (8 + 6),
    ),
    "attention": (
        attention,
        {"attention": nn.MultiheadAttention(8, 2, batch_first=True)},
        LENGTH * 4 * 8 * 8 + 2 * LENGTH * LENGTH * 8,
    ),
    "products": (
        lambda parts, y: torch.softmax(y.transpose(1, 2) @ y, -1).mean(1),
        {},
        LENGTH * LENGTH * 8,
    ),
    "einsum": (
        lambda parts, y: torch.einsum("bcl,bcm->blm", y, y).mean(1),
        {},
        LENGTH * LENGTH * 8,
    ),
    "two axes": (
        lambda parts, y: parts["conv"](y[:, None]).mean((2, 3)),
        {"conv": nn.Conv2d(1, 3, (2, 5))},
        3 * 7 * (LENGTH - 4) * 10,
    ),
}


@pytest.mark.parametrize("case", COUNTED)
def test_multiply_adds_of_what_has_no_rule_are_counted(case):
    function, parts, expected = COUNTED[case]
    plan = plan_of(function, **parts)
    assert plan.opaque
    counted = [cost.naive for cost, step in zip(plan.costs, plan.steps, strict=True) if step.reason]
    assert sum(counted) == expected
    assert plan.speedup == pytest.approx(plan.naive_macs / plan.fast_macs)
    assert plan.fast_macs >= expected


def test_a_module_that_cannot_be_captured_is_counted_as_it_runs():
    def forward(parts, y):
        assert torch.isfinite(y).all()
        return parts["dense"](y.flatten(1))

    plan = plan_of(forward, dense=nn.Linear(8 * LENGTH, 3))
    assert plan.naive_macs == LENGTH * 4 * 5 * 8 + 8 * LENGTH * 3
    assert plan.speedup == 1


def test_no_speedup_is_told_where_it_cannot_be_known():
    plan = plan_of(lambda parts, y: torch.fft.rfft(y).abs().mean(-1))
    assert math.isnan(plan.speedup)
    assert plan.uncounted == plan.opaque
    assert "Expected speedup" not in str(plan)
    assert f"cannot be counted: {plan.opaque[0]}" in " ".join(str(plan).split())
    made = json.loads(json.dumps(as_dict(plan)))
    assert made["speedup"] is None
    row = next(row for row in made["layers"] if row["name"] == plan.opaque[0])
    assert row["naive_multiply_adds"] is None
