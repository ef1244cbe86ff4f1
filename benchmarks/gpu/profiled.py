"""What a call does on the device: which kernels run there, how often and for how long.

Requirements: torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from fastism import FastISM

#: Kernels that are named.
NAMED = 6
#: Letters of a kernel's name that are shown; those of templates are hundreds.
LETTERS = 40


@dataclass(frozen=True)
class Profile:
    """What one call did on the device.

    Attributes
    ----------
    launches : int
        Kernels that the host launched one by one; a graph of CUDA is none.
    seconds : float
        Of all kernels and copies together; some may run at the same time.
    longest : tuple of (str, float, int)
        Names of those that take the longest in all, with their seconds and how often they ran.
    """

    launches: int
    seconds: float
    longest: tuple[tuple[str, float, int], ...]

    def shown(self, sequences: int, wall: float) -> str:
        """As a line, in milliseconds a sequence; `wall` are the seconds that the call takes."""
        each = 1e3 / sequences
        parts = (f"{name} {each * taken:.3g} ({n})" for name, taken, n in self.longest)
        return (
            f"on the device {each * self.seconds:.3g} of {each * wall:.3g} ms a sequence, "
            f"{self.launches} launches; " + ", ".join(parts)
        )


def profiled(call: Callable[[], object]) -> Profile | None:
    """The profile of one call; None where PyTorch cannot make one.

    Parameters
    ----------
    call : callable
        Has run before, so that nothing is compiled or measured in it.
    """
    try:
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as seen:
            call()
            torch.cuda.synchronize()
        return summed(seen.key_averages())
    except RuntimeError:  # no rights to read its counters, say
        return None


def summed(events: Iterable[Any]) -> Profile:
    """A profile from the averages that PyTorch's profiler gives, times in microseconds."""
    events = list(events)
    launches = sum(e.count for e in events if "LaunchKernel" in e.key)
    there = [e for e in events if e.device_type != torch.autograd.DeviceType.CPU]
    taken = sorted(((e.self_device_time_total / 1e6, e) for e in there), key=lambda x: -x[0])
    longest = tuple((e.key[:LETTERS], seconds, e.count) for seconds, e in taken[:NAMED])
    return Profile(launches, sum(seconds for seconds, _ in taken), longest)


def kernels_of(fast: FastISM) -> str:
    """The kernels that were chosen for each layer, as a line."""
    plan = fast.plan
    named = (f"{plan.graph.nodes[i].name}: {', '.join(names)}" for i, names in plan.kernels.items())
    return "; ".join(named)
