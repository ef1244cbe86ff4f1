// What the kernels that tile a convolution share: some mutants times two registers of features,
// whose sums stay in registers.

#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "epilogues.h"

constexpr int64_t COLUMNS = 2 * VECTOR;

// The first feature of a group of columns. The last columns overlap those before where features do
// not fill them.
inline int64_t first_feature(int64_t group, int64_t features) {
    return std::min(group * COLUMNS, features - COLUMNS);
}

// Store what a row sums up to, where its epilogue is.
template <typename Epilogue>
__attribute__((always_inline)) inline void finish_row(const Epilogue& epilogue, int r, Vector left,
                                                      Vector right) {
    epilogue.finish(r, 0, epilogue.start(r, 0) + left);
    epilogue.finish(r, 1, epilogue.start(r, 1) + right);
}

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
    template <typename Epilogue>
    __attribute__((always_inline)) void finish(const Epilogue& epilogue) const {
        before.finish(epilogue);
        finish_row(epilogue, rows - 1, left, right);
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
    template <typename Epilogue>
    void finish(const Epilogue&) const {}
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

// What taps give for the rows of a tile, with columns that lie `column` behind their first ones. What
// the next tap reads, and behind the last one the next tile, is asked for ahead where it is far away:
// a line of every row at a time, as it will be read.
template <int rows>
__attribute__((always_inline)) inline Registers<rows> sum_of(const Tap* taps, int64_t count,
                                                             int64_t channels, int64_t column,
                                                             bool far) {
    Registers<rows> sums = {};
    const int64_t step = far ? LINE : channels;
    for (int64_t j = 0; j < count; j++) {
        const float* x = taps[j].x;
        const float* weights = taps[j].weights + column;
        const float* next = j + 1 < count ? taps[j + 1].x : taps[0].x + rows * channels;
        for (int64_t k = 0; k < channels;) {
            if (far)
                for (int r = 0; r < rows; r++) fetch(next + r * channels + k, 1);
            for (const int64_t end = std::min(k + step, channels); k < end; k++, weights += COLUMNS)
                sums.add(x + k, channels, load(weights), load(weights + VECTOR));
        }
    }
    return sums;
}

// The sums of taps, kept in memory. This and `finish_taps` are functions of their own: among other
// code a compiler runs out of registers, and half the speed is lost.
template <int rows>
__attribute__((noinline)) void sum_taps(Sums<rows>& made, const Tap* taps, int64_t count,
                                        int64_t channels) {
    sum_of<rows>(taps, count, channels, 0, false).keep(made.of);
}

// The sums of taps, from registers to where the epilogue is: a way through memory takes hundredths of
// the time. The epilogue is a copy: for all a compiler knows, stores might change any other.
template <int rows, typename Epilogue>
__attribute__((noinline)) void finish_taps(const Epilogue epilogue, const Tap* taps, int64_t count,
                                           int64_t channels, int64_t column, bool far) {
    for (int r = 0; r < rows; r++) epilogue.fetch(r);
    sum_of<rows>(taps, count, channels, column, far).finish(epilogue);
}

// Store the sums of a tile where its epilogue is.
template <int rows, typename Epilogue>
inline void keep(const Epilogue& epilogue, const Sums<rows>& sum) {
    for (int r = 0; r < rows; r++) finish_row(epilogue, r, sum[r][0], sum[r][1]);
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

// A convolution as overlap_add is given it.
struct Convolved {
    const float* x;
    int64_t size, rows, channels;
    const float* taps;
    int64_t count, dilation, offset;

    // The taps that reach a position, at its first row and their first columns.
    void reach(int64_t p, std::vector<Tap>& seen) const {
        seen.clear();
        for (int64_t j = 0; j < count; j++) {
            const int64_t q = p - offset - j * dilation;
            if (q < 0 || q >= size) continue;
            seen.push_back({x + q * rows * channels, taps + j * channels * COLUMNS});
        }
    }
    // Between the first columns of a tap and those of the next group.
    int64_t stride() const { return count * channels * COLUMNS; }
    // As many groups as have taps that stay in a cache.
    int64_t groups_at_once(int64_t groups) const {
        return std::clamp<int64_t>(CACHE / stride(), 1, groups);
    }
    // Whether the input is more than what stays in a cache.
    bool far() const { return size * rows * channels > CACHE; }
};

// All rows of some groups of columns of a position, as many at a time as fit registers: for these one
// group after another, as residual and output of groups lie side by side. The first one brings the
// input near. `seen` are the taps that reach the position.
template <typename Window>
inline void all_rows(const Window& window, const Convolved& convolved, int64_t p, int64_t begin,
                     int64_t end, std::vector<Tap>& seen) {
    const int64_t channels = convolved.channels, stride = convolved.stride();
    const bool far = convolved.far();
    for (int64_t first = 0; first < window.rows; first += ROWS) {
        with_rows<ROWS>(window.rows - first, [&](auto rows) {
            typename Window::template Epilogue<rows> epilogue(window, first);
            for (int64_t group = begin; group < end; group++) {
                epilogue.move(p, first_feature(group, window.features));
                finish_taps<rows>(epilogue, seen.data(), seen.size(), channels, group * stride,
                                  far && group == begin);
            }
        });
        for (Tap& tap : seen) tap.x += ROWS * channels;
    }
}
