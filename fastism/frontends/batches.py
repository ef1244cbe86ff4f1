"""Whether a model gives the same for a sequence at every place of a batch, whatever its size.

Requirements: numpy; the model only through its front end. Naive and fast ISM put mutants into
batches as it suits them, so both are wrong for a model that mixes what is in a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastism.errors import FastISMError

if TYPE_CHECKING:
    from fastism.frontends.base import FrontEnd

#: Which of the random sequences run together: each is at several places, and one is alone.
BATCHES = ((0, 1, 2), (2, 0), (1,))
#: What rounding may change, as parts of the largest output and of the largest difference between
#: two sequences. Sums of a few thousand terms differ by 1e-6 of their size with the batch's size.
OF_OUTPUT, OF_EFFECT = 1e-5, 1e-3
CHANCE = "chance (dropout that ignores the mode of inference?)"
REMEDY = (
    " Mutants run in batches, so that their effects would be wrong: mend the model. In Python, "
    "NaiveISM(model, batch_size=1) runs one sequence at a time, and test_correctness=False leaves "
    "this check out."
)


@dataclass(frozen=True)
class Place:
    """Where a sequence was in a batch, and what the model gave for it.

    Parameters
    ----------
    batch : tuple of int
        Numbers of the sequences that ran together.
    index : int
        The place in it.
    outputs : list of ndarray
        The model's outputs for the sequence at that place.
    """

    batch: tuple[int, ...]
    index: int
    outputs: list[np.ndarray]

    def __str__(self) -> str:
        size = len(self.batch)
        return "alone" if size == 1 else f"at place {self.index} of a batch of {size}"


def check_batches(front: FrontEnd) -> None:
    """Raise FastISMError where a sequence's outputs depend on its batch; costs six sequences.

    Parameters
    ----------
    front : FrontEnd
    """
    inputs = random_inputs(front, 1 + max(i for batch in BATCHES for i in batch))
    places = _run(front, inputs, BATCHES)
    for number in range(len(inputs[0])):
        first, *others = [place for place in places if place.batch[place.index] == number]
        for other in others:
            output = _differing(first, other, places)
            if output is not None:
                raise FastISMError(_told(front, inputs, first, other, output))
    decision = front.decision(random_inputs(front, 16))
    if decision:
        raise FastISMError(
            f"{front.called} decides by numbers that it computes from its input ({decision}), so "
            "that what it returns for a sequence may depend on the others in its batch." + REMEDY
        )


def random_inputs(front: FrontEnd, count: int) -> list[np.ndarray]:
    """What `random_sequences` gives, in the form that `front` runs."""
    return front.internal(random_sequences(front, count))


def random_sequences(front: FrontEnd, count: int) -> list[np.ndarray]:
    """Inputs in the model's order of axes, with random one-hot sequences.

    Every third sequence is mostly one run of a letter.

    Parameters
    ----------
    front : FrontEnd
    count : int
        Sequences.
    """
    rng = np.random.default_rng(0)
    inputs = [rng.random((count, *shape)).astype(front.dtype) for shape in front.input_shapes]
    shape = front.input_shapes[front.sequence]
    length, characters = shape[::-1] if front.channels_first else shape
    letters = rng.integers(characters, size=(count, length))
    for number in range(2, count, 3):
        letters[number, : length - length // 4] = number // 3 % characters
    x = np.eye(characters, dtype=front.dtype)[letters]
    inputs[front.sequence] = np.ascontiguousarray(x.swapaxes(1, 2)) if front.channels_first else x
    return inputs


def _run(
    front: FrontEnd, inputs: Sequence[np.ndarray], batches: Sequence[tuple[int, ...]]
) -> list[Place]:
    """What every sequence of every batch gives."""
    return [place for batch in batches for place in _places(front, inputs, batch)]


def _places(
    front: FrontEnd, inputs: Sequence[np.ndarray], batch: tuple[int, ...]
) -> Iterator[Place]:
    outputs = front.forward([x[list(batch)] for x in inputs])
    for number, y in enumerate(outputs):
        if np.shape(y)[:1] != (len(batch),):
            raise FastISMError(
                f"Output {number} of {front.called} has shape {np.shape(y)} for a batch of "
                f"{len(batch)} sequences; expected the batch as its first axis. Give a model that "
                "leaves this output out, or exchanges its axes."
            )
    for index in range(len(batch)):
        yield Place(batch, index, [y[index] for y in outputs])


def _differing(first: Place, second: Place, places: Sequence[Place]) -> int | None:
    """Number of an output that is not the same at two places; None if all are."""
    for number, (a, b) in enumerate(zip(first.outputs, second.outputs, strict=True)):
        every = np.stack([place.outputs[number] for place in places])
        finite = every[np.isfinite(every)]
        spread = float(np.ptp(np.where(np.isfinite(every), every, 0), axis=0).max(initial=0.0))
        tolerance = OF_OUTPUT * np.abs(finite).max(initial=0.0) + OF_EFFECT * spread
        if not np.allclose(a, b, 0.0, tolerance, equal_nan=True):
            return number
    return None


def _told(
    front: FrontEnd, inputs: Sequence[np.ndarray], first: Place, second: Place, output: int
) -> str:
    """What was seen, why, and what to do."""
    a, b = first.outputs[output], second.outputs[output]
    with np.errstate(invalid="ignore"):
        gap = np.nan_to_num(np.abs(a - b), nan=np.inf)
    where = np.unravel_index(np.argmax(gap), gap.shape)
    cause = _cause(front, inputs, first)
    seen = (
        f"What {front.called} returns for a sequence depends on {cause}: "
        f"the same random sequence gave {a[where]:.6g} {first} and {b[where]:.6g} {second} "
        f"(output {output}, entry {tuple(int(i) for i in where)})."
    )
    batches = [[x[list(place.batch)] for x in inputs] for place in (first, second)]
    layer = front.coupled(batches, (first.index, second.index))
    remedy = " Mutagenesis is not defined for it." if cause == CHANCE else REMEDY
    return seen + (f" {layer}" if layer else "") + remedy


def _cause(front: FrontEnd, inputs: Sequence[np.ndarray], seen: Place) -> str:
    """What the outputs depend on, tried out: chance, place, company or size."""
    number = seen.batch[seen.index]
    places = _run(front, inputs, (seen.batch, seen.batch))
    again = [place for place in places if place.index == seen.index]
    if _differing(*again, places) is not None:
        return CHANCE
    alike = list(_places(front, inputs, (number,) * 3))
    if any(_differing(alike[0], other, places) is not None for other in alike[1:]):
        return "its place in the batch"
    other = next(i for i in range(len(inputs[0])) if i != number)
    company = [next(_places(front, inputs, (number, i, i))) for i in (number, other)]
    if _differing(*company, places) is not None:
        return "the others in its batch"
    return "the size of its batch"
