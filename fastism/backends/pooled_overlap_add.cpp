// The delta after a convolution, a max pool and its ReLU, in one pass.
//
// For every position p of the pooled window, mutant r and feature f, with z what the pool gives
// for the reference:
//
//     conv[q] = base[q, f] + sum over taps j and channels k of x[s, r, k] * taps[j, k, f],
//               where s = q - offset - j * dilation lies in the input window
//     y = sign[f] * max over i < size of conv[p * stride + i - pool_offset], where that is a
//         position of the convolution's window
//     out[p, r, f] = relu(y) - relu(z)
//
// For few channels in, as in the first layer of a model, a convolution is little arithmetic and a
// large window, which goes to memory and comes back for the pool. Here a tile of it stays in
// registers until its maximum is taken. NaN is handed on.

#include <algorithm>
#include <cmath>
#include <vector>

#include "tiles.h"

namespace {

// Mutants of a tile: their sums and maxima take two registers each.
constexpr int POOLED_ROWS = ROWS / 2;

// One position of the convolution: its taps, and the reference of the first block.
struct Read {
    const Tap* taps;
    int64_t count;
    const float* base;
};

// What the pool gives for a tile. Per row, `base` numbers lie before it in the reference of the
// convolution, and `pooled` is that of the pool.
template <int rows>
inline void tile(const Read* reads, int64_t size, int64_t channels, int64_t row, int64_t column,
                 const int64_t* base, const Vector* sign, const float* const* pooled, float* out,
                 int64_t features) {
    Vector most[rows][2];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2; c++) most[r][c] = Vector{} - INFINITY;
    for (int64_t i = 0; i < size; i++) {
        Vector sum[rows][2];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < 2; c++) sum[r][c] = load(reads[i].base + base[r] + c * VECTOR);
        add_taps<rows>(sum, reads[i].taps, reads[i].count, channels, row, column);
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < 2; c++) most[r][c] = larger(most[r][c], sum[r][c]);
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2; c++) {
            const Vector y = sign ? most[r][c] * sign[c] : most[r][c];
            const Vector z = load(pooled[r] + c * VECTOR);
            store(out + r * features + c * VECTOR, relu(y) - relu(z));
        }
}

// A tile of at most `most` rows, as many as there are.
template <int most, typename... Arguments>
inline void smaller_tile(int64_t rows, Arguments... given) {
    if constexpr (most > 0) {
        if (rows >= most)
            tile<most>(given...);
        else
            smaller_tile<most - 1>(rows, given...);
    }
}

}  // namespace

// x: (x_size, blocks * mutants, channels). taps: as for overlap_add, with no fewer features than
// two registers hold. base: element (q, block, f) lies at q * base_position + block * base_block +
// f, for `width` positions; likewise reference, for `pooled_width`. sign: (features) or null. out:
// (pooled_width, blocks * mutants, features).
extern "C" void pooled_overlap_add(const float* x, int64_t x_size, int64_t blocks, int64_t mutants,
                                   int64_t channels, const float* taps, int64_t count,
                                   int64_t features, int64_t dilation, int64_t offset,
                                   const float* base, int64_t base_position, int64_t base_block,
                                   int64_t width, int64_t size, int64_t stride,
                                   int64_t pool_offset, const float* sign, const float* reference,
                                   int64_t reference_position, int64_t reference_block, float* out,
                                   int64_t pooled_width, int64_t threads) {
    const int64_t rows = blocks * mutants, columns = (features + COLUMNS - 1) / COLUMNS;
#pragma omp parallel num_threads(threads)
    {
        std::vector<Tap> taps_of(size * count);
        std::vector<Read> reads(size);
#pragma omp for collapse(2) schedule(dynamic, 2)
        for (int64_t p = 0; p < pooled_width; p++)
            for (int64_t number = 0; number < columns; number++) {
                int64_t found = 0;
                for (int64_t i = 0; i < size; i++) {
                    const int64_t q = p * stride + i - pool_offset;
                    if (q < 0 || q >= width) continue;
                    Read& read = reads[found];
                    Tap* first = taps_of.data() + found++ * count;
                    read = {first, 0, base + q * base_position};
                    for (int64_t j = 0; j < count; j++) {
                        const int64_t s = q - offset - j * dilation;
                        if (s < 0 || s >= x_size) continue;
                        first[read.count++] = {x + s * rows * channels,
                                               taps + j * channels * COLUMNS};
                    }
                }
                // The last columns overlap those before where features do not fill them.
                const int64_t f = std::min(number * COLUMNS, features - COLUMNS);
                Vector signs[2];
                for (int c = 0; sign && c < 2; c++) signs[c] = load(sign + f + c * VECTOR);
                for (int64_t first = 0; first < rows; first += POOLED_ROWS) {
                    const int64_t size_of_tile = std::min<int64_t>(rows - first, POOLED_ROWS);
                    int64_t bases[POOLED_ROWS];
                    const float* pooled[POOLED_ROWS];
                    const float* z = reference + p * reference_position + f;
                    for (int64_t r = 0; r < size_of_tile; r++) {
                        const int64_t block = (first + r) / mutants;
                        bases[r] = block * base_block + f;
                        pooled[r] = z + block * reference_block;
                    }
                    smaller_tile<POOLED_ROWS>(
                        size_of_tile, reads.data(), found, channels, first * channels,
                        number * COLUMNS * count * channels, bases, sign ? signs : nullptr, pooled,
                        out + (p * rows + first) * features + f, features);
                }
            }
    }
}
