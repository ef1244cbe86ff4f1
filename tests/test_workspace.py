"""Memory for large results is used again when nothing refers to it, and not before."""

from __future__ import annotations

import gc

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from fastism import FastISM, NaiveISM  # noqa: E402
from fastism.backends import compiled, workspace  # noqa: E402
from fastism.backends.choices import Choices  # noqa: E402
from fastism.backends.workspace import LEAST, MOST, Workspace  # noqa: E402
from fastism.models.torch.bpnet import bpnet_model  # noqa: E402
from fastism.pairs import plan  # noqa: E402

#: Numbers of a result that is kept.
LARGE = LEAST // 4


@pytest.fixture
def like():
    return torch.zeros(1)


def test_memory_is_used_again_when_its_result_is_gone(like):
    space = Workspace()
    first = space.empty(like, (2, LARGE))
    where = first.data_ptr()
    second = space.empty(like, (2, LARGE))
    assert second.data_ptr() != where
    del first
    assert space.empty(like, (LARGE, 2)).data_ptr() == where


#: What still shows a result when the tensor that was given out is gone.
VIEWS = {
    "slice": lambda x: x[3:5],
    "transpose": lambda x: x.T,
    "flat": lambda x: x.view(-1),
    "numpy": lambda x: x.numpy(),
}


@pytest.mark.parametrize("view", VIEWS)
def test_memory_is_not_used_again_while_a_view_is_there(like, view):
    space = Workspace()
    made = space.empty(like, (LARGE, 2)).fill_(7.0)
    where = made.data_ptr()
    kept = VIEWS[view](made)
    del made
    gc.collect()
    space.empty(like, (LARGE, 2)).fill_(1.0)
    assert (np.asarray(kept) == 7).all()
    del kept
    gc.collect()
    assert space.empty(like, (LARGE, 2)).data_ptr() == where


def test_sizes_and_types_are_those_that_are_asked_for(like):
    space = Workspace()
    for shape in [(3, LARGE), (3, LARGE - 5), (2, 3), (LARGE, 1, 4), ()]:
        assert space.empty(like, shape).shape == shape
        assert space.empty(like.double(), shape).dtype == torch.float64


def test_much_larger_memory_is_left_to_larger_results(like):
    space = Workspace()
    where = space.empty(like, (20 * LARGE,)).data_ptr()
    assert space.empty(like, (LARGE,)).data_ptr() != where
    assert space.empty(like, (19 * LARGE,)).data_ptr() == where


def test_there_is_a_limit_to_what_is_kept(like):
    space = Workspace()
    third = MOST // 4 // 3
    results = [space.empty(like, (third,)) for _ in range(5)]
    assert len({y.data_ptr() for y in results}) == 5
    assert sum(piece.numbers.nbytes for piece in space._pieces) <= MOST


def test_all_of_it_can_be_given_back(like):
    space = Workspace()
    made = space.empty(like, (LARGE,)).fill_(3.0)
    space.clear()
    assert not space._pieces
    assert (made == 3).all()


def test_nothing_is_kept_where_it_cannot_be_known_who_refers_to_it(like, monkeypatch):
    monkeypatch.setattr(workspace, "_counts", lambda: False)
    space = Workspace()
    assert space.empty(like, (LARGE,)).shape == (LARGE,)
    assert not space._pieces


@pytest.mark.parametrize("block", [1, 3])
def test_pairs_are_right_though_their_windows_share_memory(monkeypatch, block):
    monkeypatch.setattr(workspace, "LEAST", 0)
    monkeypatch.setattr(workspace, "STEP", 4)
    monkeypatch.setattr(plan, "BLOCKS", (block,))
    # The first kernel of the list, whatever was found to be the fastest in this process.
    monkeypatch.setenv("FASTISM_MEASURE", "0")
    monkeypatch.setattr("fastism.backends.torch.process_choices", lambda on_host: Choices())
    torch.manual_seed(0)
    model = bpnet_model(seqlen=80, num_dilated_convs=4).eval()
    letters = np.random.default_rng(0).integers(0, 4, (2, 80))
    x = np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1)
    positions = [0, 1, 30, 31, 34, 50, 79]
    shared = []
    empty = Workspace.empty

    def counted(self, *given):
        before = [piece.numbers.data_ptr() for piece in self._pieces]
        made = empty(self, *given)
        shared.append(made.data_ptr() in before)
        return made

    monkeypatch.setattr(Workspace, "empty", counted)
    fast = FastISM(model, input_shape=(4, 80), test_correctness=False)
    made = fast.pairs(x, positions=positions)
    assert compiled.load() is None or any(shared)
    naive = NaiveISM(model, input_shape=(4, 80)).pairs(x, positions=positions)
    for output, expected in zip(made.doubles, naive.doubles, strict=True):
        np.testing.assert_allclose(output, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
    assert not fast._backend._workspace._pieces
