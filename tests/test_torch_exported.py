"""Programs of `torch.export`: read where their batch axis is open, refused with a remedy if not."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402
from fastism.loading.model_files import load_model  # noqa: E402

pytestmark = pytest.mark.torch
SHAPE = (4, 24)
OPEN = {0: torch.export.Dim.AUTO}


class Small(nn.Module):
    """conv -- relu -- linear; optionally with a second input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.linear = nn.Conv1d(4, 5, 5, padding=2), nn.Linear(5 * 24, 2)

    def forward(self, x, more=None):
        y = self.linear(torch.relu(self.conv(x)).flatten(1))
        return y if more is None else y + more


def exported(batch: int, *more: int, **given) -> torch.export.ExportedProgram:
    """A program that was exported with some sequences, and further inputs of some sizes."""
    arguments = (torch.zeros(batch, *SHAPE), *(torch.zeros(batch, n) for n in more))
    return torch.export.export(Small().eval(), arguments, **given)


@pytest.mark.parametrize("of", ["program", "module"])
def test_a_program_with_an_open_batch_axis_is_read_as_its_module(of):
    program = exported(2, dynamic_shapes={"x": OPEN})
    given = program if of == "program" else program.module()
    x = np.eye(4, dtype="float32")[np.arange(48).reshape(2, 24) % 4].swapaxes(1, 2).copy()
    ism = FastISM(given, input_shape=SHAPE)
    assert ism.plan.opaque == ()
    naive = NaiveISM(Small().eval(), input_shape=SHAPE)
    np.testing.assert_allclose(ism.saturate(x).mutants, naive.saturate(x).mutants, atol=1e-5)
    assert ism.verify(x) < 1e-5


def test_a_largest_batch_of_a_program_is_none_of_its_mutants():
    few = {0: torch.export.Dim("batch", max=8)}
    ism = FastISM(exported(2, dynamic_shapes={"x": few}), input_shape=SHAPE)
    assert ism.plan.opaque == ()
    x = np.eye(4, dtype="float32")[np.arange(24) % 4].T[None]
    naive = NaiveISM(Small().eval(), input_shape=SHAPE)
    np.testing.assert_allclose(ism.saturate(x).mutants, naive.saturate(x).mutants, atol=1e-5)


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "in a module"])
def test_a_fixed_batch_is_refused_with_how_to_export_again(kind, batch, wrapped):
    program = exported(batch)
    given = nn.Sequential(program.module()) if wrapped else program
    with pytest.raises(FastISMError) as caught:
        kind(given, input_shape=SHAPE)
    assert f"exported with a fixed batch of {batch}," in str(caught.value)
    assert "dynamic_shapes={'x': {0: torch.export.Dim.AUTO}}" in str(caught.value)


def test_all_inputs_are_named_where_there_are_several():
    with pytest.raises(FastISMError, match=r"\{'x': \{0: .*AUTO\}, 'more': \{0: .*AUTO\}\}"):
        FastISM(exported(2, 2), input_shape=[SHAPE, (2,)])


def test_a_traced_module_that_runs_any_batch_is_taken_whatever_its_trace_names():
    given = torch.fx.symbolic_trace(nn.Sequential(nn.Conv1d(4, 2, 3), nn.ReLU(), nn.Flatten()))
    assert FastISM(given, input_shape=SHAPE).num_outputs == 1
    next(iter(given.graph.nodes)).meta["val"] = torch.zeros(2, *SHAPE)
    assert FastISM(given, input_shape=SHAPE).num_outputs == 1


SAVED = """
import torch

def program():
    return torch.export.load(r"{path}"), (4, 24)

def module():
    return torch.export.load(r"{path}").module(), (4, 24)
"""


def test_a_function_may_return_a_program(tmp_path):
    path = tmp_path / "small.pt2"
    torch.export.save(exported(2, dynamic_shapes={"x": OPEN}), path)
    (tmp_path / "saved_programs.py").write_text(SAVED.format(path=path))
    loaded = [load_model(f"{tmp_path / 'saved_programs.py'}:{n}") for n in ("program", "module")]
    assert loaded[0].hash == loaded[1].hash
    for each in loaded:
        assert FastISM(each.model, input_shape=each.input_shape).seqlen == 24
