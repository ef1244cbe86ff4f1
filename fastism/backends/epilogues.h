// What becomes of the sums of a convolution before they are stored, for some neighbouring mutants and
// two registers of features of one position.
//
// An epilogue gives, for every row and register, what a sum starts with (`start`) and what is stored
// of it (`finish`). What only this place reads is asked for ahead of the sums (`fetch`). A window makes
// the epilogue of a place: of which position `p`, from which mutant `first` and which feature `f` on.

#pragma once

#include "vectors.h"

// The delta of a residual connection: (size, rows, features), from position `offset` of the output
// on, or null.
struct Residual {
    const float* values;
    int64_t size, offset;

    // Where that of a place begins, or null.
    const float* at(int64_t p, int64_t rows, int64_t features, int64_t row, int64_t f) const {
        const int64_t q = p - offset;
        if (!values || q < 0 || q >= size) return nullptr;
        return values + (q * rows + row) * features + f;
    }
};

// base + sum, or with z, the reference before a ReLU,
//
//     max(min(z, 0) + sum, -max(z, 0)) + residual            ( = relu(z + delta) - relu(z) + ... )
//
// Element (p, block, f) of the base or of z lies at p * position_stride + block * block_stride + f; a
// base may be null.
template <bool rectified>
struct Window {
    const float* reference;
    int64_t position_stride, block_stride, mutants;
    Residual residual;
    int64_t rows, features;
    float* out;

    // What one of several pieces of work writes to.
    const Window& piece(int64_t) const { return *this; }

    // Of `count` mutants from `first` on, at one position and feature after another.
    template <int count>
    class Epilogue {
       public:
        Epilogue(const Window& window, int64_t first) : window(window), first(first) {
            int64_t block = first / window.mutants, next_block = (block + 1) * window.mutants;
            for (int r = 0; r < count; r++) {
                if (first + r == next_block) block++, next_block += window.mutants;
                offsets[r] = block * window.block_stride;
            }
        }
        void move(int64_t p, int64_t f) {
            reference =
                window.reference ? window.reference + p * window.position_stride + f : nullptr;
            residual = window.residual.at(p, window.rows, window.features, first, f);
            out = window.out + (p * window.rows + first) * window.features + f;
        }
        void fetch(int r) const {
            if (residual) ::fetch(residual + r * window.features, 2 * VECTOR);
        }
        Vector start(int r, int c) const {
            if (!rectified && !reference) return Vector{};
            const Vector z = load(reference + offsets[r] + c * VECTOR);
            return rectified ? negative_part(z) : z;
        }
        void finish(int r, int c, Vector sum) const {
            const int64_t at = r * window.features + c * VECTOR;
            if (rectified) {
                const Vector z = load(reference + offsets[r] + c * VECTOR);
                sum = at_least(sum, negative_part(z) - z);
                if (residual) sum += load(residual + at);
            }
            store(out + at, sum);
        }
        // Store a row that no tap reaches.
        void skip(int r) const {
            const int64_t at = r * window.features;
            const float* from = rectified ? residual : reference;
            if (from) from += rectified ? at : offsets[r];
            for (int c = 0; c < 2; c++)
                store(out + at + c * VECTOR, from ? load(from + c * VECTOR) : Vector{});
        }

       private:
        const Window& window;
        const int64_t first;
        int64_t offsets[count];
        const float* reference;
        const float* residual;
        float* out;
    };
};

// Run `function` with the window of what `overlap_add` is given.
template <typename Function>
inline void with_window(bool rectify, const float* reference, int64_t position_stride,
                        int64_t block_stride, int64_t blocks, int64_t mutants, Residual residual,
                        int64_t features, float* out, Function function) {
    const int64_t rows = blocks * mutants;
    if (rectify)
        function(Window<true>{reference, position_stride, block_stride, mutants, residual, rows,
                              features, out});
    else
        function(Window<false>{reference, position_stride, block_stride, mutants, residual, rows,
                               features, out});
}

// With z the reference before a ReLU, a and b what each of two edits alone adds to it, and the sum
// what they add beyond that,
//
//     relu(z + a + b + sum) - relu(z + a) - relu(z + b) + relu(z) + residual
//
// z is that of (p, f), rows reference_stride apart, a of (p, i, f), b of (p, j, f), for the row
// i * seconds + j. One operation after the other would go through memory six times.
//
// Where only the total over all positions is wanted, every piece of work has one of its own in `out`:
// what it is does not depend on which thread did what then.
template <bool total>
struct JointWindow {
    const float* reference;
    int64_t reference_stride;
    const float* first;
    const float* second;
    int64_t firsts, seconds;
    Residual residual;
    int64_t rows, features;
    float* out;

    // What one of several pieces of work writes to.
    JointWindow piece(int64_t number) const {
        JointWindow made = *this;
        if (total) made.out += number * rows * features;
        return made;
    }

    // Of `count` pairs of edits from `begin` on, at one position and feature after another.
    template <int count>
    class Epilogue {
       public:
        Epilogue(const JointWindow& window, int64_t begin) : window(window), begin(begin) {
            int64_t i = begin / window.seconds, j = begin % window.seconds;
            for (int r = 0; r < count; r++) {
                firsts[r] = i * window.features, seconds[r] = j * window.features;
                if (++j == window.seconds) j = 0, i++;
            }
        }
        void move(int64_t p, int64_t f) {
            reference = window.reference + p * window.reference_stride + f;
            first = window.first + p * window.firsts * window.features + f;
            second = window.second + p * window.seconds * window.features + f;
            residual = window.residual.at(p, window.rows, window.features, begin, f);
            out = window.out + ((total ? 0 : p * window.rows) + begin) * window.features + f;
        }
        void fetch(int r) const {
            if (residual) ::fetch(residual + r * window.features, 2 * VECTOR);
        }
        Vector start(int r, int c) const {
            const int64_t at = c * VECTOR;
            return load(reference + at) + load(first + firsts[r] + at) +
                   load(second + seconds[r] + at);
        }
        void finish(int r, int c, Vector sum) const {
            const int64_t column = c * VECTOR, at = r * window.features + column;
            const Vector z = load(reference + column);
            const Vector alone = relu(z + load(first + firsts[r] + column));
            const Vector other = relu(z + load(second + seconds[r] + column));
            Vector made = (relu(sum) - alone) - (other - relu(z));
            if (residual) made += load(residual + at);
            store(out + at, total ? load(out + at) + made : made);
        }

       private:
        const JointWindow& window;
        const int64_t begin;
        int64_t firsts[count], seconds[count];
        const float* reference;
        const float* first;
        const float* second;
        const float* residual;
        float* out;
    };
};

// Run `function` with the window of what `joint_overlap_add` is given.
template <typename Function>
inline void with_joint_window(const float* reference, int64_t reference_stride, const float* first,
                              const float* second, int64_t firsts, int64_t seconds,
                              Residual residual, int64_t features, float* out, int64_t pieces,
                              Function function) {
    const int64_t rows = firsts * seconds;
    if (pieces)
        function(JointWindow<true>{reference, reference_stride, first, second, firsts, seconds,
                                   residual, rows, features, out});
    else
        function(JointWindow<false>{reference, reference_stride, first, second, firsts, seconds,
                                    residual, rows, features, out});
}
