// What the kernels that tile a convolution share: some mutants times two registers of features,
// whose sums stay in registers.

#pragma once

#include <type_traits>
#include <vector>

#include "epilogues.h"

constexpr int64_t COLUMNS = 2 * VECTOR;

// The sums of a tile in registers. They are members and not an array, which a compiler may keep in
// memory.
template <int rows>
struct Registers {
    Registers<rows - 1> before;
    Vector left, right;

    // Add a number of each row, `stride` apart, times what two registers hold of a tap.
    __attribute__((always_inline)) void add(const float* x, int64_t stride, Vector first,
                                            Vector second) {
        before.add(x, stride, first, second);
        const float one = x[(rows - 1) * stride];
        left += one * first;
        right += one * second;
    }
    __attribute__((always_inline)) void keep(Vector (*sums)[2]) const {
        before.keep(sums);
        sums[rows - 1][0] = left;
        sums[rows - 1][1] = right;
    }
};

template <>
struct Registers<0> {
    void add(const float*, int64_t, Vector, Vector) {}
    void keep(Vector (*)[2]) const {}
};

// The sums of a tile in memory.
template <int rows>
struct alignas(VECTOR * sizeof(float)) Sums {
    Vector of[rows][2] = {};

    Vector* operator[](int r) { return of[r]; }
    const Vector* operator[](int r) const { return of[r]; }
};

// One tap: the first row of the input that it reads, and its first columns.
struct Tap {
    const float* x;
    const float* weights;
};

// What taps give for the rows of a tile. A function of its own: among other code a compiler runs out
// of registers, and half the speed is lost.
template <int rows>
__attribute__((noinline)) void sum_taps(Sums<rows>& made, const Tap* taps, int64_t count,
                                        int64_t channels) {
    Registers<rows> sums = {};
    for (int64_t j = 0; j < count; j++) {
        const float* x = taps[j].x;
        const float* weights = taps[j].weights;
        for (int64_t k = 0; k < channels; k++, weights += COLUMNS)
            sums.add(x + k, channels, load(weights), load(weights + VECTOR));
    }
    sums.keep(made.of);
}

// Store the sums of a tile where its epilogue is.
template <int rows, typename Epilogue>
inline void keep(const Epilogue& epilogue, const Sums<rows>& sum) {
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2; c++) epilogue.finish(r, c, epilogue.start(r, c) + sum[r][c]);
}

// Run `function` with the number of rows, at most `most`, as a constant.
template <int most, typename Function>
inline void with_rows(int64_t rows, Function function) {
    if constexpr (most > 0) {
        if (rows >= most)
            function(std::integral_constant<int, most>{});
        else
            with_rows<most - 1>(rows, function);
    }
}

// All rows of some columns of a position, as many at a time as fit registers. `seen` are the taps
// that reach it, at its first row.
template <typename Window>
inline void all_rows(const Window& window, int64_t p, int64_t f, std::vector<Tap>& seen,
                     int64_t channels) {
    for (int64_t first = 0; first < window.rows; first += ROWS) {
        with_rows<ROWS>(window.rows - first, [&](auto rows) {
            typename Window::template Epilogue<rows> epilogue(window, first);
            epilogue.move(p, f);
            Sums<rows> sum;
            sum_taps<rows>(sum, seen.data(), seen.size(), channels);
            keep<rows>(epilogue, sum);
        });
        for (Tap& tap : seen) tap.x += ROWS * channels;
    }
}
