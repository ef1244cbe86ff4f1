"""Interval arithmetic against loops over positions: every small case, in milliseconds."""

from itertools import product

import numpy as np
import pytest

from fastism.intervals import (
    Interval,
    hull,
    same_padding,
    sliding_affected,
    sliding_length,
    sliding_required,
    uniform,
)

SLIDES = [
    (size, stride, dilation, pad)
    for size, stride, dilation in product((1, 2, 3, 5), (1, 2, 3, 4), (1, 2, 3))
    for pad in {(0, 0), ((size - 1) * dilation, 0), (0, 2), (1, 1), (3, 4)}
]


def intervals(pairs) -> Interval:
    start, stop = np.array(list(pairs)).T
    return Interval(start, stop)


def all_intervals(length: int) -> Interval:
    return intervals((a, z) for a in range(length) for z in range(a + 1, length + 1))


def read_by(q: int, size: int, stride: int, dilation: int, pad_left: int) -> list[int]:
    return [q * stride - pad_left + t * dilation for t in range(size)]


@pytest.mark.parametrize("length", [1, 2, 7, 11])
def test_sliding_affected_is_exactly_what_reads_a_changed_input(length):
    """No wider than brute force where taps are not dilated, and never narrower."""
    x = all_intervals(length)
    cases = 0
    for size, stride, dilation, pad in SLIDES:
        count = sliding_length(length, size, stride, dilation, sum(pad))
        if count < 1:
            continue
        made = sliding_affected(x, size, stride, dilation, pad[0], count)
        assert (made.start >= 0).all()
        assert (made.stop <= count).all()
        assert (made.width >= 1).all()
        for i, (a, z) in enumerate(zip(x.start, x.stop, strict=True)):
            hit = [
                q
                for q in range(count)
                if any(a <= p < z for p in read_by(q, size, stride, dilation, pad[0]))
            ]
            if hit:
                assert made.start[i] <= hit[0]
                assert hit[-1] < made.stop[i]
                if dilation == 1 and stride <= size:
                    assert (made.start[i], made.stop[i]) == (hit[0], hit[-1] + 1)
            cases += 1
    assert cases > 50


def test_sliding_affected_may_be_loose_only_between_dilated_taps():
    """The hull of what a window spans, gaps between its taps included, bounds the looseness."""
    x = all_intervals(9)
    for size, stride, dilation, pad in SLIDES:
        count = sliding_length(9, size, stride, dilation, sum(pad))
        if count < 1:
            continue
        made = sliding_affected(x, size, stride, dilation, pad[0], count)
        spans = np.array(
            [read_by(q, size, stride, dilation, pad[0])[:: max(size - 1, 1)] for q in range(count)]
        )
        for i, (a, z) in enumerate(zip(x.start, x.stop, strict=True)):
            hit = np.flatnonzero((spans[:, 0] < z) & (spans[:, -1] >= a))
            if len(hit):
                assert (made.start[i], made.stop[i]) == (hit[0], hit[-1] + 1)


@pytest.mark.parametrize("length", [5, 9])
def test_sliding_required_is_exactly_what_is_read(length):
    for size, stride, dilation, pad in SLIDES:
        count = sliding_length(length, size, stride, dilation, sum(pad))
        if count < 1:
            continue
        out = all_intervals(count)
        made = sliding_required(out, size, stride, dilation, pad[0])
        for i, (a, z) in enumerate(zip(out.start, out.stop, strict=True)):
            read = [p for q in range(a, z) for p in read_by(q, size, stride, dilation, pad[0])]
            assert (made.start[i], made.stop[i]) == (min(read), max(read) + 1)


def test_sliding_length_counts_the_windows_that_fit():
    for length in range(1, 12):
        for size, stride, dilation, pad in SLIDES:
            fitting = [
                q
                for q in range(40)
                if max(read_by(q, size, stride, dilation, pad[0])) < length + pad[1]
            ]
            made = sliding_length(length, size, stride, dilation, sum(pad))
            assert max(made, 0) == len(fitting)


def test_same_padding_gives_one_output_per_stride_and_pads_as_little_as_it_can():
    for length, size, stride, dilation in product(range(1, 15), range(1, 6), range(1, 5), (1, 2)):
        left, right = same_padding(length, size, stride, dilation)
        assert min(left, right) >= 0
        assert right - left in (0, 1)
        count = -(-length // stride)
        assert sliding_length(length, size, stride, dilation, left + right) == count
        if left + right:
            assert sliding_length(length, size, stride, dilation, left + right - 1) < count


def test_clip_keeps_at_least_one_position_inside():
    x = intervals([(-5, -2), (-1, 3), (2, 4), (4, 9), (7, 12)])
    made = x.clip(5)
    assert made.start.tolist() == [0, 0, 2, 4, 4]
    assert made.stop.tolist() == [1, 3, 4, 5, 5]


def test_hull_covers_all_and_no_more():
    a, b = intervals([(0, 2), (5, 6)]), intervals([(1, 4), (2, 3)])
    made = hull([a, b])
    assert made.start.tolist() == [0, 2]
    assert made.stop.tolist() == [4, 6]
    assert made.contains(a).all()
    assert made.contains(b).all()


def test_contains_tells_inside_from_outside():
    outer = intervals([(2, 5)] * 4)
    inner = intervals([(2, 5), (3, 4), (1, 4), (3, 6)])
    assert outer.contains(inner).tolist() == [True, True, False, False]


def test_shift_moves_both_ends():
    made = intervals([(0, 2), (5, 6)]).shift(-3)
    assert (made.start.tolist(), made.stop.tolist()) == ([-3, 2], [-1, 3])
    assert made.width.tolist() == [2, 1]


@pytest.mark.parametrize("length", [1, 4, 9])
def test_uniform_windows_have_one_width_contain_the_given_ones_and_stay_inside(length):
    every = all_intervals(length)
    for widest in range(1, length + 1):
        some = every.width <= widest
        x = Interval(every.start[some], every.stop[some])
        made = uniform(x, length)
        assert set(made.width.tolist()) == {widest}
        assert made.contains(x).all()
        assert (made.start >= 0).all()
        assert (made.stop <= length).all()
