"""What a benchmarked method is: what is timed of it, what is not, and how it is checked.

Requirements: numpy. A method imports its framework in `set_up`, so that listing methods is cheap.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from benchmarks.attribution.agreement import Agreement
from benchmarks.attribution.result import Attribution

if TYPE_CHECKING:
    from benchmarks.floor.rate import RateProbe


class WouldExceed(Exception):
    """Even the smallest run of a method would take longer than there is time for; says how long."""


class Allowance(Protocol):
    """How long a method may take, for those that choose how much of the work a run does."""

    @property
    def left(self) -> float:
        """Seconds that are left for setting up, all runs and the check."""

    @property
    def runs(self) -> int:
        """How often the method will run, the warm-up included."""

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds."""

    def exceeded(self, seconds: float, what: str) -> str | None:
        """Why something expected to take so many seconds is not begun, or None."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a method may look at when it says in which variants it runs.

    Attributes
    ----------
    keras_backend : str
        The framework that the Keras models run on.
    backends : tuple of str
        The frameworks that fast ISM is asked to run on.
    naive_mutants : int
        About how many mutants naive ISM is timed on.
    model : {"keras", "torch"}
        What methods are given: the Keras model, or its twin as a PyTorch module.
    """

    keras_backend: str
    backends: tuple[str, ...]
    naive_mutants: int = 256
    model: str = "keras"


@dataclass(frozen=True, slots=True)
class Check:
    """An identity that the attributions of a method must satisfy, and how far they are from it.

    Attributes
    ----------
    identity : str
        What must hold.
    residual : float
        How far it is from holding, without unit: zero where it holds to the last digit, about one
        where attributions have nothing to do with it.
    tolerance : float
        The largest residual that passes.
    """

    identity: str
    residual: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the residual is within the tolerance; NaN is not."""
        return bool(self.residual <= self.tolerance)


class Method(ABC):
    """One attribution method in one variant.

    The benchmark makes the variants of a method once per job and then, for every number of
    sequences, calls `set_up` once and `run` several times.

    Parameters
    ----------
    backend : str
        The framework that the work runs on.

    Attributes
    ----------
    name : str
        What configs and records call the method.
    label : str
        What tables and figures call it.
    exact : bool
        Whether it returns exact ISM, which must agree with naive ISM.
    models : tuple of str
        The kinds of model that it can be given.
    mode : str
        How it runs the model, where it has variants that differ in that only.
    allowance : Allowance or None
        Set before `set_up` where time is limited.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    exact: ClassVar[bool] = False
    models: ClassVar[tuple[str, ...]] = ("keras",)
    mode: str = ""
    allowance: Allowance | None = None

    def __init__(self, backend: str) -> None:
        self.backend = backend

    @property
    def key(self) -> str:
        """What tells this variant from the others of a job."""
        return f"{self.name}/{self.backend}/{self.mode}"

    @property
    def shown(self) -> str:
        """What a reader calls this variant."""
        return f"{self.label} on {self.backend}" + (f", {self.mode}" if self.mode else "")

    @classmethod
    def variants(cls, setting: Setting) -> list[Method]:
        """The variants to time under a setting; one, on the model's own framework, by default."""
        return [cls(setting.keras_backend)]

    def refuse(self) -> str | None:
        """Why this variant cannot run here, or None. The reason goes into its record."""
        return None

    @abstractmethod
    def set_up(self, model: Any, sequences: np.ndarray) -> None:
        """Prepare to run. Not timed.

        Parameters
        ----------
        model : keras.Model or torch.nn.Module
            The same in every call of one job; what was built for it may be kept.
        sequences : ndarray, float32, shape (sequences, length, characters)
            One-hot.

        Raises
        ------
        WouldExceed
            A run, as small as it can be, would take longer than the allowance.
        """

    @abstractmethod
    def run(self) -> Attribution:
        """Do the work, all of it and nothing else. Timed.

        Returns only when the result is on the host, so that no computation is still under way.
        """

    def check(self, result: Attribution) -> Check | None:
        """Whether the attributions satisfy the identity of this method. Not timed.

        Parameters
        ----------
        result : Attribution
            What `run` returned since the last `set_up`.

        Returns
        -------
        Check or None
            None where a method has no identity of its own; exact ISM is compared with naive ISM.
        """
        return None

    def ism_error(self, result: Attribution, exact: Attribution) -> Agreement | None:
        """How far an approximation of ISM is from exact ISM; None for what is not one.

        Parameters
        ----------
        result : Attribution
            What `run` returned since the last `set_up`.
        exact : Attribution
            Exact ISM of the same model and sequences, perhaps at some positions only.
        """
        return None

    def rate_probe(self, clock: Callable[[], float]) -> RateProbe | None:
        """What measures the rate of plain matrix products in turns with the runs, or None.

        Parameters
        ----------
        clock : callable
            Seconds.
        """
        return None

    @property
    def scale(self) -> float:
        """Work of the whole over work of one run; above one where a run is a sample."""
        return 1.0

    @property
    def check_runs(self) -> float:
        """What `check` takes at most, in runs; zero where that is next to nothing."""
        return 0.0

    @property
    def positions(self) -> int | None:
        """How many positions a run works on; None for all."""
        return None

    @property
    def batch_size(self) -> int | None:
        """Inputs per call of the model, where the method has such a number."""
        return None

    @property
    def macs(self) -> float | None:
        """Multiply-adds per mutant, where they are known."""
        return None

    @property
    def settings(self) -> Mapping[str, int | float | str]:
        """Anything else that a reader needs to repeat the run."""
        return {}
