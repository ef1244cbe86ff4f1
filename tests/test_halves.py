"""Products of two TF32 halves: as near to float64 as float32 is, or not a candidate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from benchmarks.records import environment  # noqa: E402
from benchmarks.studies.halves import WAYS, errors_of, halved  # noqa: E402
from benchmarks.studies.of_models import mutants_of  # noqa: E402
from benchmarks.studies.rounding import keep_bits  # noqa: E402
from fastism.backends import torch_triton, triton_tiles  # noqa: E402
from fastism.backends.choices import Choices  # noqa: E402
from fastism.backends.precision import torch_rounds_to_tf32  # noqa: E402
from fastism.backends.torch_kernels import ProductPerTap, is_precise  # noqa: E402
from fastism.backends.torch_uniform import UniformTorchBackend  # noqa: E402

RECORD = environment.ROOT / "benchmarks" / "records" / "halves.md"


class Halves(ProductPerTap):
    """All factors in halves, without Triton."""

    name, approximates = "halves", True

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device) -> None:
        super().__init__(taps, dilation, device)
        self.plain, self.made = ProductPerTap(taps, dilation, device), 0
        parts = [np.stack([y.numpy() for y in torch_triton.halves(m)]) for m in self._matrices]
        high, low = np.stack(parts, 1)
        self.high, self.low = (ProductPerTap(y, dilation, device) for y in (high, low))

    def run(self, x: Any, *given: Any) -> Any:
        offset, width, base = given[:3]
        self.made += 1
        high, low = torch_triton.halves(x)
        made = self.high.run(low, offset, width, None) + self.low.run(high, offset, width, None)
        made += self.high.run(high, offset, width, None)
        return made if base is None else made + base


class Rounded(Halves):
    """All factors in TF32."""

    name = "rounded"

    def run(self, x: Any, *given: Any) -> Any:
        self.made += 1
        return self.high.run(torch_triton.halves(x)[0], *given[:3])


def problem(seed: int = 0) -> tuple[np.ndarray, Any]:
    rng = np.random.default_rng(seed)
    taps = rng.standard_normal((3, 40, 24)).astype("float32")
    return taps, torch.from_numpy(rng.standard_normal((5, 2, 60, 40)).astype("float32"))


def test_halves_are_the_number_again_and_upper_ones_have_ten_bits():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    high, low = torch_triton.halves(x)
    assert torch.equal(high + low, x)
    assert torch.equal(high, keep_bits(high, 10)) and not torch.equal(high, x)
    assert (low.abs() <= high.abs() * 2.0**-11).all()
    assert torch.equal(halved(x)[0], keep_bits(x, 10))


@pytest.mark.parametrize("dilation", [1, 3])
def test_halves_are_precise_and_rounded_factors_are_not(dilation):
    taps, x = problem()
    given = taps, dilation, torch.device("cpu")
    assert is_precise(ProductPerTap(*given), x, taps)
    assert is_precise(Halves(*given), x, taps)
    assert not is_precise(Rounded(*given), x, taps)


def test_one_product_in_tf32_holds_all_three():
    taps, x = problem()
    tile = triton_tiles.tiles()[0]
    kernel = torch_triton.FoldedHalves(taps, 1, torch.device("cpu"), tile)
    before = torch_rounds_to_tf32()
    part = x.reshape(-1, 40)
    made = kernel._products(part[None]).view(len(part), -1).double()
    exact = part.double() @ kernel._stacked.double()
    plain = ((part @ kernel._stacked).double() - exact).square().mean()
    assert (made - exact).square().mean() <= 1.5**2 * plain
    assert torch_rounds_to_tf32() == before


def test_with_few_features_rows_of_products_lie_side_by_side():
    rng = np.random.default_rng(0)
    part = torch.from_numpy(rng.standard_normal((5, 7, 40)).astype("float32"))
    for features in (3, 20):
        taps = rng.standard_normal((4, 40, features)).astype("float32")
        for form in (torch_triton.FoldedProduct, torch_triton.FoldedHalves):
            kernel = form(taps, 1, torch.device("cpu"), triton_tiles.tiles()[0])
            made = kernel._products(part)
            wanted = torch.einsum("src,jcf->srjf", part, torch.from_numpy(taps))
            if features == 3:
                assert made.shape == (5, 12, 7)
                made = made.view(5, 4, 3, 7).permute(0, 3, 1, 2)
            torch.testing.assert_close(made.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kernel", "used"), [(Halves, True), (Rounded, False)])
def test_only_a_precise_kernel_is_a_candidate(monkeypatch, kernel, used):
    now = [0.0]
    choices = Choices(lambda: now[0])

    class Device(UniformTorchBackend):
        accelerated = True

        def _moved(self, x: Any) -> Any:
            return x

        def _run(self, kernel: Any, *given: Any) -> Any:
            # What approximates is faster.
            now[0] += 1.0 if kernel.approximates else 2.0
            return super()._run(kernel, *given)

    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    monkeypatch.delenv("FASTISM_MEASURE", raising=False)
    taps, x = problem()
    b = Device("float32", "cpu", (ProductPerTap, kernel), choices)
    prepared = b.prepare_taps(taps)
    made = b.overlap_add(x, prepared, 1, 0, 7)
    expected = kernel.name if used else ProductPerTap.name
    assert prepared.names == (expected,)
    exact = ProductPerTap(taps, 1, torch.device("cpu")).run(x, 0, 7, None)
    np.testing.assert_allclose(made, exact, rtol=0, atol=1e-4)
    # Where everything is rounded to TF32 it is no candidate either.
    monkeypatch.setattr(b, "_rounding", lambda: "tf32")
    b.overlap_add(x, prepared, 1, 0, 7)
    assert prepared.names == tuple(dict.fromkeys([expected, ProductPerTap.name]))


def test_the_study_finds_halves_near_float32_and_tf32_far():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv1d(4, 16, 7, padding="same"),
        torch.nn.ReLU(),
        torch.nn.Conv1d(16, 8, 3, padding="same"),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 60, 2),
    )
    sequence = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(4, size=60)]
    found = errors_of(module, mutants_of(sequence, 5))
    assert list(found) == list(WAYS) and all(len(errors) == 3 for errors in found.values())
    plain, split, rounded = ([e.relative for e in found[name][1:]] for name in WAYS)
    assert all(p < 1e-6 and s < r / 300 for p, s, r in zip(plain, split, rounded, strict=True))
    assert all(1e-5 < r < 1e-3 for r in rounded)
    assert not any(part._forward_pre_hooks for part in module.modules())


def test_the_record_has_every_architecture():
    lines = [line for line in RECORD.read_text().splitlines() if " two TF32 halves " in line]
    names = {line.split("|")[1].strip() for line in lines}
    assert names >= {"Basset", "Factorized Basset", "BPNet", "DeepSEA", "DeepSEA Beluga"}
