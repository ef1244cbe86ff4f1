"""Saturation mutagenesis of torch modules with the call and the results of tangermeme.

Requirements: torch. `saturation_mutagenesis` takes the place of
``tangermeme.saturation_mutagenesis.saturation_mutagenesis`` (https://github.com/jmschrei/tangermeme).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import torch

from fastism.errors import FastISMError
from fastism.ism import FastISM

Tensors = torch.Tensor | list[torch.Tensor]


class RawOutputs(NamedTuple):
    """What `saturation_mutagenesis` returns with ``raw_outputs=True``.

    Parameters
    ----------
    y0 : tensor, shape (N, *output), or list of them
        Outputs for the sequences as they are.
    y_hat : tensor, shape (N, C, positions, *output), or list of them
        Outputs with each character at each position.
    """

    y0: Tensors
    y_hat: Tensors


class _Applied(torch.nn.Module):
    """A module, and a function of what it returns."""

    def __init__(self, module: torch.nn.Module, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.module, self.function = module, function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(self.module(*inputs))


def saturation_mutagenesis(
    model: torch.nn.Module,
    X: torch.Tensor,
    args: Sequence[torch.Tensor] | None = None,
    start: int = 0,
    end: int = -1,
    batch_size: int | None = None,
    target: int | slice | None = None,
    hypothetical: bool = False,
    raw_outputs: bool = False,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    verbose: bool = False,
    func: Callable[[Any], Any] | None = None,
    *,
    precision: str = "float32",
) -> torch.Tensor | RawOutputs:
    """Attributions by saturation mutagenesis, or the outputs that they are made of.

    An attribution is the change of the output by a character, minus the mean change over all
    characters of that position, averaged over the chosen outputs.

    Parameters
    ----------
    model : torch.nn.Module
        Takes ``(N, C, L)`` and what `args` holds.
    X : tensor, shape (N, C, L)
        One-hot encoded sequences.
    args : sequence of tensors, each (N, ...), optional
        Further inputs of the module.
    start, end : int
        Positions to mutate, half-open; a negative `end` counts from the end such that -1 includes
        the last position.
    batch_size : int, optional
        Accepted for compatibility: memory decides how many mutants run together.
    target : int, slice or None
        Entries of the first axis of the output to average over; None for all.
    hypothetical : bool
        Whether characters that do not stand in `X` get attributions too.
    raw_outputs : bool
        Whether to return the outputs instead of attributions.
    dtype : str or torch.dtype, optional
        Type to compute in, float32 or float64; the module's by default. Mixed precision is
        refused, because its rounding would be larger than many effects.
    device : str or torch.device, optional
        Where to run; a module that lives elsewhere is copied there. By default where the module is.
    verbose : bool
        Accepted for compatibility: there is no progress to show.
    func : callable, optional
        Applied to the module's output, for references and mutants alike.
    precision : {"float32", "tf32"}
        As for `FastISM`.

    Returns
    -------
    tensor, shape (N, C, positions), or RawOutputs
        On the host.

    Raises
    ------
    FastISMError
        For a span that leaves the sequences, a half-precision type, or attributions of a module
        with several outputs.
    """
    if not isinstance(X, torch.Tensor) or X.dim() != 3:
        raise FastISMError(
            f"X is a {type(X).__name__} of shape {tuple(getattr(X, 'shape', ()))}; expected a "
            "tensor of one-hot rows (N, C, L): torch.from_numpy(fastism.sequences.one_hot(letters)"
            ".swapaxes(1, 2).copy())."
        )
    if X.shape[1] > X.shape[2] and (X.sum(2) == 1).all():
        raise FastISMError(
            f"X has shape {tuple(X.shape)} and its rows along the last axis are one-hot; expected "
            "(N, C, L), characters before positions: X.transpose(1, 2)."
        )
    length = X.shape[-1]
    stop = length + 1 + end if end < 0 else end
    if not 0 <= start < stop <= length:
        raise FastISMError(
            f"start={start} and end={end} do not lie within sequences of length {length}."
        )
    model = _placed(model, dtype, device)
    inputs = [X, *(args or ())]
    ism = FastISM(
        model if func is None else _Applied(model, func),
        test_correctness=False,
        input_shape=[tuple(x.shape[1:]) for x in inputs],
        channels_last=False,
        precision=precision,
    )
    if ism.num_outputs > 1 and not raw_outputs:
        raise FastISMError(
            f"The module has {ism.num_outputs} outputs; attributions need one. Use "
            "raw_outputs=True, or func= to choose an output."
        )
    result = ism.saturate(inputs if len(inputs) > 1 else X, positions=slice(start, stop))
    if raw_outputs:
        return RawOutputs(_tensors(result.reference), _tensors(result.mutants))
    attributions = _attributions(_tensors(result.reference), _tensors(result.mutants), target)
    if hypothetical:
        return attributions
    return attributions * X[:, :, start:stop].detach().cpu().to(attributions.dtype)


def _placed(
    model: torch.nn.Module, dtype: str | torch.dtype | None, device: str | torch.device | None
) -> torch.nn.Module:
    """The module in the wanted type and place; a copy if it is not so already."""
    kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    if kind not in (None, torch.float32, torch.float64):
        raise FastISMError(
            f"dtype={dtype!r} was given; exact ISM needs float32 or float64 (None is the module's)."
        )
    tensors = [*model.parameters(), *model.buffers()]
    elsewhere = device is not None and any(x.device != torch.device(device) for x in tensors)
    other = kind is not None and any(x.is_floating_point() and x.dtype != kind for x in tensors)
    return deepcopy(model).to(device=device, dtype=kind) if elsewhere or other else model


def _tensors(x: Any) -> Tensors:
    return [torch.from_numpy(y) for y in x] if isinstance(x, list) else torch.from_numpy(x)


def _attributions(
    reference: torch.Tensor, mutants: torch.Tensor, target: int | slice | None
) -> torch.Tensor:
    """Change by each character minus the mean over characters, averaged over outputs."""
    if mutants.dim() > 3:
        chosen = slice(None) if target is None else target
        reference, mutants = reference[:, chosen], mutants[:, :, :, chosen]
    change = mutants - reference[:, None, None]
    change = change - change.mean(1, keepdim=True)
    return change.flatten(3).mean(3) if change.dim() > 3 else change
