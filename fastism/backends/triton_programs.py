"""Programs for GPUs that work on windows of mutants, in Triton.

Requirements: triton, which comes with PyTorch's builds for CUDA. With ``TRITON_INTERPRET=1`` they
run on a CPU, a thousand times slower, which is how they are tested.

One program makes some rows (mutants) and some channels of one position of a window. Windows are
``(width, rows, channels)`` in memory, the rows of a block one behind the other. What differs from
block to block is an offset, which is subtracted from the position that is read: rows of a program
need not be of one block. Sums stay in registers until all that follows in the same pass is done.
"""

from __future__ import annotations

import triton
import triton.language as tl

#: Farther than any position.
FAR = tl.constexpr(1 << 29)


@triton.jit
def _reached(here, inside, size, count, step, FORWARD: tl.constexpr):
    """First and last tap that read the window for any row of a program."""
    low = tl.min(tl.where(inside, here, FAR), 0)
    high = tl.max(tl.where(inside, here, -FAR), 0)
    if FORWARD:
        first = tl.maximum(-high, 0)
        last = tl.minimum(size - 1 - low, count - 1)
    else:
        # Integers are divided towards zero: no negative one is.
        first = (tl.maximum(low - size + 1, 0) + step - 1) // step
        last = tl.where(high < 0, -1, tl.minimum(tl.maximum(high, 0) // step, count - 1))
    return first, last


@triton.jit
def _added(sums, a, b, rest, PRECISION: tl.constexpr):
    """``sums + a @ b``, with both factors in two TF32 halves where PRECISION is "halves".

    Those of `a` are made in registers, as tensor cores take it from there; of `b`, which they read
    from shared memory, the lower half was made before and is `rest`.
    """
    if PRECISION == "halves":
        pattern = a.to(tl.int32, bitcast=True) + (1 << 12)
        high = (pattern & -(1 << 13)).to(tl.float32, bitcast=True)
        sums = tl.dot(a - high, b, sums, input_precision="tf32")
        sums = tl.dot(high, rest, sums, input_precision="tf32")
        sums = tl.dot(high, b, sums, input_precision="tf32")
    else:
        sums = tl.dot(a, b, sums, input_precision=PRECISION)
    return sums


@triton.jit
def _weights(taps, term, feature, there, terms, features, TURNED: tl.constexpr):
    """Taps of some terms, which are numbered by tap and channel, and features.

    Tensor cores read TF32 only where terms lie side by side: taps are (features, terms) then
    (TURNED), and otherwise (terms, features).
    """
    if TURNED:
        index = feature[None, :] * terms + term[:, None]
    else:
        index = term[:, None] * features + feature[None, :]
    return tl.load(taps + index, mask=there[:, None] & (feature < features)[None, :], other=0.0)


@triton.jit
def _flat_products(
    x, taps, rest, first, last, here, inside, row, feature,
    rows, size, channels, features, count, step,
    FORWARD: tl.constexpr, TURNED: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, FEATURES: tl.constexpr, TERMS: tl.constexpr,
):  # fmt: skip
    """See `_products`; of few channels, so that terms of several taps fill a step of the sum."""
    sums = tl.zeros((ROWS, FEATURES), tl.float32)
    total = tl.maximum(last - first + 1, 0) * channels
    for begin in range(0, total, TERMS):
        term = begin + tl.arange(0, TERMS)
        tap = first + term // channels
        if FORWARD:
            place = here[:, None] + tap[None, :]
        else:
            place = here[:, None] - tap[None, :] * step
        used = term < total
        there = inside[:, None] & (place >= 0) & (place < size) & used[None, :]
        index = (place.to(tl.int64) * rows + row[:, None]) * channels + (term % channels)[None, :]
        a = tl.load(x + index, mask=there, other=0.0)
        number = first * channels + term
        b = _weights(taps, number, feature, used, count * channels, features, TURNED)
        lower = b
        if PRECISION == "halves":
            lower = _weights(rest, number, feature, used, count * channels, features, TURNED)
        sums = _added(sums, a, b, lower, PRECISION)
    return sums


@triton.jit
def _products(
    x, taps, rest, first, last, here, inside, row, feature,
    rows, size, channels, features, count, step,
    FORWARD: tl.constexpr, TURNED: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, FEATURES: tl.constexpr, TERMS: tl.constexpr,
):  # fmt: skip
    """``sum_j x[here - j * step] @ taps[j]``, or ``here + j`` forward, over taps in reach.

    Addresses are moved from tap to tap: to work them out in the loop costs as much as the products.
    """
    sums = tl.zeros((ROWS, FEATURES), tl.float32)
    total = tl.maximum(last - first + 1, 0) * tl.cdiv(channels, TERMS)
    move = step
    if FORWARD:
        move = -1
    place = here - first * move
    begin = x + (place.to(tl.int64) * rows + row) * channels
    back = tl.cast(move, tl.int64) * rows * channels
    tap = first
    channel = 0
    for _ in range(0, total):
        term = channel + tl.arange(0, TERMS)
        used = term < channels
        there = inside & (place >= 0) & (place < size)
        a = tl.load(begin[:, None] + term[None, :], mask=there[:, None] & used[None, :], other=0.0)
        number = tap * channels + term
        b = _weights(taps, number, feature, used, count * channels, features, TURNED)
        lower = b
        if PRECISION == "halves":
            lower = _weights(rest, number, feature, used, count * channels, features, TURNED)
        sums = _added(sums, a, b, lower, PRECISION)
        channel += TERMS
        ends = channel >= channels
        channel = tl.where(ends, 0, channel)
        tap += tl.where(ends, 1, 0)
        place -= tl.where(ends, move, 0)
        begin -= tl.where(ends, back, 0)
    return sums


@triton.jit
def _folded(
    x, first, last, here, inside, row, feature, rows, size, features, count, step,
    TURNED: tl.constexpr, ROWS: tl.constexpr, FEATURES: tl.constexpr,
):  # fmt: skip
    """``sum_j x[here - j * step, row, j]`` of products with all taps, over taps in reach.

    Products are (size, rows, count, features), or (TURNED) (size, count, features, rows): with few
    features it is rows that lie side by side.
    """
    sums = tl.zeros((ROWS, FEATURES), tl.float32)
    for tap in range(first, last + 1):
        place = here - tap * step
        there = inside & (place >= 0) & (place < size)
        if TURNED:
            line = (place.to(tl.int64) * count + tap)[:, None] * features + feature[None, :]
            index = line * rows + row[:, None]
        else:
            line = ((place.to(tl.int64) * rows + row) * count + tap) * features
            index = line[:, None] + feature[None, :]
        sums += tl.load(x + index, mask=there[:, None] & (feature < features)[None, :], other=0.0)
    return sums


@triton.jit
def _convolved(
    x, taps, rest, base, moved, place, present, row, block, feature,
    rows, blocks, size, width, channels, features, count, step,
    STACKED: tl.constexpr, FORWARD: tl.constexpr, FLAT: tl.constexpr, TURNED: tl.constexpr,
    BASE: tl.constexpr, RELU: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, FEATURES: tl.constexpr, TERMS: tl.constexpr,
):  # fmt: skip
    """A convolution at one place per row with its reference and ReLU, and which are in the window.

    A pool calls it for each of its positions. Without one it is called once and not in a loop,
    where registers would have to hold a maximum beside the sums.
    """
    inside = present & (place >= 0) & (place < width)
    here = place - moved
    first, last = _reached(here, inside, size, count, step, FORWARD)
    if STACKED:
        sums = _folded(
            x, first, last, here, inside, row, feature, rows, size, features, count, step,
            TURNED, ROWS, FEATURES,
        )  # fmt: skip
    elif FLAT:
        sums = _flat_products(
            x, taps, rest, first, last, here, inside, row, feature,
            rows, size, channels, features, count, step,
            FORWARD, TURNED, PRECISION, ROWS, FEATURES, TERMS,
        )  # fmt: skip
    else:
        sums = _products(
            x, taps, rest, first, last, here, inside, row, feature,
            rows, size, channels, features, count, step,
            FORWARD, TURNED, PRECISION, ROWS, FEATURES, TERMS,
        )  # fmt: skip
    if BASE:
        index = (place.to(tl.int64) * blocks + block) * features
        reference = tl.load(
            (base + index)[:, None] + feature[None, :],
            mask=inside[:, None] & (feature < features)[None, :],
            other=0.0,
        )
        if RELU:
            least = -tl.maximum(reference, 0.0)
            sums = tl.maximum(sums + tl.minimum(reference, 0.0), least)
        else:
            sums += reference
    return sums, inside


#: Numbers that programs are not compiled anew for: they differ from call to call, or from layer to
#: layer.
SIZES = (
    "first_row", "x_rows", "rows", "mutants", "size", "width", "made", "channels", "features",
    "count", "step", "shift", "residual_size", "residual_shift", "pool_size", "pool_stride",
    "pool_shift",
)  # fmt: skip


@triton.jit(do_not_specialize=SIZES)
def window(
    x, taps, rest, offset, base, residual, residual_offset, pool_offset, pool_sign, pool_base, out,
    first_row, x_rows, rows, mutants, size, width, made, channels, features, count, step,
    shift, residual_size, residual_shift, pool_size, pool_stride, pool_shift,
    STACKED: tl.constexpr, FORWARD: tl.constexpr, FLAT: tl.constexpr, TURNED: tl.constexpr,
    OFFSET: tl.constexpr, BASE: tl.constexpr, RELU: tl.constexpr,
    RESIDUAL: tl.constexpr, RESIDUAL_OFFSET: tl.constexpr,
    POOLED: tl.constexpr, POOL_OFFSET: tl.constexpr, POOL_SIGN: tl.constexpr,
    PRECISION: tl.constexpr, UNIT: tl.constexpr,
    ROWS: tl.constexpr, FEATURES: tl.constexpr, TERMS: tl.constexpr,
):  # fmt: skip
    """A convolution of windows and what follows it: see `fastism.backends.epilogue`.

    `x` holds rows from `first_row` on, `x_rows` of them: windows, or (STACKED) their products with
    all taps. `base` is the reference, or what the sums start from. Where no array of offsets is
    given (OFFSET ...), `shift` ... hold for all blocks. `channels` and `features` come as multiples
    of UNIT, as compilers then know how many numbers they may read at a time.

    Programs are numbered by their features first, then by positions of the same rows, `made` of
    them: what neighbouring positions read of the same rows is in the cache of the device then.
    """
    channels = channels * UNIT
    features = features * UNIT
    program = tl.program_id(0)
    parts = tl.cdiv(features, FEATURES)
    feature = program % parts * FEATURES + tl.arange(0, FEATURES)
    position = program // parts % made
    begin = program // parts // made * ROWS
    row = begin + tl.arange(0, ROWS)
    present = row < x_rows
    whole = row + first_row
    block = whole // mutants
    blocks = rows // mutants
    keep = present[:, None] & (feature < features)[None, :]
    moved = tl.zeros((ROWS,), tl.int32) + shift
    if OFFSET:
        moved = tl.load(offset + block, mask=present, other=0).to(tl.int32)
    if POOLED:
        pool_moved = tl.zeros((ROWS,), tl.int32) + pool_shift
        if POOL_OFFSET:
            pool_moved = tl.load(pool_offset + block, mask=present, other=0).to(tl.int32)
        best = tl.full((ROWS, FEATURES), float("-inf"), tl.float32)
        for turn in range(0, pool_size):
            place = position * pool_stride + turn - pool_moved
            sums, inside = _convolved(
                x, taps, rest, base, moved, place, present, row, block, feature,
                x_rows, blocks, size, width, channels, features, count, step,
                STACKED, FORWARD, FLAT, TURNED, BASE, RELU, PRECISION, ROWS, FEATURES, TERMS,
            )  # fmt: skip
            best = tl.maximum(best, tl.where(inside[:, None], sums, float("-inf")))
        if POOL_SIGN:
            best *= tl.load(pool_sign + feature, mask=feature < features, other=1.0)[None, :]
        index = (position.to(tl.int64) * blocks + block) * features
        before = tl.load((pool_base + index)[:, None] + feature[None, :], mask=keep, other=0.0)
        best = tl.maximum(best, 0.0) - tl.maximum(before, 0.0)
    else:
        place = tl.zeros((ROWS,), tl.int32) + position
        best, _ = _convolved(
            x, taps, rest, base, moved, place, present, row, block, feature,
            x_rows, blocks, size, width, channels, features, count, step,
            STACKED, FORWARD, FLAT, TURNED, BASE, RELU, PRECISION, ROWS, FEATURES, TERMS,
        )  # fmt: skip
    if RESIDUAL:
        place = tl.zeros((ROWS,), tl.int32) + position - residual_shift
        if RESIDUAL_OFFSET:
            there = tl.load(residual_offset + block, mask=present, other=0).to(tl.int32)
            place = position - there
        index = (place.to(tl.int64) * rows + whole) * features
        best += tl.load(
            (residual + index)[:, None] + feature[None, :],
            mask=keep & ((place >= 0) & (place < residual_size))[:, None],
            other=0.0,
        )
    # Within a program numbers are near each other: 32 bits suffice, and take half the registers.
    out += (position.to(tl.int64) * rows + first_row + begin) * features
    near = tl.arange(0, ROWS)[:, None] * features + feature[None, :]
    tl.store(out + near, best, mask=keep)


@triton.jit(do_not_specialize=("rows", "mutants", "size", "length"))
def rebuilt(
    table, sequence, start, x, out, rows, mutants, size, length, channels,
    DELTA: tl.constexpr, NUMBERS: tl.constexpr,
):  # fmt: skip
    """Whole tensors of mutants: the reference, with the window added or written over it."""
    row = tl.program_id(0).to(tl.int64)
    number = tl.program_id(1) * NUMBERS + tl.arange(0, NUMBERS)
    inside = number < length * channels
    block = row // mutants
    place = number // channels - tl.load(start + block)
    which = tl.load(sequence + block)
    made = tl.load(table + which * length * channels + number, mask=inside, other=0.0)
    changed = inside & (place >= 0) & (place < size)
    index = (place.to(tl.int64) * rows + row) * channels + number % channels
    value = tl.load(x + index, mask=changed, other=0.0)
    if DELTA:
        made += value
    else:
        made = tl.where(changed, value, made)
    tl.store(out + row * length * channels + number, made, mask=inside)


@triton.jit(do_not_specialize=("blocks", "width", "length"))
def looked_up(
    table, sequence, start, out, blocks, width, length, channels, NUMBERS: tl.constexpr
):  # fmt: skip
    """Windows of the reference, one per block."""
    block = tl.program_id(0)
    number = tl.program_id(1) * NUMBERS + tl.arange(0, NUMBERS)
    inside = number < width * channels
    first = tl.load(sequence + block).to(tl.int64) * length + tl.load(start + block)
    value = tl.load(table + first * channels + number, mask=inside, other=0.0)
    place = (number // channels).to(tl.int64) * blocks + block
    tl.store(out + place * channels + number % channels, value, mask=inside)


@triton.jit(do_not_specialize=("blocks", "size", "each"))
def placed(x, offset, out, blocks, size, each, fill, NUMBERS: tl.constexpr):  # fmt: skip
    """Windows moved by their blocks' offsets."""
    block = tl.program_id(0).to(tl.int64)
    position = tl.program_id(1)
    number = tl.program_id(2) * NUMBERS + tl.arange(0, NUMBERS)
    place = tl.zeros((NUMBERS,), tl.int64) + position - tl.load(offset + block)
    inside = number < each
    there = inside & (place >= 0) & (place < size)
    value = tl.load(x + (place * blocks + block) * each + number, mask=there, other=0.0)
    value = tl.where(there, value, fill)
    tl.store(out + (position * blocks + block) * each + number, value, mask=inside)
