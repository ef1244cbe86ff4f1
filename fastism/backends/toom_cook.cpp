// Convolutions with three taps, by four products for every two inputs in place of six.
//
// Inputs one dilation apart form a chain: x[0], x[1], ... each adds x[i] * w[j] to output i + j of the
// chain. Two of them and three taps are the coefficients of two polynomials, whose product has four.
// By Toom and Cook it follows from its values at 0, 1, -1 and infinity:
//
//     y[0] = x[0] w[0]                                              = zero
//     y[1] = (one - minus) - infinity         one      = (x[0] + x[1]) (w[0] + w[1] + w[2]) / 2
//     y[2] = (one + minus) - zero             minus    = (x[0] - x[1]) (w[0] - w[1] + w[2]) / 2
//     y[3] = x[1] w[2]                                              = infinity
//
// (A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, use the
// transpose of it for long inputs. In a window of deltas chains have about two inputs: it is
// little wider than two dilations.) Where the output window cuts off so much that four products or
// fewer are left, and where a chain ends in a single input, these are computed one by one.
//
// A thread takes ROWS mutants through a chain, so that each input is read once, and each output
// stored once, with its epilogue. Compiled as overlap_add.cpp is. NaN and infinity may reach all four
// outputs of two inputs.

#include <algorithm>

#include "tiles.h"

namespace {

// The forms of the taps in memory, for each group of columns: w[0], w[1], w[2], and the sums that
// belong to `one` and `minus`.
enum Form { FIRST, SECOND, THIRD, ONE, MINUS, FORMS };

// What inputs that were passed by still add to the next two outputs of a chain.
template <int rows>
struct Carry {
    Sums<rows> next, second;
};

// Some mutants on their way through a chain.
template <int rows, typename Window>
class Walk {
   public:
    Walk(const Window& window, const float* forms, int64_t channels, int64_t first, int64_t p,
         int64_t dilation, int64_t outputs)
        : window(window),
          epilogue(window, first),
          forms(forms),
          channels(channels),
          p(p),
          dilation(dilation),
          outputs(outputs),
          groups((window.features + COLUMNS - 1) / COLUMNS),
          carries(groups),
          plus(rows * channels),
          minus(rows * channels) {}

    // Go on by one or two inputs, the first of which adds to output `k` and the two behind it.
    void pass(int64_t k, const float* x, const float* other) {
        const int64_t direct = seen(k) + seen(k + 1) + seen(k + 2) +
                               (other ? seen(k + 1) + seen(k + 2) + seen(k + 3) : 0);
        const bool joins = other && direct > 4;
        if (joins)
            for (int64_t i = 0; i < rows * channels; i++)
                plus[i] = x[i] + other[i], minus[i] = x[i] - other[i];
        for (int64_t group = 0; group < groups; group++) {
            if (joins)
                pass_joined(k, group, x, other);
            else if (other)
                pass_two(k, group, x, other);
            else
                pass_one(k, group, x);
        }
    }

    // Store what the last inputs have left, in two outputs from `k` on.
    void end(int64_t k) {
        for (int64_t group = 0; group < groups; group++) {
            store(k, group, carries[group].next);
            store(k + 1, group, carries[group].second);
        }
    }

    // Store outputs that no input reaches.
    void untouched(int64_t begin, int64_t end) {
        const Sums<rows> nothing = {};
        for (int64_t k = std::max<int64_t>(begin, 0); k < std::min(end, outputs); k++)
            for (int64_t group = 0; group < groups; group++) store(k, group, nothing);
    }

   private:
    const Window& window;
    typename Window::template Epilogue<rows> epilogue;
    const float* forms;
    const int64_t channels, p, dilation, outputs, groups;
    std::vector<Carry<rows>> carries;
    std::vector<float> plus, minus;

    bool seen(int64_t k) const { return k >= 0 && k < outputs; }

    Tap tap(int64_t group, Form form, const float* x) const {
        return {x, forms + (group * FORMS + form) * channels * COLUMNS};
    }

    void store(int64_t k, int64_t group, const Sums<rows>& sum) {
        // The last columns overlap those before where features do not fill them.
        const int64_t f = std::min(group * COLUMNS, window.features - COLUMNS);
        if (!seen(k)) return;
        epilogue.move(p + k * dilation, f);
        keep<rows>(epilogue, sum);
    }

    void pass_joined(int64_t k, int64_t group, const float* x, const float* other) {
        Carry<rows>& carry = carries[group];
        Sums<rows> one, last, second, third;
        const Tap sums[] = {tap(group, ONE, plus.data()), tap(group, MINUS, minus.data()),
                            tap(group, FIRST, x), tap(group, THIRD, other)};
        sum_taps<rows>(one, &sums[0], 1, channels);
        sum_taps<rows>(last, &sums[1], 1, channels);
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < 2; c++) {
                second[r][c] = (one[r][c] - last[r][c]) + carry.second[r][c];
                third[r][c] = one[r][c] + last[r][c];
            }
        sum_taps<rows>(one, &sums[2], 1, channels);
        sum_taps<rows>(last, &sums[3], 1, channels);
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < 2; c++) {
                second[r][c] -= last[r][c];
                third[r][c] -= one[r][c];
                one[r][c] += carry.next[r][c];
                carry.next[r][c] = third[r][c];
                carry.second[r][c] = last[r][c];
            }
        store(k, group, one);
        store(k + 1, group, second);
    }

    void pass_two(int64_t k, int64_t group, const float* x, const float* other) {
        const Tap taps[] = {tap(group, FIRST, x),      tap(group, SECOND, x),
                            tap(group, FIRST, other),  tap(group, THIRD, x),
                            tap(group, SECOND, other), tap(group, THIRD, other)};
        Carry<rows>& carry = carries[group];
        add(k, carry.next, &taps[0], 1);
        add(k + 1, carry.second, &taps[1], 2);
        store(k, group, carry.next);
        store(k + 1, group, carry.second);
        carry = {};
        add(k + 2, carry.next, &taps[3], 2);
        add(k + 3, carry.second, &taps[5], 1);
    }

    void pass_one(int64_t k, int64_t group, const float* x) {
        const Tap taps[] = {tap(group, FIRST, x), tap(group, SECOND, x), tap(group, THIRD, x)};
        Carry<rows>& carry = carries[group];
        add(k, carry.next, &taps[0], 1);
        add(k + 1, carry.second, &taps[1], 1);
        store(k, group, carry.next);
        Carry<rows> left = {};
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < 2; c++) left.next[r][c] = carry.second[r][c];
        carry = left;
        add(k + 2, carry.second, &taps[2], 1);
    }

    // Add taps to what output `k` gets, unless the window does not hold it.
    void add(int64_t k, Sums<rows>& sum, const Tap* taps, int64_t count) const {
        if (!seen(k)) return;
        Sums<rows> made;
        sum_taps<rows>(made, taps, count, channels);
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < 2; c++) sum[r][c] += made[r][c];
    }
};

// All positions that are a multiple of the dilation behind position `p`, for some mutants from `first`
// on.
template <int rows, typename Window>
void run_chain(const Window& window, const float* x, int64_t size, int64_t channels,
               const float* forms, int64_t dilation, int64_t offset, int64_t width, int64_t first,
               int64_t p) {
    const int64_t outputs = (width - p + dilation - 1) / dilation;
    // The first input of the chain, and the output that it adds its first tap to.
    const int64_t q = ((p - offset) % dilation + dilation) % dilation;
    const int64_t begin = (offset + q - p) / dilation;
    const int64_t inputs = q < size ? (size - q + dilation - 1) / dilation : 0;
    Walk<rows, Window> walk(window, forms, channels, first, p, dilation, outputs);
    if (!inputs) return walk.untouched(0, outputs);
    walk.untouched(0, begin);
    const int64_t step = dilation * window.rows * channels;
    const float* next = x + (q * window.rows + first) * channels;
    for (int64_t i = 0; i < inputs; i += 2, next += 2 * step)
        walk.pass(begin + i, next, i + 1 < inputs ? next + step : nullptr);
    walk.end(begin + inputs);
    walk.untouched(begin + inputs + 2, outputs);
}

template <typename Window>
void toom_cook(const Window& window, const float* x, int64_t size, int64_t channels,
               const float* forms, int64_t dilation, int64_t offset, int64_t width,
               int64_t threads) {
    const int64_t tiles = (window.rows + ROWS - 1) / ROWS;
    const int64_t chains = std::min(dilation, width);
    // Neighbouring tiles lie side by side in memory: a thread takes some of them.
    const int64_t chunk = std::clamp<int64_t>(chains * tiles / (8 * threads), 1, 4 * tiles);
#pragma omp parallel for num_threads(threads) schedule(dynamic, chunk)
    for (int64_t item = 0; item < chains * tiles; item++) {
        const int64_t first = item % tiles * ROWS;
        with_rows<ROWS>(window.rows - first, [&](auto rows) {
            run_chain<rows>(window, x, size, channels, forms, dilation, offset, width, first,
                            item / tiles);
        });
    }
}

}  // namespace

// forms: (features / COLUMNS, rounded up, FORMS, channels, COLUMNS), with no fewer features than
// COLUMNS. All else as for overlap_add.
extern "C" void toom_cook_overlap_add(int64_t rectify, const float* x, int64_t size, int64_t blocks,
                                      int64_t mutants, int64_t channels, const float* forms,
                                      int64_t features, int64_t dilation, int64_t offset,
                                      const float* reference, int64_t position_stride,
                                      int64_t block_stride, const float* residual,
                                      int64_t residual_size, int64_t residual_offset, float* out,
                                      int64_t width, int64_t threads) {
    with_window(rectify, reference, position_stride, block_stride, blocks, mutants,
                Residual{residual, residual_size, residual_offset}, features, out,
                [&](const auto& window) {
                    toom_cook(window, x, size, channels, forms, dilation, offset, width, threads);
                });
}

// forms: as for toom_cook_overlap_add. All else as for joint_overlap_add.
extern "C" void toom_cook_joint(const float* x, int64_t size, int64_t firsts, int64_t seconds,
                                int64_t channels, const float* forms, int64_t features,
                                int64_t dilation, int64_t offset, const float* reference,
                                int64_t reference_stride, const float* first, const float* second,
                                const float* residual, int64_t residual_size,
                                int64_t residual_offset, float* out, int64_t width,
                                int64_t threads) {
    const JointWindow window = {reference, reference_stride,
                                first,     second,
                                firsts,    seconds,
                                {residual, residual_size, residual_offset},
                                firsts * seconds, features, out};
    toom_cook(window, x, size, channels, forms, dilation, offset, width, threads);
}
