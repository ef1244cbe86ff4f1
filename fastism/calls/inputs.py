"""Checks on what users hand in, and its translation to mutants.

Requirements: numpy. Tensors of any framework are accepted through the array protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastism.calls.mutants import Mutants, Substitutions
from fastism.errors import FastISMError

Ranges = Sequence[tuple[int, int]]


def host_array(x: Any, name: str) -> np.ndarray:
    """`x` as a numeric numpy array; tensors of TensorFlow, torch and JAX are copied to the host."""
    detach = getattr(x, "detach", None)
    x = detach().cpu() if detach is not None else x
    try:
        array = np.asarray(x)
    except Exception as error:
        raise FastISMError(f"{name} cannot be read as an array: {error}.") from None
    if array.dtype.kind not in "fiub":
        raise FastISMError(
            f"{name} has dtype {array.dtype}; numbers are expected (one-hot encoded sequences: "
            "see fastism.sequences.one_hot)."
        )
    return array


def without_single_axis(inputs: Any, sequence: int, axis: int | None) -> Any:
    """Inputs whose sequence has no further axis of size one; as they are if it has none.

    Parameters
    ----------
    inputs : array, or sequence of arrays
    sequence : int
        Which of them is the sequence.
    axis : int or None
        Where the model has that axis, without the batch axis; None if it has none.
    """
    if axis is None:
        return inputs
    many = isinstance(inputs, (list, tuple))
    given = list(inputs) if many else [inputs]
    if sequence < len(given) and np.ndim(given[sequence]) == 4:
        x = host_array(given[sequence], "The sequence")
        given[sequence] = x.squeeze(axis + 1) if x.shape[axis + 1] == 1 else x
    return given if many else given[0]


def check_inputs(
    inputs: Any, shapes: Sequence[tuple[int | None, ...]], dtype: str
) -> list[np.ndarray]:
    """Inputs of a model as a list of finite arrays ``(sequences, *shape)`` of `dtype`.

    Parameters
    ----------
    inputs : array, or sequence of arrays where the model has several inputs
    shapes : sequence of tuple
        Expected shapes without the batch axis.
    dtype : str

    Raises
    ------
    FastISMError
        For a wrong number of inputs, rank, length, channel count, NaN and infinite values, or
        integers that `dtype` has no number for.
    """
    if len(shapes) > 1:
        if not isinstance(inputs, (list, tuple)) or len(inputs) != len(shapes):
            raise FastISMError(
                f"The model has {len(shapes)} inputs; give a list of {len(shapes)} arrays."
            )
        given = list(inputs)
    elif isinstance(inputs, (list, tuple)) and len(inputs) == 1 and np.ndim(inputs[0]) > 2:
        given = list(inputs)
    else:
        given = [inputs]
    arrays = []
    for number, (x, shape) in enumerate(zip(given, shapes, strict=True)):
        name = "The input" if len(shapes) == 1 else f"Input {number}"
        array = host_array(x, name)
        _check_shape(array, shape, name)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise FastISMError(
                f"{name} holds {array[where]} at index {where}; all values must be finite."
            )
        made = np.ascontiguousarray(array, dtype=dtype)
        if array.dtype.kind in "iu" and (made.astype(array.dtype) != array).any():
            raise FastISMError(
                f"{name} holds integers that the model's {dtype} cannot tell from their "
                "neighbours; give smaller numbers, or several that the model puts together."
            )
        arrays.append(made)
    if len({len(array) for array in arrays}) != 1:
        raise FastISMError(
            f"The inputs have {', '.join(str(len(a)) for a in arrays)} sequences; "
            "all need the same number."
        )
    return arrays


def check_axes(x: np.ndarray) -> None:
    """Refuse sequences (N, L, C) of a model of positions first whose axes were exchanged.

    Raises
    ------
    FastISMError
        If all characters have one position, and a position has several characters.
    """
    if _are_exchanged(x):
        raise FastISMError(characters_first(*x.shape[1:]))


def check_axes_of_module(x: np.ndarray) -> None:
    """As `check_axes`, for sequences (N, C, L) of a torch module."""
    if not _are_exchanged(x.swapaxes(1, 2)):
        return
    first, second = x.shape[1:]
    raise FastISMError(
        f"The module takes sequences of shape ({first}, {second}), which are read as {first} "
        f"characters at {second} positions; these are one-hot as {second} characters at {first} "
        "positions. If it takes (length, characters), build this with channels_last=True; if it "
        f"does not, give input_shape=({second}, {first}) and sequences of that shape."
    )


def _are_exchanged(x: np.ndarray) -> bool:
    """Whether sequences (N, L, C) are one-hot along their positions, and not their characters."""
    binary = ((x == 0) | (x == 1)).all()
    return bool(binary and (x.sum(1) == 1).all() and (x.sum(2) > 1).any())


def characters_first(length: int, characters: int) -> str:
    """What to say of a model, or of sequences, whose characters come before the positions."""
    return (
        f"The model takes sequences of shape ({length}, {characters}), which are read as positions "
        f"and characters; these look like {length} characters at {characters} positions. Wrap the "
        f"model: x = keras.Input(({characters}, {length})); keras.Model(x, "
        "model(keras.layers.Permute((2, 1))(x))), and give sequences of that shape. (Torch modules "
        "take characters first, unless channels_last=True says otherwise.)"
    )


def _check_shape(array: np.ndarray, shape: tuple[int | None, ...], name: str) -> None:
    wanted = ("sequences", *shape)
    if array.ndim == 2 and len(shape) == 2 and array.shape != shape and array.dtype.kind in "iu":
        raise FastISMError(
            f"{name} has shape {array.shape} and holds whole numbers, as if each were a letter; "
            f"expected one-hot rows, {wanted}: np.eye(number of letters)[x], or "
            "fastism.sequences.one_hot of the letters."
        )
    if array.ndim == len(shape) and len(shape) == 2:
        raise FastISMError(
            f"{name} has shape {array.shape}; expected {wanted}. "
            "For one sequence add a first axis: x[None]."
        )
    if array.ndim != len(wanted) or any(
        b is not None and a != b for a, b in zip(array.shape[1:], shape, strict=False)
    ):
        remedy = ""
        if array.ndim == 3 and len(shape) == 2 and array.shape[1:] == shape[::-1]:
            remedy = f" {_order(shape)}: transpose the last two axes."
        raise FastISMError(f"{name} has shape {array.shape}; expected {wanted}.{remedy}")
    if not len(array):
        raise FastISMError(f"{name} has no sequences (shape {array.shape}).")


def _order(shape: tuple[int | None, ...]) -> str:
    """How the longer axis of a sequence is told from the shorter one."""
    if None not in shape and shape[0] < shape[1]:
        return "Channels come before positions"
    return "Positions come before channels"


def check_ranges(ranges: Ranges | None, length: int) -> np.ndarray:
    """Change ranges as an array of int, shape (ranges, 2); every position alone by default.

    Raises
    ------
    FastISMError
        For ranges that are empty, of unequal width, or leave ``[0, length)``.
    """
    if ranges is None:
        first = np.arange(length)
        return np.stack([first, first + 1], 1)
    try:
        array = np.asarray(ranges)
        valid = array.ndim == 2 and array.shape[1] == 2 and array.dtype.kind in "iu"
    except ValueError:
        valid = False
    if not valid or not len(array):
        raise FastISMError(
            f"change_ranges must be a list of (start, end) pairs of integers; got {ranges!r}."
        )
    array = array.astype(np.int64)
    widths = array[:, 1] - array[:, 0]
    outside = (array[:, 0] < 0) | (array[:, 1] > length) | (widths < 1)
    if outside.any():
        start, end = array[np.flatnonzero(outside)[0]]
        raise FastISMError(
            f"change_ranges holds ({start}, {end}), which is empty or leaves the sequence of "
            f"length {length}; ranges are 0-based and half-open."
        )
    if len(np.unique(widths)) > 1:
        raise FastISMError(
            f"change_ranges have widths {sorted({int(w) for w in widths})}; all ranges of one "
            "call need the same width: use one FastISM per width."
        )
    return array


def check_replacement(
    replace_with: Any, width: int, channels: int, channels_first: bool = False
) -> np.ndarray:
    """The replacement as an array of float, shape (width, channels).

    Parameters
    ----------
    replace_with : 0, array of shape (channels,), or array of shape (width, channels)
        A row is only valid for ranges of width one.
    width, channels : int
    channels_first : bool
        Whether a matrix has shape (channels, width) instead.
    """
    array = host_array(replace_with, "replace_with").astype(np.float64)
    if array.ndim == 0 and array == 0:
        return np.zeros((width, channels))
    if array.ndim == 1:
        array = array[None]
    elif channels_first and array.ndim == 2:
        array = array.T
    if array.shape != (width, channels):
        wide = (channels, width) if channels_first else (width, channels)
        raise FastISMError(
            f"replace_with has shape {np.shape(replace_with)}; expected 0, or as many "
            f"{'columns' if channels_first else 'rows'} as the ranges are wide: {wide}"
            + (f", or one row ({channels},)." if width == 1 else ".")
        )
    if not np.isfinite(array).all():
        raise FastISMError("replace_with holds NaN or infinite values; it must be finite.")
    _check_order(array, "replace_with", channels_first)
    return array


def _check_order(array: np.ndarray, name: str, channels_first: bool) -> None:
    """Raise FastISMError for a square replacement ``(..., width, C)`` with its axes exchanged.

    One-hot characters tell: they add up to one along the characters.
    """
    if array.shape[-1] != array.shape[-2] or not array.size or not np.isin(array, (0, 1)).all():
        return
    along_characters, along_positions = (array.sum(axis) == 1 for axis in (-1, -2))
    if along_positions.all() and not along_characters.all():
        order = "(characters, width)" if channels_first else "(width, characters)"
        raise FastISMError(
            f"{name} has {array.shape[-1]} positions and as many characters, and is one-hot along "
            f"the positions; expected {order}: exchange its last two axes."
        )


def check_perturbations(
    sequence: Any, start: Any, replacement: Any, shape: tuple[int, int, int], channels_first: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A list of perturbations as arrays: sequence and start (M,), replacement (M, width, C).

    Parameters
    ----------
    sequence, start : array of int, shape (M,)
    replacement : array, shape (M, width, C)
        (M, C, width) with `channels_first`.
    shape : tuple of int
        Of the sequences that are changed: (N, L, C).
    channels_first : bool

    Raises
    ------
    FastISMError
        For arrays that do not belong together, and perturbations outside the sequences.
    """
    count, length, channels = shape
    array = host_array(replacement, "replacement").astype(np.float64)
    array = array.swapaxes(1, 2) if channels_first and array.ndim == 3 else array
    if array.ndim != 3 or array.shape[2] != channels or not 1 <= array.shape[1] <= length:
        rest = (channels, "width") if channels_first else ("width", channels)
        raise FastISMError(
            f"replacement has shape {np.shape(replacement)}; expected {('perturbations', *rest)} "
            f"with a width from 1 to {length}."
        )
    if not np.isfinite(array).all():
        raise FastISMError("replacement holds NaN or infinite values; it must be finite.")
    _check_order(array, "replacement", channels_first)
    numbers = []
    for name, given, most in (
        ("sequence", sequence, count - 1),
        ("start", start, length - array.shape[1]),
    ):
        made = np.asarray(given)
        if made.shape != (len(array),) or (made.dtype.kind not in "iu" and made.size):
            raise FastISMError(
                f"{name} must be {len(array)} integers, one for each replacement; got an array of "
                f"shape {made.shape} and dtype {made.dtype}."
            )
        if made.size and (made.min() < 0 or made.max() > most):
            raise FastISMError(
                f"{name} reaches from {made.min()} to {made.max()}; expected 0 to {most} for "
                f"{count} sequences of length {length} and perturbations of width {array.shape[1]}."
            )
        numbers.append(made.astype(np.int64))
    return *numbers, array


def check_positions(positions: Any, length: int) -> np.ndarray:
    """Positions as an array of int; None is all, a slice is resolved."""
    if positions is None:
        return np.arange(length)
    if isinstance(positions, slice):
        return np.arange(length)[positions]
    array = np.asarray(positions)
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        mask = " Of a mask give np.flatnonzero(mask)." if array.dtype == bool else ""
        raise FastISMError(
            "positions must be a slice or a list of at least one integer; got an array of shape "
            f"{array.shape} and type {array.dtype}.{mask}"
        )
    if array.min() < 0 or array.max() >= length:
        raise FastISMError(
            f"positions reach from {array.min()} to {array.max()}; "
            f"the sequence has positions 0 to {length - 1}."
        )
    return array.astype(np.int64)


def check_outputs(outputs: Any, shapes: Sequence[tuple[int, ...]]) -> dict[int, np.ndarray | None]:
    """Which model outputs to keep, and which entries of each one's first axis.

    Parameters
    ----------
    outputs : None, int, slice, sequence of int, or mapping
        None keeps everything. For a model with one output: entries of its first axis. For a model
        with several: numbers of outputs; or a mapping of output number to entries (or None).
    shapes : sequence of tuple
        Shapes of the outputs without the batch axis.
    """
    if outputs is None:
        return dict.fromkeys(range(len(shapes)))
    if isinstance(outputs, Mapping):
        for number in outputs:
            if number not in range(len(shapes)):
                raise FastISMError(
                    f"outputs names output {number!r}; "
                    f"the model has outputs 0 to {len(shapes) - 1}."
                )
        return {
            int(n): None if entries is None else _entries(entries, shapes[n][0], f"outputs[{n}]")
            for n, entries in outputs.items()
        }
    if len(shapes) == 1:
        if not shapes[0]:
            raise FastISMError("The model's output is a single number: outputs cannot choose.")
        return {0: _entries(outputs, shapes[0][0], "outputs")}
    return {int(i): None for i in _entries(outputs, len(shapes), "outputs")}


def _entries(chosen: Any, count: int, name: str) -> np.ndarray:
    if isinstance(chosen, slice):
        chosen = np.arange(count)[chosen]
    array = np.atleast_1d(np.asarray(chosen))
    valid = array.ndim == 1 and len(array) and array.dtype.kind in "iu"
    if not valid or array.min() < 0 or array.max() >= count:
        raise FastISMError(f"{name} must be integers from 0 to {count - 1}; got {chosen!r}.")
    return array.astype(np.int64)


def range_mutants(
    x: np.ndarray, ranges: np.ndarray, replacement: np.ndarray
) -> tuple[Mutants, tuple[np.ndarray, ...]]:
    """Mutants for one replacement in every range, without those that change nothing.

    Returns
    -------
    mutants : Mutants
    index : tuple of ndarray of int
        Sequence and range of every mutant.
    """
    width = len(replacement)
    current = x[:, ranges[:, 0][:, None] + np.arange(width)]
    sequence, number = np.nonzero((current != replacement).any((2, 3)))
    replaced = np.broadcast_to(replacement, (len(sequence), *replacement.shape))
    delta = replaced - current[sequence, number]
    return Mutants(sequence, ranges[number, 0], replaced, delta), (sequence, number)


def listed_mutants(
    x: np.ndarray, sequence: np.ndarray, start: np.ndarray, replacement: np.ndarray
) -> tuple[Mutants, np.ndarray]:
    """Mutants for a list of perturbations, without those that change nothing.

    Returns
    -------
    mutants : Mutants
    index : ndarray of int
        Which perturbation every mutant is.
    """
    current = x[sequence[:, None], start[:, None] + np.arange(replacement.shape[1])]
    delta = replacement - current
    index = np.flatnonzero(delta.any((1, 2)))
    return Mutants(sequence[index], start[index], replacement[index], delta[index]), index


def saturating_mutants(
    x: np.ndarray, positions: np.ndarray
) -> tuple[Mutants, tuple[np.ndarray, ...]]:
    """Mutants for every other character at every position.

    Returns
    -------
    mutants : Mutants
    index : tuple of ndarray of int
        Sequence, row of `positions` and character of every mutant.
    """
    characters = np.eye(x.shape[2])
    letters, letter = _letters(x[:, positions], characters)
    differs = (letters[:, None] != characters).any(2)
    sequence, row, character = np.nonzero(differs[letter])
    kind = letter[sequence, row] * len(characters) + character
    shape = (differs.size, 1, len(characters))
    deltas = (characters - letters[:, None]).reshape(shape)
    replacements = np.broadcast_to(characters, (len(letters), *characters.shape)).reshape(shape)
    made = Substitutions(sequence, positions[row], kind, replacements, deltas)
    return made, (sequence, row, character)


def _letters(current: np.ndarray, characters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of an input: the characters, and whatever else stands there, such as N.

    Parameters
    ----------
    current : ndarray, shape (sequences, positions, characters)
    characters : ndarray, shape (characters, characters)
        The identity.

    Returns
    -------
    letters : ndarray, shape (letters, characters)
    letter : ndarray of int, shape (sequences, positions)
        Which of them stands where.
    """
    letter = current.argmax(2)
    others = (current != characters[letter]).any(2)
    if not others.any():
        return characters, letter
    found, number = np.unique(current[others], axis=0, return_inverse=True)
    letter[others] = len(characters) + number.reshape(-1)
    return np.concatenate([characters, found]), letter


def float_type(dtype: Any) -> np.dtype:
    """A floating-point type that a user names, checked."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is None or kind.kind != "f":
        raise FastISMError(f"dtype must be a floating-point type; got {dtype!r}.")
    return kind
