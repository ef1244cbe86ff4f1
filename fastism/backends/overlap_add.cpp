// The window after a convolution in one pass, with the ReLU that follows or without.
//
// For every position p of a window, mutant r and feature f,
//
//     sum = sum over taps j and channels k of x[q, r, k] * taps[j, k, f],
//           where q = p - offset - j * dilation lies in the input window
//
// and what is stored of it is said in epilogues.h. Otherwise the window goes through memory once more
// besides the convolution to start the sum, and with a ReLU twice more, to take the maximum and to
// read the reference of each; once more with a residual. A tile of the output stays in registers
// instead: ROWS mutants times two vectors of features. The taps that two vectors of features need lie
// together, and a thread keeps as many of these in its cache as there is room for while mutants pass
// by.
//
// Compiled once per instruction set (setup.py), with VECTOR, the numbers that one register
// holds, and ROWS, as many as leave registers for two vectors of a tap. NaN is handed on.

#include <algorithm>

#include "tiles.h"

namespace {

// Some groups of columns of a position that no tap reaches.
template <bool rectified>
inline void untouched(const Window<rectified>& window, int64_t p, int64_t begin, int64_t end) {
    for (int64_t first = 0; first < window.rows; first += ROWS)
        with_rows<ROWS>(window.rows - first, [&](auto rows) {
            typename Window<rectified>::template Epilogue<rows> epilogue(window, first);
            for (int64_t group = begin; group < end; group++) {
                epilogue.move(p, first_feature(group, window.features));
                for (int r = 0; r < rows; r++) epilogue.skip(r);
            }
        });
}

template <bool rectified>
void overlap_add(const Window<rectified>& window, const Convolved& convolved, int64_t width,
                 int64_t threads) {
    const int64_t groups = (window.features + COLUMNS - 1) / COLUMNS;
    // What is larger is read once, the taps or the window: all positions of one group of features
    // after another, or all groups of one position after another.
    const bool taps_once = convolved.count * window.features > convolved.size * window.rows;
    const int64_t at_once = taps_once ? 1 : convolved.groups_at_once(groups);
    const int64_t parts = (groups + at_once - 1) / at_once;
    // A thread takes up to four neighbouring positions, which read much the same of the window.
    const int64_t beside = std::clamp<int64_t>(width / (4 * threads), 1, 4);
    const int64_t chunk = taps_once ? beside : beside * parts;
#pragma omp parallel num_threads(threads)
    {
        std::vector<Tap> seen;
#pragma omp for schedule(dynamic, chunk)
        for (int64_t item = 0; item < parts * width; item++) {
            const int64_t part = taps_once ? item / width : item % parts;
            const int64_t p = taps_once ? item % width : item / parts;
            const int64_t begin = part * at_once, end = std::min(begin + at_once, groups);
            convolved.reach(p, seen);
            if (!seen.empty())
                all_rows(window, convolved, p, begin, end, seen);
            else
                untouched(window, p, begin, end);
        }
    }
}

}  // namespace

// x: (size, blocks * mutants, channels). taps: (features / COLUMNS, rounded up, count, channels,
// COLUMNS), in output order, with no fewer features than COLUMNS. reference: the base, or with
// `rectify` that before the ReLU: element (p, block, f) lies at p * position_stride + block *
// block_stride + f; a base may be null. residual: (residual_size, blocks * mutants, features), from
// position residual_offset of the output on, or null, as it is without `rectify`. out: (width,
// blocks * mutants, features).
extern "C" void overlap_add(int64_t rectify, const float* x, int64_t size, int64_t blocks,
                            int64_t mutants, int64_t channels, const float* taps, int64_t count,
                            int64_t features, int64_t dilation, int64_t offset,
                            const float* reference, int64_t position_stride, int64_t block_stride,
                            const float* residual, int64_t residual_size, int64_t residual_offset,
                            float* out, int64_t width, int64_t threads) {
    with_window(rectify, reference, position_stride, block_stride, blocks, mutants,
                Residual{residual, residual_size, residual_offset}, features, out,
                [&](const auto& window) {
                    const Convolved convolved{x,    size,  window.rows, channels,
                                              taps, count, dilation,    offset};
                    overlap_add(window, convolved, width, threads);
                });
}

// The fewest features there may be.
extern "C" int64_t columns() { return COLUMNS; }
