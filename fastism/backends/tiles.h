// What the kernels that tile a convolution share: some mutants times two registers of features,
// whose sums stay in registers.

#pragma once

#include "vectors.h"

constexpr int64_t COLUMNS = 2 * VECTOR;

// One tap: the first row of the input that it reads, and its first columns.
struct Tap {
    const float* x;
    const float* weights;
};

// Add what taps give for `rows` rows. `row` numbers lie before these rows in the input, `column`
// before their columns in the taps.
template <int rows>
inline void add_taps(Vector (&sum)[rows][2], const Tap* taps, int64_t count, int64_t channels,
                     int64_t row, int64_t column) {
    for (int64_t j = 0; j < count; j++) {
        const float* x = taps[j].x + row;
        const float* weights = taps[j].weights + column;
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
}
