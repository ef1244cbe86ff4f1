// The window after a convolution with few output channels.
//
// For every position p of a window, mutant r and feature f, with q = p - offset - j,
//
//     out[p, r, f] = base + sum over taps j and channels k of x[q, r, k] * taps[j, k, f]
//
// A register holds more numbers than there are features. Taps and features together fill it: an
// input times all taps is a row of products, in the order of the outputs that they belong to. It is
// added to a strip of outputs of one mutant, one position further for the next input. A tile of
// these products stays in registers: up to WIDE vectors of as many mutants as there is room for.
//
// Compiled once per instruction set (setup.py), with VECTOR, the numbers that one register holds.
// NaN is handed on; it may reach outputs less than a register beyond those of its taps.

#include <algorithm>
#include <vector>

#include "vectors.h"

namespace {

constexpr int REGISTERS = VECTOR == 16 ? 32 : 16;
constexpr int WIDE = VECTOR == 16 ? 5 : 3;

// Rows of a tile: with the columns and one number of a row its sums fill the registers.
constexpr int tall_for(int wide) { return std::min((REGISTERS - 1) / wide - 1, 12); }

// Products of `tall` rows of x with `wide` vectors of columns, added to the rows' strips.
template <int tall, int wide>
inline void tile(const float* x, int64_t channels, const float* weights, float* strips,
                 int64_t strip) {
    Vector sum[tall][wide] = {};
    for (int64_t k = 0; k < channels; k++, weights += wide * VECTOR) {
        Vector column[wide];
        for (int v = 0; v < wide; v++) column[v] = load(weights + v * VECTOR);
#pragma GCC unroll 12
        for (int r = 0; r < tall; r++) {
            const float one = x[r * channels + k];
#pragma GCC unroll 8
            for (int v = 0; v < wide; v++) sum[r][v] += one * column[v];
        }
    }
    for (int r = 0; r < tall; r++)
        for (int v = 0; v < wide; v++) {
            float* to = strips + r * strip + v * VECTOR;
            store(to, load(to) + sum[r][v]);
        }
}

// All rows, in tiles of at most `most`.
template <int most, int wide>
inline void rows_of_tiles(int64_t rows, const float* x, int64_t channels, const float* weights,
                          float* strips, int64_t strip) {
    if constexpr (most > 0) {
        for (; rows >= most; rows -= most, x += most * channels, strips += most * strip)
            tile<most, wide>(x, channels, weights, strips, strip);
        if (rows) rows_of_tiles<most - 1, wide>(rows, x, channels, weights, strips, strip);
    }
}

// The same with a group of at most `most` vectors of columns, as many as there are.
template <int most>
inline void narrower_group(int64_t wide, int64_t rows, const float* x, int64_t channels,
                           const float* weights, float* strips, int64_t strip) {
    if constexpr (most > 0) {
        if (wide >= most)
            rows_of_tiles<tall_for(most), most>(rows, x, channels, weights, strips, strip);
        else
            narrower_group<most - 1>(wide, rows, x, channels, weights, strips, strip);
    }
}

}  // namespace

// x: (size, blocks * mutants, channels). taps: columns (count * features, filled up with zeros to
// whole vectors) in groups of `widest()` vectors, the last of what is left; a group lies as
// (channels, its vectors * VECTOR). base: element (p, block, f) lies at p * position_stride + block
// * block_stride + f, or null. out: (width, blocks * mutants, features).
extern "C" void narrow_overlap_add(const float* x, int64_t size, int64_t blocks, int64_t mutants,
                                   int64_t channels, const float* taps, int64_t count,
                                   int64_t features, int64_t offset, const float* base,
                                   int64_t position_stride, int64_t block_stride, float* out,
                                   int64_t width, int64_t threads) {
    const int64_t rows = blocks * mutants;
    const int64_t vectors = (count * features + VECTOR - 1) / VECTOR;
    const int64_t strip = size * features + vectors * VECTOR;
    // A thread reads its mutants position by position, in the order in which they lie.
    const int64_t slice = (rows + threads - 1) / threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t first = 0; first < rows; first += slice) {
        const int64_t height = std::min(rows - first, slice);
        std::vector<float> strips(height * strip);
        for (int64_t q = 0; q < size; q++) {
            const float* here = x + (q * rows + first) * channels;
            for (int64_t done = 0; done < vectors; done += WIDE)
                narrower_group<WIDE>(std::min<int64_t>(vectors - done, WIDE), height, here,
                                     channels, taps + done * VECTOR * channels,
                                     strips.data() + q * features + done * VECTOR, strip);
        }
        const int64_t reached = size + count - 1;
        for (int64_t p = 0; p < width; p++) {
            const int64_t q = p - offset;
            const bool within = q >= 0 && q < reached;
            for (int64_t r = 0; r < height; r++) {
                float* to = out + (p * rows + first + r) * features;
                const float* start =
                    base ? base + p * position_stride + (first + r) / mutants * block_stride
                         : nullptr;
                for (int64_t f = 0; f < features; f++)
                    to[f] = (start ? start[f] : 0.0f) +
                            (within ? strips[r * strip + q * features + f] : 0.0f);
            }
        }
    }
}

// The most vectors of columns in a group, and the numbers in one of them.
extern "C" int64_t widest() { return WIDE; }
extern "C" int64_t vector_size() { return VECTOR; }
