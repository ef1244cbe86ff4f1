"""Which kernel runs is measured: what is slow is not chosen, and measuring keeps to its share."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from fastism.backends.choices import ROUNDS, SHARE, Choices
from fastism.backends.kept_times import KeptTimes


class Clock:
    """Seconds that pass only while kernels run."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Kernels:
    """Kernels of known speed; counts how often each was run.

    Parameters
    ----------
    seconds : dict of str to (float or list of float)
        What a sample takes, or what it takes run by run.
    """

    def __init__(self, clock: Clock, **seconds) -> None:
        self.clock, self.seconds = clock, seconds
        self.runs = dict.fromkeys(seconds, 0)

    @property
    def names(self) -> list[str]:
        return list(self.seconds)

    def trial(self, name: str):
        def run() -> None:
            taken = self.seconds[name]
            self.clock.now += taken if isinstance(taken, float) else taken[self.runs[name]]
            self.runs[name] += 1

        return run


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_fastest_is_chosen_and_measured_once(clock):
    kernels, choices = Kernels(clock, first=3.0, second=2.0, third=2.5), Choices(clock)
    choices.allow(1e6)
    for _ in range(4):
        assert choices.best("shape", kernels.names, kernels.trial) == "second"
    assert kernels.runs == dict.fromkeys(kernels.names, ROUNDS)
    assert choices.settled("shape", kernels.names)
    assert choices.measured("shape") == {"first": 3.0, "second": 2.0, "third": 2.5}


def test_classes_of_shapes_are_measured_apart(clock):
    choices = Choices(clock)
    choices.allow(1e6)
    few, many = Kernels(clock, a=1.0, b=2.0), Kernels(clock, a=2.0, b=1.0)
    assert choices.best("few", few.names, few.trial) == "a"
    assert choices.best("many", many.names, many.trial) == "b"


def test_a_hopeless_kernel_runs_once_and_one_interruption_does_not_condemn(clock):
    kernels = Kernels(clock, first=[4.0, 1.0, 1.0], second=[2.0, 2.0, 2.0], bad=1000.0)
    choices = Choices(clock)
    choices.allow(1e6)
    assert choices.best("shape", kernels.names, kernels.trial) == "first"
    assert kernels.runs["bad"] == 1


def test_measuring_stops_when_its_share_is_used_up_and_goes_on_in_later_calls(clock):
    kernels, choices = Kernels(clock, first=1.0, second=0.5, third=0.75), Choices(clock)
    assert choices.best("shape", kernels.names, kernels.trial) == "first"
    assert sum(kernels.runs.values()) == 0
    choices.allow(1.2 / SHARE)
    assert choices.best("shape", kernels.names, kernels.trial) == "second"
    # No more than one run beyond what there was time for.
    assert clock.now <= 1.2 + 1.0
    assert not choices.settled("shape", kernels.names)
    for _ in range(10):
        choices.allow(1.0 / SHARE)
        choices.best("shape", kernels.names, kernels.trial)
    assert choices.settled("shape", kernels.names)


def test_nothing_is_measured_where_the_environment_says_so(clock, monkeypatch):
    monkeypatch.setenv("FASTISM_MEASURE", "0")
    kernels, choices = Kernels(clock, first=2.0, second=1.0), Choices(clock)
    choices.allow(1e6)
    assert choices.best("shape", kernels.names, kernels.trial) == "first"
    assert clock.now == 0


def test_a_kernel_that_cannot_run_is_told_and_not_used(clock, caplog):
    kernels, choices = Kernels(clock, first=1.0, second=2.0), Choices(clock)
    choices.allow(1e6)

    def trial(name):
        def broken():
            raise RuntimeError("out of resource: shared memory")

        return broken if name == "first" else kernels.trial(name)

    assert choices.best("shape", kernels.names, trial) == "second"
    assert choices.settled("shape", kernels.names)
    assert "first cannot run here and is not used: out of resource" in caplog.text


def test_that_a_kernel_cannot_run_is_not_kept_for_later_processes(clock, tmp_path):
    kernels, kept = Kernels(clock, first=1.0, second=2.0), KeptTimes({"device": "any"}, tmp_path)
    choices = Choices(clock, kept)
    choices.allow(1e6)

    def trial(name):
        if name == "first":
            raise RuntimeError("out of resource: shared memory")
        return kernels.trial(name)

    assert choices.best("shape", kernels.names, trial) == "second"
    assert KeptTimes({"device": "any"}, tmp_path).get(repr("shape")) == {"second": 2.0}
    again = Choices(clock, KeptTimes({"device": "any"}, tmp_path))
    again.allow(1e6)
    assert again.best("shape", kernels.names, kernels.trial) == "first"
    assert kernels.runs["second"] == ROUNDS


def test_memory_that_is_used_up_is_no_fault_of_a_kernel(clock):
    choices = Choices(clock)
    choices.allow(1e6)

    def trial(name):
        raise MemoryError

    with pytest.raises(MemoryError):
        choices.best("shape", ["first", "second"], trial)
    assert not choices.settled("shape", ["first", "second"])


# ---- on PyTorch -------------------------------------------------------------------------


def slow_backend(clock: Clock):
    """PyTorch with two kernels for convolutions; the first takes a thousand times longer."""
    from fastism.backends.torch import TorchBackend
    from fastism.backends.torch_kernels import ProductPerTap

    class Slow(ProductPerTap):
        name = "slow"

        def run(self, *given, **more):
            clock.now += 1.0
            return super().run(*given, **more)

    class Fast(ProductPerTap):
        name = "fast"

        def run(self, *given, **more):
            clock.now += 0.001
            return super().run(*given, **more)

    return TorchBackend("float32", "cpu", (Slow, Fast), Choices(clock))


@pytest.mark.torch
def test_a_kernel_that_is_slow_on_purpose_is_not_chosen(clock):
    torch = pytest.importorskip("torch")
    b = slow_backend(clock)
    taps = b.prepare_taps(np.ones((3, 4, 8), np.float32))
    x = torch.ones(5, 2, 20, 4)
    given = (x, taps, 1, 0, 7)
    before = b.overlap_add(*given)
    assert b.kernels_of((None, taps)) == ("slow",)
    b.expect(1e6)
    begun = clock.now
    after = b.overlap_add(*given)
    assert b.kernels_of((None, taps)) == ("fast",)
    # The slow one ran for its sample only.
    assert clock.now - begun < 1.1
    assert torch.equal(before, after)


@pytest.mark.torch
def test_the_plan_shows_which_kernels_run():
    torch = pytest.importorskip("torch")
    from fastism import FastISM

    layers = (torch.nn.Conv1d(4, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 2))
    module = torch.nn.Sequential(*layers).eval()
    ism = FastISM(module, input_shape=(4, 10), test_correctness=False)
    assert "Kernel" not in str(ism.plan)
    ism.saturate(np.eye(4, dtype=np.float32)[np.zeros((1, 10), int)].transpose(0, 2, 1))
    ((_, convolution), *_) = ism.plan.kernels.items()
    assert f"Kernel {convolution[0]!r}: 0" in str(ism.plan)


@pytest.mark.torch
def test_only_the_form_of_the_chosen_kernel_is_kept(clock):
    torch = pytest.importorskip("torch")
    b = slow_backend(clock)
    b.expect(1e6)
    taps = b.prepare_taps(np.ones((3, 4, 8), np.float32))
    b.overlap_add(torch.ones(5, 2, 20, 4), taps, 1, 0, 7)
    assert set(taps.chosen(1)._forms) == {"fast"}


@pytest.mark.torch
def test_forms_are_made_once_though_measuring_takes_several_calls(clock):
    pytest.importorskip("torch")
    from fastism.backends.torch_products import Chosen

    made = []

    def maker(name: str):
        return lambda: made.append(name) or name

    seconds = {"one": 1.0, "other": 0.9}

    def sampled():
        def run(form: str) -> None:
            clock.now += seconds[form]

        return run

    choices = Choices(clock)
    chosen = Chosen(choices, ("key",), {name: maker(name) for name in seconds})
    while not choices.settled(("key", "shape"), list(seconds)):
        choices.allow(0.5 / SHARE)
        chosen.pick("shape", sampled)
    assert clock.now == pytest.approx(ROUNDS * sum(seconds.values()))
    assert sorted(made) == sorted(seconds)
    assert chosen.pick("shape", sampled) == "other"
    assert set(chosen._forms) == {"other"}


@pytest.mark.torch
@pytest.mark.parametrize("other", [1.05, 1.5])
def test_what_a_sample_does_not_tell_apart_is_decided_by_real_work(clock, other):
    pytest.importorskip("torch")
    from fastism.backends.torch_products import Chosen

    sample, work = {"one": 1.0, "other": other}, {"one": 20.0, "other": 10.0}
    choices = Choices(clock)
    choices.allow(1e6)
    chosen = Chosen(choices, ("key",), {name: lambda name=name: name for name in sample})

    def spend(seconds: dict[str, float]):
        def run(form: str) -> str:
            clock.now += seconds[form]
            return form

        return run

    made = [chosen.run("shape", lambda: spend(sample), "work", spend(work)) for _ in range(20)]
    if other == 1.5:
        assert set(made) == {"one"}
    else:
        assert set(made[: 2 * ROUNDS]) == {"one", "other"}
        assert set(made[2 * ROUNDS + 2 :]) == {"other"}
        assert choices.decided(("key", "shape")) == "other"
        assert set(chosen._forms) == {"other"}
    # Another weight of the same shape takes what was decided.
    alike = Chosen(choices, ("key",), {name: lambda name=name: name for name in sample})
    again = [alike.run("shape", lambda: spend(sample), "work", spend(work)) for _ in range(4)]
    assert set(again) == {made[-1]}


@pytest.mark.torch
def test_what_real_work_depends_on_beside_a_sample_is_decided_apart(clock):
    pytest.importorskip("torch")
    from fastism.backends.torch_products import Chosen

    choices = Choices(clock)
    choices.allow(1e6)

    def sample(form: str) -> None:
        clock.now += 1.0

    def made(far: bool) -> list[str]:
        makers = {name: lambda name=name: name for name in "ab"}
        chosen = Chosen(choices, ("key",), makers, (far,))

        def work(form: str) -> str:
            clock.now += 2.0 if (form == "b") is far else 1.0
            return form

        return [chosen.run("shape", lambda: sample, "work", work) for _ in range(20)]

    assert made(False)[-1] == "b"
    begun = clock.now
    assert made(True)[-1] == "a"
    # The sample was not measured again, and what was decided holds for the next weight at once.
    assert clock.now - begun <= 20 * 2.0
    assert set(made(True)) == {"a"}


@pytest.mark.torch
def test_only_times_of_equal_work_are_compared(clock):
    pytest.importorskip("torch")
    from fastism.backends.torch_products import Chosen

    choices = Choices(clock)
    choices.allow(1e6)
    chosen = Chosen(choices, ("key",), {name: lambda name=name: name for name in "ab"})

    def sample(form: str) -> None:
        clock.now += 1.0

    def work(size: float):
        def run(form: str) -> str:
            clock.now += size * (1.0 if form == "b" else 1.1)
            return form

        return run

    # Of small work there is too little to decide anything.
    sizes = [1.0, 100.0, 100.0] * 12
    made = [chosen.run("shape", lambda: sample, size, work(size)) for size in sizes]
    assert made[-1] == "b"


@pytest.mark.torch
def test_work_that_is_always_another_decides_too(clock):
    pytest.importorskip("torch")
    from fastism.backends.torch_products import ENOUGH, Chosen

    choices = Choices(clock)
    choices.allow(1e6)
    chosen = Chosen(choices, ("key",), {name: lambda name=name: name for name in "ab"})

    def spend(form: str) -> str:
        clock.now += 1.0 if form == "b" else 1.1
        return form

    sizes = [size for size in range(2 * ENOUGH) for _ in range(2)]
    made = [chosen.run("shape", lambda: lambda form: spend("b"), size, spend) for size in sizes]
    assert set(made[: 2 * ENOUGH]) == {"a", "b"}
    assert set(made[2 * ENOUGH :]) == {"b"}


@pytest.mark.torch
def test_samples_of_dense_layers_are_small_however_large_the_matrix():
    pytest.importorskip("torch")
    from fastism.backends.torch_kernels import MOST_MACS
    from fastism.backends.torch_products import FEWEST_ROWS, MOST_ROWS, rows_of_sample

    assert rows_of_sample(8, 8) == MOST_ROWS
    assert rows_of_sample(1000, 1000) * 1000 * 1000 <= MOST_MACS
    assert rows_of_sample(4000, 4000) == 2 * FEWEST_ROWS


@pytest.mark.torch
def test_a_sample_has_many_mutants_before_it_has_many_positions():
    torch = pytest.importorskip("torch")
    from fastism.backends.torch_kernels import Problem, sample

    problem = Problem("float32", "cpu", 11, 300, 200, 1)
    # Some kernels take two positions together, so that three show what they save.
    assert sample(torch.zeros(7, 4, 50, 300), problem).shape == (3, 1, 48, 300)
    assert sample(torch.zeros(2, 4, 50, 300), problem).shape == (2, 1, 50, 300)
    small = Problem("float32", "cpu", 3, 8, 8, 1)
    assert sample(torch.zeros(7, 4, 50, 8), small).shape == (7, 1, 200, 8)
    # Dilated taps reach over all positions, which therefore stay.
    assert len(sample(torch.zeros(7, 4, 50, 300), Problem("float32", "cpu", 11, 300, 200, 2))) == 7


@pytest.mark.torch
def test_a_dense_layer_is_multiplied_in_the_fastest_way(clock):
    torch = pytest.importorskip("torch")
    from fastism.backends.torch_products import Matrix

    class Slow:
        def __init__(self, matrix) -> None:
            self.matrix = torch.from_numpy(matrix)

        def __rmatmul__(self, x):
            clock.now += 1.0
            return x @ self.matrix

    choices, numbers = Choices(clock), np.arange(6.0).reshape(3, 2)
    matrix = Matrix(numbers, torch.device("cpu"), False, choices)
    matrix.chosen._makers = {"slow": lambda: Slow(numbers), **matrix.chosen._makers}
    matrix.chosen._names = list(matrix.chosen._makers)
    choices.allow(1e6)
    few, many = torch.ones(2, 3, dtype=torch.float64), torch.ones(40, 3, dtype=torch.float64)
    # Two rows tell little about many.
    assert (few @ matrix).tolist() == (few.numpy() @ numbers).tolist()
    assert matrix.chosen.names == ("slow",)
    assert (many @ matrix).tolist() == (many.numpy() @ numbers).tolist()
    assert matrix.chosen.names == ("product",)


@pytest.mark.torch
def test_a_way_that_is_slow_for_some_numbers_of_rows_only_is_not_chosen(clock, monkeypatch):
    """As oneDNN is with AVX2 only: most positions have few rows, the slow ones have many."""
    torch = pytest.importorskip("torch")
    from fastism.backends import torch_products
    from fastism.backends.torch_products import PositionMatrices

    class Plain(torch_products._Plain):
        def add_to(self, out, x):
            clock.now += 0.002
            super().add_to(out, x)

    class Erratic(torch_products._Plain):
        def __init__(self, matrix, room=None) -> None:
            super().__init__(matrix, torch.device("cpu"))

        def add_to(self, out, x):
            clock.now += 1.0 if len(x) > 60 else 0.001
            super().add_to(out, x)

    monkeypatch.setattr(torch_products, "_Plain", Plain)
    monkeypatch.setattr(torch_products, "_Packed", Erratic)
    kernel, choices = np.ones((6, 2, 3), np.float32), Choices(clock)
    matrices = PositionMatrices(kernel, torch.device("cpu"), True, choices)
    windows = [torch.ones(2, 1, 40, 2), torch.ones(1, 1, 40, 2)]
    starts, which = [np.array([2]), np.array([3])], [np.array([0])] * 2
    sums = matrices.window_sums(windows, starts, torch.zeros(1, 3), which)
    assert sums[:40].unique().tolist() == [4.0]
    assert sums[40:].unique().tolist() == [2.0]
    assert matrices.names == ("product",)


@pytest.mark.torch
def test_what_is_measured_for_one_dilation_holds_for_others_but_not_for_none(clock):
    torch = pytest.importorskip("torch")
    b = slow_backend(clock)
    b.expect(1e6)
    for dilation, measured in [(2, True), (8, False), (1, True)]:
        taps = b.prepare_taps(np.ones((3, 4, 8), np.float32))
        begun = clock.now
        b.overlap_add(torch.ones(40, 2, 20, 4), taps, dilation, 0, 40)
        assert (clock.now - begun > 1.0) is measured
        assert b.kernels_of(taps) == ("fast",)


@pytest.mark.torch
@pytest.mark.processor
def test_every_kernel_gives_the_right_numbers():
    pytest.importorskip("torch")
    from backend_case import check
    from backend_cases import CASES

    from fastism.backends.torch import TorchBackend
    from fastism.backends.torch_kernels import KERNELS, ProductPerTap

    cases = [case for case in CASES["overlap_add"] if not case.per_block]
    for kernel in KERNELS:
        # The second one is for the problems that the first does not accept.
        b = TorchBackend("float32", "cpu", (kernel, ProductPerTap), Choices())
        check(cases, b)


def test_ways_that_compile_do_so_together_before_they_are_timed(clock):
    from fastism.backends.torch_products import Chosen

    said = []

    @contextmanager
    def together():
        said.append("begin")
        yield
        said.append("end")

    choices = Choices(clock)
    chosen = Chosen(
        choices, ("key",), {name: lambda name=name: name for name in "ab"}, (), together
    )

    def sampled():
        def run(form):
            said.append(form)
            clock.now += {"a": 1.0, "b": 2.0}[form]

        return run

    for _ in range(2):
        assert chosen.pick("shape", sampled, advance=True) == "a"
    assert said[:4] == ["begin", "a", "b", "end"]
    assert said.count("begin") == 1
    # Each is run once more before it is timed, where it was only compiled.
    assert said.count("a") == said.count("b") == 2 + ROUNDS
