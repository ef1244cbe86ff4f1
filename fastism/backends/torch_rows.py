"""A dense layer after Flatten on uniform windows, by the fastest of the ways there are.

Requirements: torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fastism.backends import torch_triton, triton_runtime, triton_tiles
from fastism.backends.choices import Choices
from fastism.backends.torch_kernels import class_of
from fastism.backends.torch_products import Chosen
from fastism.backends.windows import per_mutant

_Tensor = torch.Tensor
#: Sums of all mutants, ``way(windows, starts)``; None where the way does not suit these windows.
Way = Callable[[Sequence[_Tensor], Sequence[np.ndarray]], "_Tensor | None"]

#: How many times the rows of all mutants a product of filled-up groups may have.
FILLED = 3
#: How many groups may be larger than the others.
APART = 8


class PositionRows:
    """The kernel of a dense layer over positions, and the ways to multiply windows with it.

    Parameters
    ----------
    kernel : tensor, shape (length, channels, features)
    tiles : sequence of triton_tiles.Tile
        Those of the programs in Triton that can run; may be empty.
    choices : Choices
    """

    def __init__(
        self, kernel: _Tensor, tiles: Sequence[triton_tiles.Tile], choices: Choices
    ) -> None:
        self.kernel = kernel
        makers: dict[str, Callable[[], Way]] = {"grouped product": lambda: self._grouped}
        for tile in tiles:
            makers[f"{torch_triton.ChangedRows.form} {tile}"] = lambda tile=tile: self._tiled(tile)
        key = ("rows", *kernel.shape, str(kernel.dtype), kernel.device.type)
        together = triton_runtime.compiled_together if kernel.is_cuda else None
        self.chosen = Chosen(choices, key, makers, together=together)

    def sums(
        self, windows: Sequence[_Tensor], starts: Sequence[np.ndarray], rounding: str
    ) -> _Tensor | None:
        """``sum_p x[p] @ kernel[start + p]`` of all mutants, (mutants, features), or None.

        Parameters
        ----------
        windows : sequence of tensor, each (width, blocks, mutants, channels)
        starts : sequence of ndarray of int, each shape (blocks,)
        rounding : str
            What products round to at the moment.
        """
        rows = sum(x.shape[1] * x.shape[2] for x in windows)

        def sampled() -> Callable[[Way], None]:
            def run(way: Way) -> None:
                way(windows, starts)
                if self.kernel.is_cuda:
                    torch.cuda.synchronize(self.kernel.device)

            return run

        shape = (class_of(rows), windows[0].shape[0], rounding)
        return self.chosen.pick(shape, sampled, advance=self.kernel.is_cuda)(windows, starts)

    def _tiled(self, tile: triton_tiles.Tile) -> Way:
        program = torch_triton.ChangedRows(self.kernel, tile)

        def way(windows: Sequence[_Tensor], starts: Sequence[np.ndarray]) -> _Tensor:
            return program.sums(windows, [_indices(start, self.kernel) for start in starts])

        return way

    def _grouped(self, windows: Sequence[_Tensor], starts: Sequence[np.ndarray]) -> _Tensor | None:
        """All mutants in one product, and in a few more.

        Mutants whose windows begin at one position are a group; groups are filled up to one size,
        and each is multiplied with its part of the kernel. The parts overlap. A few groups, those
        of windows that were moved inside at the ends, are larger: their rest is multiplied apart.
        """
        if len({x.shape[0] for x in windows}) > 1:
            return None
        groups = _groups(np.concatenate(per_mutant(windows, starts)))
        if groups.size * len(groups.start) > FILLED * len(groups.place):
            return None
        (length, channels, features), width = self.kernel.shape, len(windows[0])
        flat = torch.cat([x.reshape(width, -1, channels) for x in windows], 1).transpose(0, 1)
        filled = flat.new_zeros((len(groups.start) * groups.size, width, channels))
        room = groups.place < len(filled)
        inside = _indices(np.flatnonzero(room), self.kernel)
        filled[_indices(groups.place[room], self.kernel)] = flat[inside]
        parts = self.kernel.as_strided(
            (length - width + 1, width * channels, features), (channels * features, features, 1)
        )
        product = filled.view(len(groups.start), groups.size, -1)
        made = [torch.bmm(product, parts[_slice(groups.start)]).view(-1, features)]
        for start, rest in groups.rest:
            made.append(flat[_indices(rest, self.kernel)].flatten(1) @ parts[start])
        return torch.cat(made).index_select(0, _indices(groups.place, self.kernel))


@dataclass(frozen=True)
class _Groups:
    """Mutants by the position that their windows begin at.

    Parameters
    ----------
    start : ndarray of int, shape (groups,)
    size : int
        Places of every group.
    rest : list of (int, ndarray of int)
        Mutants that had no place in their group, with its start.
    place : ndarray of int, shape (mutants,)
        Where each mutant is: in its group, or behind all of them in the order of `rest`.
    """

    start: np.ndarray
    size: int
    rest: list[tuple[int, np.ndarray]]
    place: np.ndarray


def _groups(first: np.ndarray) -> _Groups:
    """Groups of mutants by the first position of each, so large that few do not fit."""
    start, group, count = np.unique(first, return_inverse=True, return_counts=True)
    ordered = np.sort(count)[::-1]
    size = int(max(np.median(count), ordered[min(APART, len(ordered) - 1)]))
    order = np.argsort(group, kind="stable")
    rank = np.empty(len(first), dtype=np.int64)
    rank[order] = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
    place, behind, rest = group * size + rank, len(start) * size, []
    for number in np.flatnonzero(count > size):
        left = np.flatnonzero((group == number) & (rank >= size))
        place[left] = behind + np.arange(len(left))
        behind += len(left)
        rest.append((int(start[number]), left))
    return _Groups(start, size, rest, place)


def _indices(x: np.ndarray, like: _Tensor) -> _Tensor:
    given = torch.from_numpy(np.ascontiguousarray(x, dtype=np.int64))
    return given.pin_memory().to(like.device, non_blocking=True) if like.is_cuda else given


def _slice(groups: np.ndarray) -> Any:
    """Ascending integers as a slice where they are equally far apart, which copies nothing."""
    steps = np.unique(np.diff(groups))
    if len(steps) > 1:
        return torch.from_numpy(groups)
    return slice(int(groups[0]), int(groups[-1]) + 1, int(steps[0]) if len(steps) else 1)
