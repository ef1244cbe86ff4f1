"""A torch module as calls that change nothing in place."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the modules are torch modules")

from fastism import FastISM  # noqa: E402
from fastism.frontends.torch_capture import PRIMES, captured  # noqa: E402

pytestmark = pytest.mark.torch


class Scaled(torch.nn.Module):
    """Positions times two, computed in place or not; and something that nobody reads."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.sin(x)
        y = x + 1
        return y.mul_(2) if self.in_place else y * 2


@pytest.mark.parametrize("in_place", [False, True])
def test_no_call_changes_a_tensor_and_each_is_needed(in_place):
    program = captured(Scaled(in_place).eval(), [(4, 9)], torch.float32, torch.device("cpu"))
    calls = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert calls == [torch.ops.aten.add.Tensor, torch.ops.aten.mul.Tensor]
    x = torch.randn(3, 4, 9)
    torch.testing.assert_close(program.module()(x), (x + 1) * 2)


def test_what_needs_the_batch_as_a_number_gets_a_rare_one():
    class Known(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(int(x.shape[0]), 36)

    program = captured(Known().eval(), [(4, 9)], torch.float32, torch.device("cpu"))
    given = next(node for node in program.graph.nodes if node.op == "placeholder")
    assert given.meta["val"].shape == (PRIMES[0], 4, 9)


class OneByOne(torch.nn.Module):
    """Runs a layer on each sequence of its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv1d(4, 3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.layer(each).sum(1) for each in x])


def test_a_loop_over_the_batch_is_not_captured_and_runs_as_a_whole():
    module = OneByOne().eval()
    with pytest.raises(RuntimeError, match="calls for each sequence of a batch"):
        captured(module, [(4, 9)], torch.float32, torch.device("cpu"))
    ism = FastISM(module, input_shape=(4, 9))
    x = torch.eye(4)[torch.arange(9) % 4].T[None]
    assert ism.verify(x) < 1e-6
    assert "it has calls for each sequence of a batch" in str(ism.plan)


@pytest.mark.skipif(
    not hasattr(torch.backends, "fp32_precision"), reason="PyTorch before 2.9 has one flag for both"
)
@pytest.mark.parametrize("places", [("conv",), ("rnn",), ("conv", "rnn")], ids="+".join)
def test_a_process_may_have_switched_tf32_off(places):
    """PyTorch itself captures nothing then, as its older flag says something else."""
    module = torch.nn.Sequential(torch.nn.Conv1d(4, 3, 5), torch.nn.ReLU()).eval()
    flags = [getattr(torch.backends.cudnn, place) for place in ("conv", "rnn")]
    before = [flag.fp32_precision for flag in flags]
    try:
        for place in places:
            getattr(torch.backends.cudnn, place).fp32_precision = "ieee"
        chosen = [flag.fp32_precision for flag in flags]
        ism = FastISM(module, input_shape=(4, 20))
        assert [flag.fp32_precision for flag in flags] == chosen
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.fp32_precision = value
    assert ism.plan.opaque == ()
