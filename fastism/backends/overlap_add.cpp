// The window after a convolution in one pass, with the ReLU that follows or without.
//
// For every position p of a window, mutant r and feature f,
//
//     sum = sum over taps j and channels k of x[q, r, k] * taps[j, k, f],
//           where q = p - offset - j * dilation lies in the input window
//     out[p, r, f] = base + sum
//
// and with z, the reference before the ReLU, instead of a base
//
//     out[p, r, f] = max(min(z, 0) + sum, -max(z, 0))            ( = relu(z + delta) - relu(z) )
//
// and the delta of a residual connection on top, where there is one. Otherwise the window goes
// through memory once more besides the convolution to start the sum, and with a ReLU twice more, to
// take the maximum and to read the reference of each; once more with a residual. A tile of the
// output stays in registers instead: ROWS mutants times two vectors of features. The taps that two
// vectors of features need lie together, so that a thread keeps them in its cache while mutants
// pass by.
//
// Compiled once per instruction set (setup.py), with VECTOR, the numbers that one register
// holds, and ROWS, as many as leave registers for two vectors of a tap. NaN is handed on.

#include <algorithm>
#include <vector>

#include "tiles.h"

namespace {

// `reference` of a row is the base, or null for none, where nothing is rectified.
template <bool rectified, int rows>
inline void tile(const Tap* taps, int64_t count, int64_t channels, int64_t row, int64_t column,
                 const float* const* reference, const float* residual, float* out,
                 int64_t features) {
    Vector sum[rows][2];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2; c++) {
            if constexpr (rectified)
                sum[r][c] = negative_part(load(reference[r] + c * VECTOR));
            else
                sum[r][c] = reference[r] ? load(reference[r] + c * VECTOR) : Vector{};
        }
    add_taps<rows>(sum, taps, count, channels, row, column);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2; c++) {
            const int64_t at = r * features + c * VECTOR;
            Vector made = sum[r][c];
            if constexpr (rectified) {
                const Vector z = load(reference[r] + c * VECTOR);
                made = at_least(made, negative_part(z) - z);
            }
            if (residual) made += load(residual + at);
            store(out + at, made);
        }
}

// A tile of at most `most` rows, as many as there are.
template <bool rectified, int most, typename... Arguments>
inline void smaller_tile(int64_t rows, Arguments... given) {
    if constexpr (most > 0) {
        if (rows >= most)
            tile<rectified, most>(given...);
        else
            smaller_tile<rectified, most - 1>(rows, given...);
    }
}

// Where some columns of a position begin: of its first mutant, or null.
struct Position {
    const float* reference;  // of the first block
    const float* residual;
    float* out;
};

// The columns of a position that no tap reaches.
template <bool rectified>
inline void untouched(const Position& here, int64_t blocks, int64_t mutants, int64_t block_stride,
                      int64_t features) {
    for (int64_t r = 0; r < blocks * mutants; r++) {
        const float* from = here.residual ? here.residual + r * features
                            : rectified || !here.reference
                                ? nullptr
                                : here.reference + r / mutants * block_stride;
        for (int c = 0; c < 2; c++)
            store(here.out + r * features + c * VECTOR,
                  from ? load(from + c * VECTOR) : Vector{});
    }
}

template <bool rectified>
void overlap_add(const float* x, int64_t size, int64_t blocks, int64_t mutants, int64_t channels,
                 const float* taps, int64_t count, int64_t features, int64_t dilation,
                 int64_t offset, const float* reference, int64_t position_stride,
                 int64_t block_stride, const float* residual, int64_t residual_size,
                 int64_t residual_offset, float* out, int64_t width, int64_t threads) {
    const int64_t rows = blocks * mutants;
    const int64_t groups = (features + COLUMNS - 1) / COLUMNS;
    // What is larger is read once, the taps or the window: all positions of one group of features
    // after another, or all groups of one position after another.
    const bool taps_once = count * features > size * rows;
    // A thread takes up to four neighbouring positions, which read much the same of the window.
    const int64_t beside = std::clamp<int64_t>(width / (4 * threads), 1, 4);
    const int64_t chunk = taps_once ? beside : beside * groups;
#pragma omp parallel num_threads(threads)
    {
        std::vector<Tap> seen(count);
#pragma omp for schedule(dynamic, chunk)
        for (int64_t item = 0; item < groups * width; item++) {
            const int64_t group = taps_once ? item / width : item % groups;
            const int64_t p = taps_once ? item % width : item / groups;
            // The last columns overlap those before where features do not fill them.
            const int64_t f = std::min(group * COLUMNS, features - COLUMNS);
            const int64_t skipped = group * COLUMNS * count * channels;
            int64_t found = 0;
            for (int64_t j = 0; j < count; j++) {
                const int64_t q = p - offset - j * dilation;
                if (q < 0 || q >= size) continue;
                seen[found++] = {x + q * rows * channels, taps + j * channels * COLUMNS};
            }
            const int64_t q = p - residual_offset;
            const bool residual_here = residual && q >= 0 && q < residual_size;
            const Position here = {
                reference ? reference + p * position_stride + f : nullptr,
                residual_here ? residual + q * rows * features + f : nullptr,
                out + p * rows * features + f};
            if (!found) {
                untouched<rectified>(here, blocks, mutants, block_stride, features);
                continue;
            }
            for (int64_t first = 0; first < rows; first += ROWS) {
                const int64_t size_of_tile = std::min<int64_t>(rows - first, ROWS);
                const float* terms[ROWS];
                int64_t block = first / mutants, next_block = (block + 1) * mutants;
                for (int64_t r = 0; r < size_of_tile; r++) {
                    if (first + r == next_block) block++, next_block += mutants;
                    terms[r] = rectified || here.reference
                                   ? here.reference + block * block_stride
                                   : nullptr;
                }
                const int64_t at = first * features;
                smaller_tile<rectified, ROWS>(
                    size_of_tile, seen.data(), found, channels, first * channels, skipped,
                    static_cast<const float* const*>(terms),
                    here.residual ? here.residual + at : nullptr, here.out + at, features);
            }
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
    const auto run = rectify ? overlap_add<true> : overlap_add<false>;
    run(x, size, blocks, mutants, channels, taps, count, features, dilation, offset, reference,
        position_stride, block_stride, residual, residual_size, residual_offset, out, width,
        threads);
}

// The fewest features there may be.
extern "C" int64_t columns() { return COLUMNS; }
