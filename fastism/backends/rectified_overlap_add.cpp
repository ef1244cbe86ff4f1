// The delta after a convolution and its ReLU in one pass over the window.
//
// For every position p of a window, mutant r and feature f, with z the reference before the ReLU:
//
//     sum = min(z, 0) + sum over taps j and channels k of x[q, r, k] * taps[j, k, f],
//           where q = p - offset - j * dilation lies in the input window
//     out[p, r, f] = max(sum, -max(z, 0))            ( = relu(z + delta) - relu(z) )
//
// and the delta of a residual connection on top, where there is one. Without it the window goes
// through memory three times besides the convolution: to start the sum, to take the maximum, and
// to read the reference of each; four times with a residual. A tile of the output stays in registers
// instead: ROWS mutants times two vectors of features. The taps that two vectors of features need
// lie together, so that a thread keeps them in its cache while mutants pass by.
//
// Compiled once per instruction set (setup.py), with VECTOR, the numbers that one register
// holds, and ROWS, as many as leave registers for two vectors of a tap. NaN is handed on.

#include <algorithm>
#include <vector>

#include "vectors.h"

namespace {

constexpr int64_t COLUMNS = 2 * VECTOR;

// One tap as a tile sees it: rows of the input, and the columns of the tap.
struct Tap {
    const float* x;
    const float* weights;
};

template <int rows>
inline void tile(const Tap* taps, int64_t count, int64_t channels, const float* const* reference,
                 const float* residual, float* out, int64_t features) {
    Vector sum[rows][2];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2; c++) sum[r][c] = negative_part(load(reference[r] + c * VECTOR));
    for (int64_t j = 0; j < count; j++) {
        const float* x = taps[j].x;
        const float* weights = taps[j].weights;
        for (int64_t k = 0; k < channels; k++, weights += COLUMNS) {
            const Vector left = load(weights), right = load(weights + VECTOR);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                const float one = x[r * channels + k];
                sum[r][0] += one * left;
                sum[r][1] += one * right;
            }
        }
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2; c++) {
            const Vector z = load(reference[r] + c * VECTOR);
            const int64_t at = r * features + c * VECTOR;
            Vector made = at_least(sum[r][c], negative_part(z) - z);
            if (residual) made += load(residual + at);
            store(out + at, made);
        }
}

// A tile of at most `most` rows, as many as there are.
template <int most>
inline void smaller_tile(int64_t rows, const Tap* taps, int64_t count, int64_t channels,
                         const float* const* reference, const float* residual, float* out,
                         int64_t features) {
    if constexpr (most > 0) {
        if (rows >= most)
            tile<most>(taps, count, channels, reference, residual, out, features);
        else
            smaller_tile<most - 1>(rows, taps, count, channels, reference, residual, out,
                                   features);
    }
}

}  // namespace

// x: (size, blocks * mutants, channels). taps: (features / COLUMNS, count, channels, COLUMNS), in
// output order. reference: element (p, block, f) lies at p * position_stride + block *
// block_stride + f. residual: (residual_size, blocks * mutants, features), from position
// residual_offset of the output on, or null. out: (width, blocks * mutants, features).
extern "C" void rectified_overlap_add(const float* x, int64_t size, int64_t blocks, int64_t mutants,
                                      int64_t channels, const float* taps, int64_t count,
                                      int64_t features, int64_t dilation, int64_t offset,
                                      const float* reference, int64_t position_stride,
                                      int64_t block_stride, const float* residual,
                                      int64_t residual_size, int64_t residual_offset, float* out,
                                      int64_t width, int64_t threads) {
    const int64_t rows = blocks * mutants;
#pragma omp parallel num_threads(threads)
    {
        std::vector<Tap> seen(count), moved(count);
#pragma omp for schedule(dynamic, 4)
        for (int64_t p = 0; p < width; p++) {
            int64_t found = 0;
            for (int64_t j = 0; j < count; j++) {
                const int64_t q = p - offset - j * dilation;
                if (q < 0 || q >= size) continue;
                seen[found++] = {x + q * rows * channels, taps + j * channels * COLUMNS};
            }
            float* here = out + p * rows * features;
            const int64_t q = p - residual_offset;
            const bool beside = residual && q >= 0 && q < residual_size;
            const float* there = beside ? residual + q * rows * features : nullptr;
            if (!found) {
                if (beside)
                    std::copy(there, there + rows * features, here);
                else
                    std::fill(here, here + rows * features, 0.0f);
                continue;
            }
            for (int64_t f = 0; f < features; f += COLUMNS) {
                const int64_t columns = f * count * channels;
                for (int64_t first = 0; first < rows; first += ROWS) {
                    const int64_t size_of_tile = std::min<int64_t>(rows - first, ROWS);
                    for (int64_t j = 0; j < found; j++)
                        moved[j] = {seen[j].x + first * channels, seen[j].weights + columns};
                    const float* terms[ROWS];
                    for (int64_t r = 0; r < size_of_tile; r++)
                        terms[r] = reference + p * position_stride +
                                   (first + r) / mutants * block_stride + f;
                    const int64_t at = first * features + f;
                    smaller_tile<ROWS>(size_of_tile, moved.data(), found, channels, terms,
                                       beside ? there + at : nullptr, here + at, features);
                }
            }
        }
    }
}

// Features have to be a multiple of this.
extern "C" int64_t columns() { return COLUMNS; }
