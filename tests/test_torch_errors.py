"""What is told of torch modules, shapes, sequences and types that do not fit."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch_cases import LENGTH, SHAPE, X, readout, seeded  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "input_shape=(4, 1000) (--input-shape 4,1000 on the command line)"),
        ({"input_shape": "ACGT"}, "input_shape is 'ACGT'"),
        ({"input_shape": (4, 0)}, "input_shape is (4, 0)"),
        ({"input_shape": (4,)}, "needs (characters, length)."),
        ({"input_shape": [(4,), SHAPE]}, "another input is the sequence, give its number"),
        ({"input_shape": (3, LENGTH)}, "does not run on inputs of shapes [(3, 24)]"),
        ({"input_shape": SHAPE, "seqlen": 9}, "length in input_shape is 24 (--input-shape)"),
        ({"input_shape": SHAPE, "seq_input_idx": 1}, "has 1 input(s)"),
        ({"input_shape": SHAPE, "seq_input_idx": "x"}, "expected an integer"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
def test_settings_that_do_not_fit(kind, options, words):
    with pytest.raises(FastISMError) as caught:
        kind(readout(), **options)
    assert words in str(caught.value)


class TwoInputs(nn.Module):
    def forward(self, covariates, sequence):
        return sequence.mean((1, 2))[:, None] + covariates


def test_inputs_are_named_as_the_module_names_them():
    shapes = [(2,), SHAPE]
    with pytest.raises(FastISMError, match=r"0 is 'covariates', 1 is 'sequence'"):
        FastISM(TwoInputs(), "sequence", input_shape=shapes)
    with pytest.raises(FastISMError, match=r"2 input\(s\).*counted from 0\.$"):
        FastISM(seeded(lambda a, b: b.mean(-1)), 2, input_shape=shapes)


def test_inputs_in_the_other_layout():
    ism = FastISM(readout(), input_shape=SHAPE)
    with pytest.raises(FastISMError, match="Channels come before positions: transpose"):
        ism.saturate(X.swapaxes(1, 2))


def letters_last(characters: int = 4) -> nn.Module:
    """A module that takes (length, characters)."""

    def forward(conv, linear, x):
        return linear(torch.relu(conv(x.transpose(1, 2))).transpose(1, 2)).mean(1)

    return seeded(forward, nn.Conv1d(characters, 5, 5, padding=2), nn.Linear(5, 3))


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
@pytest.mark.parametrize(("length", "characters"), [(LENGTH, 4), (200, 5), (200, 20)])
def test_a_shape_of_exchanged_axes_is_refused_unless_the_order_is_told(kind, length, characters):
    given = letters_last(characters), {"input_shape": (length, characters)}
    with pytest.raises(FastISMError) as caught:
        kind(given[0], **given[1])
    told = str(caught.value)
    assert f"read as {length} characters at {characters} positions" in told
    shape = f"input_shape=({characters}, {length})"
    for remedy in ("channels_last=True", "--channels-last", shape, "channels_last=False"):
        assert remedy in told
    assert kind(given[0], channels_last=True, **given[1]).seqlen == length
    assert kind(given[0], channels_last=False, **given[1]).seqlen == characters


@pytest.mark.parametrize("shape", [(20, 9), (20, 5), (64, 10), (1280, 100), (4, 4)], ids=str)
def test_many_characters_at_few_positions_are_taken(shape):
    module = seeded(lambda conv, x: conv(x).mean(-1), nn.Conv1d(shape[0], 2, 3, padding=1))
    assert NaiveISM(module, input_shape=shape).seqlen == shape[1]


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
def test_sequences_that_are_one_hot_along_the_positions_are_refused(kind):
    ism = kind(letters_last(20), input_shape=(30, 20))
    x = np.eye(20, dtype="float32")[np.random.default_rng(0).integers(20, size=(2, 30))]
    with pytest.raises(FastISMError, match=r"one-hot as 20 characters at 30.*channels_last=True"):
        ism.saturate(x)


def test_a_word_among_zeros_is_a_sequence_though_it_has_every_letter_once():
    x = np.zeros((1, 4, LENGTH), "float32")
    x[0, range(4), range(4)] = 1
    assert FastISM(readout(), input_shape=SHAPE).saturate(x).mutants.shape == (1, 4, LENGTH, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype):
    with pytest.raises(FastISMError, match=r"needs float32 or float64.*\.float\(\)"):
        FastISM(readout(dtype), input_shape=SHAPE)


def test_half_precision_of_a_buffer_alone():
    module = readout()
    module.register_buffer("scale", torch.ones(3, dtype=torch.float16))
    with pytest.raises(FastISMError, match="'scale' of the module is float16"):
        NaiveISM(module, input_shape=SHAPE)


def test_half_precision_inputs_are_read_as_what_they_are_or_refused():
    ism = FastISM(readout(), input_shape=SHAPE)
    made, expected = ism.saturate(X.astype(np.float16)), ism.saturate(X)
    assert made.mutants.dtype == np.float32
    np.testing.assert_array_equal(made.mutants, expected.mutants)
    with pytest.raises(FastISMError, match="cannot be read as an array"):
        ism.saturate(torch.tensor(X).bfloat16())


def autocast(conv, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = torch.relu(conv(x))
    return y.float().mean(-1)


@pytest.mark.parametrize(
    "function",
    [
        lambda conv, x: torch.relu(conv(x)).bfloat16().float().mean(-1),
        lambda conv, x: torch.relu(conv(x)).half().float().mean(-1),
        lambda conv, x: conv(x).mul(3).int().to(x.dtype).mean(-1),
        lambda conv, x: conv(x).mean(-1).half(),
        autocast,
    ],
    ids=["bfloat16", "float16", "integers", "at the end", "autocast"],
)
def test_other_types_within_a_module_are_opaque_and_as_the_module_computes(function):
    module = seeded(function, nn.Conv1d(4, 5, 3, padding=1))
    ism = FastISM(module, input_shape=SHAPE)
    # A change of type, whichever of its two names the capture gives it.
    assert any(name.split(".")[-1].lstrip("_").startswith("to") for name in ism.plan.opaque), (
        ism.plan.opaque
    )
    changed = X.copy()
    changed[:, :, 7] = np.eye(4)[1]
    with torch.no_grad():
        expected = module(torch.tensor(changed)).float().numpy()
    # An element on the border of two roundings may fall to either side.
    np.testing.assert_allclose(ism.saturate(X).mutants[:, 1, 7], expected, atol=0.02)
    np.testing.assert_allclose(
        np.median(np.abs(ism.saturate(X).mutants[:, 1, 7] - expected)), 0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x.mean(-1) - x.mean((0, 2)), "depends on the others in its batch"),
        (lambda x: F.dropout(x, 0.5).mean(-1), "depends on chance"),
        (lambda x: x.sum(), "must be (sequences, ...)"),
        (lambda x: None, "returns no tensor"),
    ],
    ids=["batch", "chance", "no batch axis", "nothing"],
)
def test_modules_whose_mutants_mean_nothing(function, words):
    with pytest.raises(FastISMError) as caught:
        FastISM(seeded(function), input_shape=SHAPE)
    assert words in str(caught.value)


def test_other_frameworks_run_what_they_know():
    pytest.importorskip("tensorflow", reason="a second framework is needed")
    ism = FastISM(readout(), input_shape=SHAPE, backend="tensorflow")
    assert ism.verify(X, positions=[0, 12, 23]) < 1e-5
