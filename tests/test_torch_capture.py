"""A torch module as calls that change nothing in place."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the modules are torch modules")

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
