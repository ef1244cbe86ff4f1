"""What captum's gradient methods take for one output, where captum is installed.

Requirements: numpy and torch; captum.
"""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks.clock import alternate
from benchmarks.errors import BenchmarkError
from benchmarks.gpu.measure import Setting, record_of
from benchmarks.gpu.rows import Row
from benchmarks.gpu.subject import Subject
from benchmarks.records import Record
from fastism import FastISM
from fastism.backends.precision import products_in

STEPS, REFERENCES = 50, 10


def attribution(row: Row, subject: Subject, setting: Setting) -> Iterator[Record]:
    """One sequence a call, one output, in turns with fast ISM of all outputs."""
    if find_spec("captum") is None:
        raise BenchmarkError("captum is not installed")
    x = torch.from_numpy(subject.sequences[:1]).to(subject.device)
    references = torch.from_numpy(subject.sequences[1 : 1 + REFERENCES]).to(subject.device)
    fast = FastISM(subject.module, input_shape=subject.sequences.shape[1:], test_correctness=False)
    calls: dict[str, Callable[[], Any]] = {
        "fast_ism": lambda: fast.saturate(subject.sequences[:1]),
        **_gradients(subject.module, x, references),
    }
    working: dict[str, Callable[[], Any]] = {}
    for name, call in calls.items():
        try:
            with products_in("torch", row.precision):
                call()
        except Exception as error:  # captum does not run every module: others go on
            print(f"  {name}: failed, {type(error).__name__}: {error}", flush=True)
        else:
            working[name] = call
    with products_in("torch", row.precision):
        found = alternate(working, setting.repeats)
    job = uuid.uuid4().hex[:12]
    for name, seconds in found.items():
        ratio = statistics.median(s / f for s, f in zip(seconds, found["fast_ism"], strict=True))
        print(
            f"  {name}: {statistics.median(seconds):.4g} s, {ratio:.3g} times fast ISM", flush=True
        )
        yield record_of(row, setting, subject, name, 1, subject.length, seconds, job)


def _gradients(
    module: torch.nn.Module, x: torch.Tensor, references: torch.Tensor
) -> dict[str, Callable[[], Any]]:
    from captum.attr import DeepLiftShap, InputXGradient, IntegratedGradients

    target = 0

    def host(made: torch.Tensor) -> Any:
        return made.detach().cpu().numpy()

    return {
        "captum_input_x_gradient": lambda: host(
            InputXGradient(module).attribute(x.clone().requires_grad_(), target=target)
        ),
        "captum_integrated_gradients": lambda: host(
            IntegratedGradients(module).attribute(x, target=target, n_steps=STEPS)
        ),
        "captum_deeplift_shap": lambda: host(
            DeepLiftShap(module).attribute(x, baselines=references, target=target)
        ),
    }
