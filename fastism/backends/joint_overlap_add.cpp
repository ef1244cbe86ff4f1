// What two edits do to each other behind a convolution and its ReLU, in one pass.
//
// With z the reference before the ReLU, a and b what each edit alone adds to it, and e what they add
// beyond that, for every position p of a window, first edit i, second edit j and feature f,
//
//     e = sum over taps t and channels k of x[q, i, j, k] * taps[t, k, f],
//         where q = p - offset - t * dilation lies in the input window
//     out[p, i, j, f] = relu(z + a + b + e) - relu(z + a) - relu(z + b) + relu(z)
//
// and the same of a residual connection on top, where there is one. z is that of (p, f), a of
// (p, i, f), b of (p, j, f). One operation after the other would go through memory six times. Tiles
// are those of overlap_add.cpp.

#include <algorithm>
#include <vector>

#include "tiles.h"

namespace {

// Where the terms of one row begin.
struct Terms {
    const float* first;
    const float* second;
};

template <int rows>
inline void tile(const Tap* taps, int64_t count, int64_t channels, int64_t row, int64_t column,
                 const float* reference, const Terms* terms, const float* residual, float* out,
                 int64_t features) {
    Vector sum[rows][2];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2; c++) {
            const int64_t at = c * VECTOR;
            sum[r][c] = load(reference + at) + load(terms[r].first + at) + load(terms[r].second + at);
        }
    add_taps<rows>(sum, taps, count, channels, row, column);
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 2; c++) {
            const int64_t at = c * VECTOR;
            const Vector z = load(reference + at);
            const Vector first = relu(z + load(terms[r].first + at));
            const Vector second = relu(z + load(terms[r].second + at));
            Vector made = (relu(sum[r][c]) - first) - (second - relu(z));
            if (residual) made += load(residual + r * features + at);
            store(out + r * features + at, made);
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

// x: (size, firsts * seconds, channels), or null with a size of zero. taps: as for overlap_add.
// reference: (width, features), rows reference_stride apart. first: (width, firsts, features) and
// second: (width, seconds, features), without gaps. residual: (residual_size, firsts * seconds,
// features), from position residual_offset of the output on, or null. out: (width, firsts *
// seconds, features).
extern "C" void joint_overlap_add(const float* x, int64_t size, int64_t firsts, int64_t seconds,
                                  int64_t channels, const float* taps, int64_t count,
                                  int64_t features, int64_t dilation, int64_t offset,
                                  const float* reference, int64_t reference_stride,
                                  const float* first, const float* second, const float* residual,
                                  int64_t residual_size, int64_t residual_offset, float* out,
                                  int64_t width, int64_t threads) {
    const int64_t rows = firsts * seconds;
#pragma omp parallel num_threads(threads)
    {
        std::vector<Tap> seen(count);
#pragma omp for schedule(dynamic, 4)
        for (int64_t p = 0; p < width; p++) {
            int64_t found = 0;
            for (int64_t t = 0; t < count; t++) {
                const int64_t q = p - offset - t * dilation;
                if (q < 0 || q >= size) continue;
                seen[found++] = {x + q * rows * channels, taps + t * channels * COLUMNS};
            }
            const int64_t q = p - residual_offset;
            const bool beside = residual && q >= 0 && q < residual_size;
            for (int64_t next = 0; next < features; next += COLUMNS) {
                // The last columns overlap those before where features do not fill them.
                const int64_t f = std::min(next, features - COLUMNS);
                const int64_t skipped = next * count * channels;
                for (int64_t begin = 0; begin < rows; begin += ROWS) {
                    const int64_t size_of_tile = std::min<int64_t>(rows - begin, ROWS);
                    Terms terms[ROWS];
                    int64_t i = begin / seconds, j = begin % seconds;
                    for (int64_t r = 0; r < size_of_tile; r++) {
                        terms[r] = {first + (p * firsts + i) * features + f,
                                    second + (p * seconds + j) * features + f};
                        if (++j == seconds) j = 0, i++;
                    }
                    const int64_t at = begin * features + f;
                    smaller_tile<ROWS>(
                        size_of_tile, seen.data(), found, channels, begin * channels, skipped,
                        reference + p * reference_stride + f, static_cast<const Terms*>(terms),
                        beside ? residual + q * rows * features + at : nullptr,
                        out + p * rows * features + at, features);
                }
            }
        }
    }
}
