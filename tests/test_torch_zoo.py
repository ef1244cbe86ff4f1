"""Real torch modules that nobody here wrote, against brute force at both ends and in the middle.

Their packages are in requirements/test.lock, without most of what they ask for, and in no extra:
bpnet-lite asks for what has to be compiled, gReLU for another captum than the benchmark.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from fastism import FastISM  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def randomise(module: torch.nn.Module) -> torch.nn.Module:
    """Effects of everything: some weights are zero from the start."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for x in module.parameters():
            size = max(x[0].numel() if x.dim() > 1 else 4, 1)
            x.copy_(torch.randn(x.shape, generator=generator) * 1.2 / size**0.5)
    return module.eval()


def one_hot(length: int) -> np.ndarray:
    letters = np.random.default_rng(0).integers(4, size=(2, length))
    return np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1)


def brute_force(
    module: torch.nn.Module, inputs: list[np.ndarray], positions: list[int], channels_last: bool
) -> list[np.ndarray]:
    """Outputs ``(sequences, characters, positions, *output)``."""
    grid = []
    for character in range(4):
        for position in positions:
            x = inputs[0].copy()
            view = x.swapaxes(1, 2) if channels_last else x
            view[:, :, position] = 0
            view[:, character, position] = 1
            with torch.no_grad():
                made = module(*(torch.tensor(v) for v in (x, *inputs[1:])))
            grid.append([y.numpy() for y in (made if isinstance(made, tuple) else (made,))])
    stacked = [np.stack(y, 1) for y in zip(*grid, strict=True)]
    return [y.reshape(len(y), 4, len(positions), *y.shape[2:]) for y in stacked]


def check(
    module: torch.nn.Module,
    inputs: list[np.ndarray],
    positions: list[int],
    channels_last: bool = False,
) -> FastISM:
    shapes = [x.shape[1:] for x in inputs]
    ism = FastISM(module, input_shape=shapes, channels_last=channels_last, test_correctness=False)
    result = ism.saturate(inputs if len(inputs) > 1 else inputs[0], positions=positions)
    expected = brute_force(module, inputs, positions, channels_last)
    mutants = result.mutants if isinstance(result.mutants, list) else [result.mutants]
    assert len(mutants) == len(expected)
    for made, full in zip(mutants, expected, strict=True):
        made = made.swapaxes(1, 2) if channels_last else made
        assert made.shape == full.shape
        assert np.ptp(full, axis=(1, 2)).max() > 1e-4, "no effect to see"
        np.testing.assert_allclose(made, full, rtol=1e-4, atol=1e-5 * np.abs(full).max())
    return ism


def test_bpnet_of_bpnetlite():
    bpnet = pytest.importorskip(
        "bpnetlite.bpnet", reason="bpnet-lite is in requirements/test.lock, and in no extra"
    )
    module = randomise(bpnet.BPNet(n_filters=8, n_layers=4, n_control_tracks=0, trimming=40))
    ism = check(module, [one_hot(300)], [0, 1, 150, 298, 299])
    assert ism.plan.opaque == ()
    assert ism.plan.speedup > 2


def test_bpnet_with_a_control_track():
    bpnet = pytest.importorskip(
        "bpnetlite.bpnet", reason="bpnet-lite is in requirements/test.lock, and in no extra"
    )
    module = randomise(bpnet.BPNet(n_filters=8, n_layers=3, n_control_tracks=2, trimming=30))
    control = np.random.default_rng(1).random((2, 2, 300)).astype(np.float32)
    ism = check(module, [one_hot(300), control], [0, 150, 299])
    assert ism.plan.opaque == ()


def test_chrombpnet_of_bpnetlite():
    bpnet = pytest.importorskip(
        "bpnetlite.bpnet", reason="bpnet-lite is in requirements/test.lock, and in no extra"
    )
    chrombpnet = pytest.importorskip(
        "bpnetlite.chrombpnet", reason="bpnet-lite is in requirements/test.lock, and in no extra"
    )
    bias = bpnet.BPNet(n_filters=4, n_layers=2, n_outputs=1, n_control_tracks=0, trimming=40)
    accessibility = bpnet.BPNet(
        n_filters=8, n_layers=3, n_outputs=1, n_control_tracks=0, trimming=40
    )
    module = randomise(chrombpnet.ChromBPNet(bias, accessibility, name="chrombpnet"))
    ism = check(module, [one_hot(300)], [0, 150, 299])
    assert ism.plan.opaque == ()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ConvModel", {"stem_channels": 8, "stem_kernel_size": 5, "n_conv": 3, "kernel_size": 3}),
        ("DilatedConvModel", {"channels": 8, "kernel_size": 5, "n_conv": 3}),
    ],
)
def test_models_of_grelu(name, settings):
    models = pytest.importorskip(
        "grelu.model.models", reason="gReLU is in requirements/test.lock, and in no extra"
    )
    module = randomise(getattr(models, name)(n_tasks=2, **settings))
    ism = check(module, [one_hot(200)], [0, 100, 199])
    assert ism.plan.opaque == ()


def test_enformer_of_enformer_pytorch():
    enformer = pytest.importorskip(
        "enformer_pytorch", reason="enformer-pytorch is in requirements/test.lock, and in no extra"
    )
    module = enformer.Enformer.from_hparams(
        dim=24,
        depth=1,
        heads=2,
        attn_dim_key=4,
        output_heads={"human": 3},
        target_length=4,
        num_downsamples=4,
        dim_divisible_by=4,
    )
    module = randomise(module)
    x = one_hot(128).swapaxes(1, 2).copy()
    ism = check(HumanHead(module), [x], [0, 64, 127], channels_last=True)
    opaque = ism.plan.opaque
    # Nothing before the first attention; attention pooling is local.
    assert opaque
    assert all("_trunk.4.0.0.fn.1." in name for name in opaque)
    assert ism.plan.graph.nodes[ism.plan.full_steps[0]].name == opaque[0]
    kinds = [type(node.rule).__name__ for node in ism.plan.graph.nodes]
    assert kinds.count("SoftmaxPool") == 4


class HumanHead(torch.nn.Module):
    """The tracks of one head as a tensor."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)["human"]
