"""Rounding: bits are what hardware keeps, and the tolerance for TF32 is what its rounding needs."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="rounding is imitated on PyTorch")

import torch.nn.functional as F  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from benchmarks.records import environment  # noqa: E402
from benchmarks.studies.of_models import mutants_of  # noqa: E402
from benchmarks.studies.rounding import (  # noqa: E402
    FACTORS,
    SINGLE,
    WHOLE,
    keep_bits,
    main,
    measure,
    moved,
    outputs_of,
    with_factors,
)
from fastism import FastISM  # noqa: E402
from fastism.backends import onednn  # noqa: E402
from fastism.backends.precision import check_precision  # noqa: E402
from fastism.calls.agreement import ROUNDING  # noqa: E402
from fastism.errors import FastISMError  # noqa: E402
from fastism.models.torch import factorized_basset_model  # noqa: E402

pytestmark = pytest.mark.torch

LENGTH = 80
MODEL = environment.ROOT / "data" / "promoter_model.keras"
RECORD = environment.ROOT / "benchmarks" / "records" / "rounding.md"


def small_module(seed: int = 0) -> torch.nn.Module:
    """Two convolutions and a dense layer."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv1d(4, 16, 7, padding="same"),
        torch.nn.ReLU(),
        torch.nn.Conv1d(16, 8, 3, padding="same"),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * LENGTH, 2),
    ).eval()


def one_hot() -> np.ndarray:
    return np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(4, size=LENGTH)]


# ---- bits -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "bits", "expected"),
    [
        (1 + 2**-10, 10, 1 + 2**-10),
        (1 + 2**-11 + 2**-20, 10, 1 + 2**-10),
        (1 + 2**-11 - 2**-20, 10, 1.0),
        (-(1 + 2**-11 + 2**-20), 10, -(1 + 2**-10)),
        (2 - 2**-20, 10, 2.0),  # carries into the exponent
        (0.1, 1, 0.09375),
        (0.0, 10, 0.0),
        # Ties: half a last bit above an even one goes down, above an odd one up.
        (1 + 2**-11, 10, 1.0),
        (1 + 3 * 2**-11, 10, 1 + 2**-9),
        (-(1 + 2**-8), 7, -1.0),
        (1 + 3 * 2**-8, 7, 1 + 2**-6),
    ],
)
def test_known_numbers(given, bits, expected):
    assert keep_bits(torch.tensor([given], dtype=torch.float32), bits).item() == expected


def test_seven_bits_are_bfloat16():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 400, generator=generator) * 10 ** torch.randn(400, generator=generator)
    # Ties, of odd and even numbers: a bfloat16 and half of its last bit.
    pattern = torch.randint(2**15, (500,), generator=generator, dtype=torch.int32) << 16
    ties = (pattern | 1 << 15).view(torch.float32)
    for values in (x, x.T, ties[ties.isfinite()]):
        expected = values.to(torch.bfloat16).float()
        assert torch.equal(keep_bits(values, 7), expected)
        assert not torch.equal(values, expected)


# ---- modules ----------------------------------------------------------------------------


def test_the_copy_rounds_what_goes_into_products_and_the_module_stays_as_it_was():
    module = small_module()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    x = mutants_of(one_hot(), 5)
    (exact,) = outputs_of(module, x)
    rounded = with_factors(module, 7)
    (given,) = outputs_of(rounded, x)
    first, _, second, _, last = module
    y = torch.from_numpy(x).transpose(1, 2)
    for conv in (first, second):
        y = F.conv1d(keep_bits(y, 7), keep_bits(conv.weight, 7), conv.bias, padding="same")
        y = y.relu() if conv is first else y.flatten(1)
    y = F.linear(keep_bits(y, 7), keep_bits(last.weight, 7), last.bias)
    np.testing.assert_allclose(given, y.detach().numpy(), rtol=0, atol=1e-6)
    assert np.abs(given - exact).max() > 1e-4
    np.testing.assert_array_equal(outputs_of(module, x)[0], exact)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(layer._forward_pre_hooks for layer in module.modules())


def test_all_bits_change_nothing():
    module, x = small_module(), mutants_of(one_hot(), 5)
    exact, same = (outputs_of(m, x)[0] for m in (module, with_factors(module, SINGLE)))
    np.testing.assert_array_equal(exact, same)


# ---- what is measured -------------------------------------------------------------------


def test_mutants_are_the_other_characters_at_evenly_spaced_positions():
    sequence = one_hot()
    made = mutants_of(sequence, 3)
    assert made.shape == (1 + 3 * 3, LENGTH, 4)
    np.testing.assert_array_equal(made[0], sequence)
    changed = (made[1:] != sequence).any(2)
    assert (changed.sum(1) == 1).all()
    assert changed.argmax(1).tolist() == [0] * 3 + [39] * 3 + [79] * 3
    assert len(np.unique(made, axis=0)) == len(made)
    assert (made.sum(2) == 1).all()


def test_differences_of_effects_by_hand():
    # Effects 1, -1, 3, -3 have the standard deviation √5; rounding moves them by 0.5, 0, 0, -1.
    exact = np.array([[10.0], [11.0], [9.0], [13.0], [7.0]], np.float32)
    rounded = np.array([[20.0], [21.5], [19.0], [23.0], [16.0]], np.float32)
    found = moved(exact, rounded)
    assert found.typical == pytest.approx(np.sqrt(1.25 / 4 / 5))
    assert found.largest == pytest.approx(1 / np.sqrt(5))
    assert found.of_effect == pytest.approx(1 / 3)
    assert found.of_output == pytest.approx(1 / 13)


class Twice(torch.nn.Module):
    """A module whose second output loses more to rounding, in terms of its effects."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_module()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.inner(x)
        return y, 1000 + y


def test_the_output_that_moves_most_counts():
    x = mutants_of(one_hot(), 5)
    one, two = measure(small_module(), x), measure(Twice(), x)
    assert set(one) == set(two) == {*FACTORS, WHOLE}
    assert two[WHOLE].typical > 10 * one[WHOLE].typical
    for found in one.values():
        assert 0 < found.typical < found.largest
    assert one["TF32 factors"].typical < one["bfloat16 factors"].typical / 4


def test_a_model_without_effects_is_an_error():
    module = small_module()
    torch.nn.init.zeros_(module[0].weight)
    with pytest.raises(FastISMError, match="do not vary"):
        measure(module, mutants_of(one_hot(), 5))


# ---- the command ------------------------------------------------------------------------


@pytest.mark.keras
def test_the_trained_model_makes_a_table(tmp_path, capsys):
    keras = pytest.importorskip("keras", reason="the model is a Keras model")
    from benchmarks.attribution.twins import make_twin

    model = keras.saving.load_model(MODEL, compile=False)
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(1).integers(4, size=(3, 400))]
    expected = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(outputs_of(make_twin(model), x)[0], expected, atol=1e-4)

    written = tmp_path / "new" / "rounding.md"
    assert main(["--model", str(MODEL), "--positions", "2", "--markdown", str(written)]) == 0
    text = written.read_text()
    lines = [line for line in text.splitlines() if line.startswith("| `promoter_model.keras`")]
    assert [line.split(" | ")[2] for line in lines] == [*FACTORS, WHOLE]
    assert all(line in capsys.readouterr().out for line in lines[:1])
    assert "2 positions" in text and "Measured 20" in text and "torch 2" in text


def test_what_cannot_be_measured_is_said(tmp_path, capsys):
    assert main(["--model", str(tmp_path / "none.keras")]) == 1
    assert "There is no model" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([])
    assert "--architecture or --model" in capsys.readouterr().err


# ---- the tolerance of the library's own check -------------------------------------------


def recorded() -> list[list[str]]:
    """Rows of the committed table of what was measured."""
    lines = RECORD.read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [row for row in rows if row[2] in (*FACTORS, WHOLE)]


def test_the_tolerance_holds_errors_of_both_fast_and_naive_ism():
    of_output, of_effect = ROUNDING["tf32"]
    shares = []
    for row in recorded():
        if row[2] == "TF32 factors":
            per_effect, per_output = map(float, row[-2:])
            shares.append(per_output / (of_output + of_effect * per_output / per_effect))
    assert len(shares) > 4
    # It is not so wide either that it would hold what was measured ten times over.
    assert 0.1 < max(shares) < 0.5


def test_bfloat16_is_refused_with_the_largest_error_that_was_measured():
    worst = max(float(row[4]) for row in recorded() if row[2] == "bfloat16 factors")
    with pytest.raises(FastISMError, match=f"by up to {worst:g} of their standard deviations"):
        check_precision("bfloat16", "torch", "cpu", "float32")


class Imitated(TorchDispatchMode):
    """Rounds the factors of every product of PyTorch, of fast and of naive ISM."""

    _OPS = torch.ops.aten
    FACTORS = {  # noqa: RUF012
        **dict.fromkeys((_OPS.mm, _OPS.bmm, _OPS.mv, _OPS.matmul, _OPS.linear), (0, 1)),
        **dict.fromkeys((_OPS.conv1d, _OPS.conv_transpose1d, _OPS.convolution), (0, 1)),
        **dict.fromkeys((_OPS.addmm, _OPS.addmm_, _OPS.baddbmm, _OPS.baddbmm_, _OPS.addmv), (1, 2)),
    }

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits, self.products = bits, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        args = list(args)
        for i in self.FACTORS.get(function.overloadpacket, ()):
            args[i] = keep_bits(args[i], self.bits)
            self.products += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("bits", "agrees"), [(FACTORS["TF32 factors"], True), (3, False)])
def test_the_check_allows_what_tf32_needs(monkeypatch, bits, agrees):
    # Packed weights are no factors that could be rounded, and kernels in C++ are not PyTorch's.
    monkeypatch.setattr(onednn, "usable", lambda: False)
    monkeypatch.setenv("FASTISM_COMPILED", "0")
    torch.manual_seed(0)
    module = factorized_basset_model(seqlen=150).eval()
    ism = FastISM(module, input_shape=(4, 150), test_correctness=False)
    compared = ism.naive(batch_size=8), ism._random_inputs(1), 0, 1e-6
    assert ism._agrees(*compared)
    with Imitated(bits) as imitated:
        assert not ism._agrees(*compared)
        # A CPU would refuse it.
        monkeypatch.setattr(ism, "precision", "tf32")
        assert ism._agrees(*compared) is agrees
    assert imitated.products > 50
