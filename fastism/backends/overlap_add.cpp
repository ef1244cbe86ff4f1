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
// together, so that a thread keeps them in its cache while mutants pass by.
//
// Compiled once per instruction set (setup.py), with VECTOR, the numbers that one register
// holds, and ROWS, as many as leave registers for two vectors of a tap. NaN is handed on.

#include <algorithm>

#include "tiles.h"

namespace {

// The columns of a position that no tap reaches.
template <bool rectified>
inline void untouched(const Window<rectified>& window, int64_t p, int64_t f) {
    for (int64_t first = 0; first < window.rows; first += ROWS)
        with_rows<ROWS>(window.rows - first, [&](auto rows) {
            typename Window<rectified>::template Epilogue<rows> epilogue(window, first);
            epilogue.move(p, f);
            for (int r = 0; r < rows; r++) epilogue.skip(r);
        });
}

template <bool rectified>
void overlap_add(const Window<rectified>& window, const float* x, int64_t size, int64_t channels,
                 const float* taps, int64_t count, int64_t dilation, int64_t offset, int64_t width,
                 int64_t threads) {
    const int64_t rows = window.rows, features = window.features;
    const int64_t groups = (features + COLUMNS - 1) / COLUMNS;
    // What is larger is read once, the taps or the window: all positions of one group of features
    // after another, or all groups of one position after another.
    const bool taps_once = count * features > size * rows;
    // A thread takes up to four neighbouring positions, which read much the same of the window.
    const int64_t beside = std::clamp<int64_t>(width / (4 * threads), 1, 4);
    const int64_t chunk = taps_once ? beside : beside * groups;
#pragma omp parallel num_threads(threads)
    {
        std::vector<Tap> seen;
#pragma omp for schedule(dynamic, chunk)
        for (int64_t item = 0; item < groups * width; item++) {
            const int64_t group = taps_once ? item / width : item % groups;
            const int64_t p = taps_once ? item % width : item / groups;
            // The last columns overlap those before where features do not fill them.
            const int64_t f = std::min(group * COLUMNS, features - COLUMNS);
            seen.clear();
            for (int64_t j = 0; j < count; j++) {
                const int64_t q = p - offset - j * dilation;
                if (q < 0 || q >= size) continue;
                seen.push_back({x + q * rows * channels,
                                taps + (group * count + j) * channels * COLUMNS});
            }
            if (!seen.empty())
                all_rows(window, p, f, seen, channels);
            else
                untouched(window, p, f);
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
                    overlap_add(window, x, size, channels, taps, count, dilation, offset, width,
                                threads);
                });
}

// The fewest features there may be.
extern "C" int64_t columns() { return COLUMNS; }
