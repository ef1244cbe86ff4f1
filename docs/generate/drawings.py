"""Drawings of the algorithm, from the real planner and real convolutions on a small model.

Requirements: numpy, fastism. No framework: the small model is a graph of rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log10

import numpy as np

from docs.generate.svg import LINE, Drawing
from fastism.graph.nodes import Graph, GraphBuilder
from fastism.planning.layout import Layout, make_layout
from fastism.planning.steps import Mode, Step, assign_steps
from fastism.rules import Convolution, FlattenDense, MaxPool, Pointwise, Source

#: Of the small model.
LENGTH, CHARACTERS, CHANNELS = 60, 4, 8
LEFT, RIGHT = 180, 70


def small_graph() -> Graph:
    """Two convolutions with ReLU and pooling, read by a dense layer; the weights do not matter."""
    builder = GraphBuilder()
    x = builder.add("sequence", "Input", Source((LENGTH, CHARACTERS)))
    pooled = LENGTH // 3
    kernels = np.zeros((7, CHARACTERS, CHANNELS)), np.zeros((3, CHANNELS, CHANNELS))
    x = builder.add("conv, 7 taps", "Conv1D", Convolution(kernels[0], pad=(3, 3)), [x])
    x = builder.add("ReLU", "ReLU", Pointwise("relu"), [x])
    x = builder.add("max pool, 3", "MaxPooling1D", MaxPool(3, 3), [x])
    x = builder.add(
        "conv, 3 taps, dilation 2",
        "Conv1D",
        Convolution(kernels[1], dilation=2, pad=(2, 2)),
        [x],
    )
    x = builder.add("ReLU ", "ReLU", Pointwise("relu"), [x])
    dense = FlattenDense(np.zeros((pooled, CHANNELS, 1)))
    x = builder.add("dense", "Dense", dense, [x])
    return builder.build([0], [x], 0, "float32")


@dataclass(frozen=True)
class Row:
    """What one tensor shows of one perturbation.

    Parameters
    ----------
    name : str
    length : int
        Positions of the tensor.
    affected, window : tuple of int
        Half-open.
    kind : str
        What the window holds.
    """

    name: str
    length: int
    affected: tuple[int, int]
    window: tuple[int, int]
    kind: str


def rows_of(graph: Graph, position: int) -> list[Row]:
    """The tensors with a window when one position is perturbed, in the order of the model."""
    steps = assign_steps(graph)
    layout = make_layout(graph, steps, width=1, block=1, phase=0, same=False)
    rows, affected = [], {}
    for index in layout.nodes:
        node, step = graph.nodes[index], steps[index]
        one = _hull(layout, index, position)
        if node.inputs:
            reach = node.rule.affected([affected[i] for i in node.inputs], node.shape[0])
        else:
            reach = layout.windows[index]
        affected[index] = reach
        exact = int(reach.start[position]), int(reach.stop[position])
        rows.append(Row(node.name.strip(), node.shape[0], exact, one, _kind(step)))
    return rows


def _hull(layout: Layout, index: int, hull: int) -> tuple[int, int]:
    window = layout.windows[index]
    return int(window.start[hull]), int(window.stop[hull])


def _kind(step: Step) -> str:
    return "delta" if step.produces is None else step.produces.value


def _style(row: Row, i: int) -> str:
    """What position `i` is filled with."""
    if row.affected[0] <= i < row.affected[1]:
        return row.kind
    return "read" if row.window[0] <= i < row.window[1] else ""


def affected_interval(position: int = 31) -> str:
    """How far one changed position reaches, layer by layer."""
    graph = small_graph()
    rows = rows_of(graph, position)
    cell, height, gap = 9.0, 18, 22
    wide = LENGTH * cell
    last = len(rows) * (height + gap)
    drawing = Drawing(
        LEFT + wide + RIGHT + 20,
        30 + last + 34,
        "The affected interval of one changed position through the layers of a small model",
    )
    drawing.text(LEFT + wide + 12, 18, "width")
    edges = None
    for number, row in enumerate(rows):
        y = 30 + number * (height + gap)
        step = wide / row.length
        drawing.text(LEFT - 12, y + height - 5, row.name, "end")
        for i in range(row.length):
            drawing.rect(LEFT + i * step, y, step, height, f"cell {_style(row, i)}")
        here = tuple(LEFT + i * step for i in row.affected)
        if edges is not None:
            above = y - gap
            drawing.polygon(
                [(edges[0], above), (edges[1], above), (here[1], y), (here[0], y)], "reach"
            )
        edges = here
        width = f"{row.affected[1] - row.affected[0]} of {row.length}"
        drawing.text(LEFT + wide + 12, y + height - 5, width)
    y = 30 + last
    middle = LEFT + wide / 2
    drawing.polygon([(edges[0], y - gap), (edges[1], y - gap), (middle, y)], "reach")
    drawing.text(LEFT - 12, y + 14, "dense", "end")
    drawing.rect(middle - 9, y, 18, height, "cell delta")
    return drawing.figure(
        f"What one change at position {position} of {LENGTH} reaches. Windows hold deltas (blue) "
        "or values (orange; green: a delta prepared for ReLU). Grey: read from the reference, "
        "because pooling needs its whole group. The dense layer reads only the rows of the last "
        "window."
    )


def taps(delta: np.ndarray, kernel: np.ndarray, dilation: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The taps of a convolution of one channel on a delta, each where it is added.

    Parameters
    ----------
    delta : ndarray, shape (w,)
    kernel : ndarray, shape (k,)

    Returns
    -------
    shifted : ndarray, shape (k, w + (k - 1) * dilation)
        Tap t in row t; a convolution reads position q + t for output q, so later taps lie further
        to the left.
    total : ndarray, shape (w + (k - 1) * dilation,)
        Their sum, the delta of the affected outputs.
    """
    size = len(kernel)
    shifted = np.zeros((size, len(delta) + (size - 1) * dilation))
    for t in range(size):
        first = (size - 1 - t) * dilation
        shifted[t, first : first + len(delta)] = delta * kernel[t]
    return shifted, shifted.sum(0)


def overlap_add() -> str:
    """A convolution of a delta as the sum of its shifted taps."""
    delta = np.array([0.9, -0.7, 0.5])
    kernel = np.array([0.5, -0.9, 1.0, 0.6, -0.4])
    shifted, total = taps(delta, kernel)
    cell, height, gap = 44, 24, 8
    rows = [(f"tap {t}: times {kernel[t]:g}", shifted[t]) for t in range(len(kernel))]
    wide = len(total) * cell
    drawing = Drawing(
        LEFT + wide + 20,
        (len(rows) + 2) * (height + gap) + 40,
        "The delta of a convolution as the sum of shifted and scaled copies of its input's delta",
    )
    y = 10
    # The middle tap is where input and output positions agree.
    _values(drawing, "delta of the input", delta, LEFT + 2 * cell, y, cell, height)
    y += height + gap + 10
    for name, values in rows:
        nonzero = np.flatnonzero(values)
        first = nonzero[0]
        for i in range(len(total)):
            drawing.rect(LEFT + i * cell, y, cell, height, "cell")
        _values(drawing, name, values[nonzero], LEFT + first * cell, y, cell, height)
        y += height + gap
    drawing.line(LEFT, y, LEFT + wide, y)
    y += gap
    _values(drawing, "delta of the output", total, LEFT, y, cell, height)
    return drawing.figure(
        "A convolution of five taps on a delta of three positions, one channel. Every tap is one "
        "product, added where it belongs; the sum is the delta of the seven affected outputs. "
        "With channels, a tap is a matrix product."
    )


def _values(
    drawing: Drawing, name: str, values: np.ndarray, x: float, y: float, cell: float, height: float
) -> None:
    drawing.text(LEFT - 12, y + height - 7, name, "end")
    for i, value in enumerate(values):
        drawing.rect(x + i * cell, y, cell, height, "cell")
        drawing.shade(x + i * cell, y, cell, height, value)
        drawing.text(x + (i + 0.5) * cell, y + height - 7, f"{value:.2f}", "middle", "number")


def block_layout(first: int = 28, block: int = 4, alternatives: int = 3) -> str:
    """A block of neighbouring perturbations that share one window."""
    graph = small_graph()
    steps = assign_steps(graph)
    conv = 1
    single = make_layout(graph, steps, width=1, block=1, phase=0, same=False)
    alone = [graph.nodes[conv].rule.affected([single.windows[0]], LENGTH)][0]
    start = int(alone.start[first])
    stop = int(alone.stop[first + block - 1])
    cell, height = 30, 17
    wide = (stop - start) * cell
    mutants = block * alternatives
    top = 46
    drawing = Drawing(
        LEFT + wide + 20,
        top + mutants * height + 44,
        "The window of a block: positions times mutants",
    )
    drawing.text(LEFT, 16, f"reference window: positions {start} to {stop - 1}, stored once")
    for i in range(stop - start):
        drawing.rect(LEFT + i * cell, 22, cell, 14, "cell values")
    for row in range(mutants):
        position = first + row // alternatives
        y = top + row * height
        reach = int(alone.start[position]) - start, int(alone.stop[position]) - start
        for i in range(stop - start):
            inside = reach[0] <= i < reach[1]
            drawing.rect(LEFT + i * cell, y, cell, height, "cell delta" if inside else "cell spare")
        if row % alternatives == 1:
            drawing.text(LEFT - 12, y + height - 4, f"position {position}", "end")
        if row and row % alternatives == 0:
            drawing.line(LEFT - 8, y, LEFT + wide, y)
    width = int(alone.width[first])
    y = top + mutants * height + LINE + 4
    text = f"width {width} + {block} − 1 = {stop - start} positions, {mutants} mutants"
    drawing.text(LEFT, y, text)
    return drawing.figure(
        f"The deltas of a block of {block} positions with {alternatives} alternatives each, after "
        "a convolution of seven taps. Blue: what the mutant can change; pale: what the shared "
        "window costs on top. The reference term (orange) is one slice for all mutants."
    )


def multiply_adds() -> str:
    """Multiply-adds per mutant of each layer of Basset, naive and by deltas."""
    from docs.generate.plans import basset_plan

    plan = basset_plan()
    rows = [
        (node.name, cost.naive, cost.fast)
        for node, cost, step in zip(plan.graph.nodes, plan.costs, plan.steps, strict=True)
        if cost.naive and step.mode is not Mode.REFERENCE
    ]
    rows.append(("all", plan.naive_macs, plan.fast_macs))
    height, gap, decade = 12, 14, 78
    lowest = 2  # hundreds
    wide = decade * 7
    drawing = Drawing(
        LEFT + wide + 60,
        40 + len(rows) * (2 * height + gap) + 20,
        "Multiply-adds per mutant of the layers of Basset, naive and by delta propagation",
    )
    bottom = 30 + len(rows) * (2 * height + gap)
    for power in range(lowest, 10):
        x = LEFT + (power - lowest) * decade
        drawing.line(x, 24, x, bottom, "grid")
        unit = " kMG"[power // 3]
        drawing.text(x, 16, f"{10 ** (power % 3)} {unit}".strip(), "middle")
    for number, (name, naive, fast) in enumerate(rows):
        y = 30 + number * (2 * height + gap)
        drawing.text(LEFT - 12, y + height + 4, name, "end")
        for shift, macs, style in ((0, naive, "bar naive"), (height, fast, "bar fast")):
            length = max(log10(max(macs, 1)) - lowest, 0) * decade
            drawing.rect(LEFT, y + shift, length, height, style)
        drawing.text(
            LEFT + max(log10(naive) - lowest, 0) * decade + 8,
            y + height + 4,
            f"{naive / fast:.1f} times",
        )
    return drawing.figure(
        "Multiply-adds per mutant of Basset at 1000 bp, as the planner counts them: naive (grey) "
        "and by delta propagation (blue), on a logarithmic scale."
    )
