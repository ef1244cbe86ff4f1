// Convolutions by fewer products than taps: what two inputs add up to, in place of what each does.
//
// Inputs one dilation apart form a chain: x[0], x[1], ... each adds x[i] * w[j] to output i + j of the
// chain. Two of them and three taps are the coefficients of two polynomials, whose product has four.
// By Toom and Cook it follows from its values at 0, 1, -1 and infinity, four products in place of six:
//
//     y[0] = x[0] w[0]                                              = zero
//     y[1] = (one - minus) - infinity         one      = (x[0] + x[1]) (w[0] + w[1] + w[2]) / 2
//     y[2] = (one + minus) - zero             minus    = (x[0] - x[1]) (w[0] - w[1] + w[2]) / 2
//     y[3] = x[1] w[2]                                              = infinity
//
// and of two taps, three products in place of four, at 0, 1 and infinity. More taps are parts of three
// and of two. (A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016,
// use the transpose of it for long inputs. In windows of deltas chains may have two inputs: behind a
// dilated convolution they are little wider than two dilations.) Where the output window cuts off so
// much of a part that no more products are left, and where a chain ends in a single input, these are
// computed one by one.
//
// A thread takes ROWS mutants through a chain, so that each input is read once, and each output
// stored once, with its epilogue. Compiled as overlap_add.cpp is. NaN and infinity may reach all the
// outputs of two inputs.

#include <algorithm>

#include "tiles.h"

namespace {

// Neighbouring taps whose products are found together, and where their forms begin. The last ones
// are the first to reach the last outputs of an input.
struct Part {
    int64_t tap, size, form;
    bool last;
};

// The forms of a part in memory: its taps, and the sums of them that inputs are multiplied with.
enum Form { FIRST, SECOND, THIRD, ONE, MINUS, SUM = 2 };
constexpr int64_t FORMS[] = {0, 1, 3, 5};

std::vector<Part> parts_of(int64_t count) {
    std::vector<Part> parts;
    int64_t form = 0;
    for (int64_t tap = 0; tap < count;) {
        const int64_t left = count - tap, size = left == 4 ? 2 : std::min<int64_t>(left, 3);
        parts.push_back({tap, size, form, size == left});
        tap += size;
        form += FORMS[size];
    }
    return parts;
}

// A convolution, with the forms of its taps.
struct Convolution {
    std::vector<Part> parts;
    const float* forms;
    int64_t count, channels, dilation;

    Convolution(const float* forms, int64_t count, int64_t channels, int64_t dilation)
        : parts(parts_of(count)),
          forms(forms),
          count(count),
          channels(channels),
          dilation(dilation),
          each(parts.back().form + FORMS[parts.back().size]) {}

    // A form of a part for some columns, to multiply `x` with.
    Tap tap(int64_t group, const Part& part, int64_t form, const float* x) const {
        return {x, forms + (group * each + part.form + form) * channels * COLUMNS};
    }

   private:
    int64_t each;
};

// Memory of a thread that is used again and again: chains are short where taps are far apart, so that
// asking for memory would take a tenth of the time of one.
enum class Use { SUMS, JOINS, PLUS, MINUS };
template <Use use, typename Number>
std::vector<Number>& room() {
    static thread_local std::vector<Number> kept;
    return kept;
}

// Some mutants on their way through a chain, for some groups of columns.
template <int rows, typename Window>
class Walk {
   public:
    Walk(const Window& window, const Convolution& convolution, int64_t first, int64_t p,
         int64_t outputs, int64_t begin, int64_t end)
        : window(window),
          convolution(convolution),
          epilogue(window, first),
          p(p),
          outputs(outputs),
          begin(begin),
          end(end),
          ring(convolution.count + 1),
          sums(room<Use::SUMS, Sums<rows>>()),
          joins(room<Use::JOINS, char>()),
          plus(room<Use::PLUS, float>()),
          minus(room<Use::MINUS, float>()) {
        sums.assign(ring * (end - begin), {});
        joins.resize(convolution.parts.size());
        plus.resize(rows * convolution.channels);
        minus.resize(rows * convolution.channels);
    }

    // Go on by one or two inputs, the first of which adds its first tap to output `k`; what lies
    // before is stored.
    void pass(int64_t k, const float* x, const float* other) {
        bool any = false;
        for (size_t i = 0; i < joins.size(); i++)
            any |= joins[i] = other && is_worth(k, convolution.parts[i]);
        if (any)
            for (int64_t i = 0; i < rows * convolution.channels; i++)
                plus[i] = x[i] + other[i], minus[i] = x[i] - other[i];
        for (int64_t group = begin; group < end; group++)
            for (size_t i = 0; i < joins.size(); i++) {
                const Part& part = convolution.parts[i];
                if (!joins[i])
                    add_each(k, group, part, x, other);
                else if (part.size == 3)
                    add_three(k + part.tap, group, part, x, other);
                else
                    add_two(k + part.tap, group, part, x, other);
            }
    }

    // Store outputs that no further input reaches, or none at all.
    void store(int64_t from, int64_t to, bool reached) {
        const Sums<rows> nothing;
        for (int64_t k = std::max<int64_t>(from, 0); k < std::min(to, outputs); k++)
            for (int64_t group = begin; group < end; group++) {
                epilogue.move(p + k * convolution.dilation, first_feature(group, window.features));
                keep<rows>(epilogue, reached ? at(k, group) : nothing);
            }
    }

   private:
    const Window& window;
    const Convolution& convolution;
    typename Window::template Epilogue<rows> epilogue;
    const int64_t p, outputs, begin, end, ring;
    // Of the outputs that inputs still add to, one behind the other round and round. Where an output
    // is reached for the first time, the sums of an earlier one are still there.
    std::vector<Sums<rows>>& sums;
    std::vector<char>& joins;
    std::vector<float>&plus, &minus;
    Sums<rows> unseen;

    bool seen(int64_t k) const { return k >= 0 && k < outputs; }

    // The sums of an output; of one outside the window, which nobody reads.
    Sums<rows>& at(int64_t k, int64_t group) {
        return seen(k) ? sums[k % ring * (end - begin) + group - begin] : unseen;
    }

    // Whether fewer products are left for two inputs together than for each of them.
    bool is_worth(int64_t k, const Part& part) const {
        int64_t each = 0;
        for (int64_t j = part.tap; j < part.tap + part.size; j++) each += seen(k + j) + seen(k + j + 1);
        return part.size > 1 && each > part.size + 1;
    }

    void add_three(int64_t k, int64_t group, const Part& part, const float* x, const float* other) {
        const Tap taps[] = {convolution.tap(group, part, ONE, plus.data()),
                            convolution.tap(group, part, MINUS, minus.data()),
                            convolution.tap(group, part, FIRST, x),
                            convolution.tap(group, part, THIRD, other)};
        Sums<rows> one, two, zero, last;
        sum_taps<rows>(one, &taps[0], 1, convolution.channels);
        sum_taps<rows>(two, &taps[1], 1, convolution.channels);
        sum_taps<rows>(zero, &taps[2], 1, convolution.channels);
        sum_taps<rows>(last, &taps[3], 1, convolution.channels);
        Sums<rows>&a = at(k, group), &b = at(k + 1, group);
        Sums<rows>&c = at(k + 2, group), &d = at(k + 3, group);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < 2; v++) {
                a[r][v] += zero[r][v];
                b[r][v] += (one[r][v] - two[r][v]) - last[r][v];
                c[r][v] = (part.last ? Vector{} : c[r][v]) + ((one[r][v] + two[r][v]) - zero[r][v]);
                d[r][v] = (part.last ? Vector{} : d[r][v]) + last[r][v];
            }
    }

    void add_two(int64_t k, int64_t group, const Part& part, const float* x, const float* other) {
        const Tap taps[] = {convolution.tap(group, part, SUM, plus.data()),
                            convolution.tap(group, part, FIRST, x),
                            convolution.tap(group, part, SECOND, other)};
        Sums<rows> one, zero, last;
        sum_taps<rows>(one, &taps[0], 1, convolution.channels);
        sum_taps<rows>(zero, &taps[1], 1, convolution.channels);
        sum_taps<rows>(last, &taps[2], 1, convolution.channels);
        Sums<rows>&a = at(k, group), &b = at(k + 1, group), &c = at(k + 2, group);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < 2; v++) {
                a[r][v] += zero[r][v];
                b[r][v] = (part.last ? Vector{} : b[r][v]) + ((one[r][v] - zero[r][v]) - last[r][v]);
                c[r][v] = (part.last ? Vector{} : c[r][v]) + last[r][v];
            }
    }

    // One or two inputs with every tap of a part, output by output.
    void add_each(int64_t k, int64_t group, const Part& part, const float* x, const float* other) {
        for (int64_t j = 0; j <= part.size; j++) {
            Tap taps[2];
            int64_t count = 0;
            if (j < part.size) taps[count++] = convolution.tap(group, part, j, x);
            if (j > 0 && other) taps[count++] = convolution.tap(group, part, j - 1, other);
            if (!count || !seen(k + part.tap + j)) continue;
            Sums<rows> made;
            sum_taps<rows>(made, taps, count, convolution.channels);
            Sums<rows>& sum = at(k + part.tap + j, group);
            const bool fresh = part.last && j >= part.size - 1;
            for (int r = 0; r < rows; r++)
                for (int v = 0; v < 2; v++)
                    sum[r][v] = (fresh ? Vector{} : sum[r][v]) + made[r][v];
        }
    }
};

// All positions that are a multiple of the dilation behind position `p`, for some mutants from `first`
// on and groups of columns.
template <int rows, typename Window>
void run_chain(const Window& window, const Convolution& convolution, const float* x, int64_t size,
               int64_t offset, int64_t width, int64_t first, int64_t p, int64_t begin, int64_t end) {
    const int64_t dilation = convolution.dilation;
    const int64_t outputs = (width - p + dilation - 1) / dilation;
    // The first input of the chain, and the output that it adds its first tap to.
    const int64_t q = ((p - offset) % dilation + dilation) % dilation;
    const int64_t reached = (offset + q - p) / dilation;
    const int64_t inputs = q < size ? (size - q + dilation - 1) / dilation : 0;
    const int64_t step = dilation * window.rows * convolution.channels;
    const float* next = x + (q * window.rows + first) * convolution.channels;
    Walk<rows, Window> walk(window, convolution, first, p, outputs, begin, end);
    walk.store(0, inputs ? reached : outputs, false);
    for (int64_t i = 0; i < inputs; i += 2, next += 2 * step) {
        const int64_t two = std::min<int64_t>(inputs - i, 2);
        walk.pass(reached + i, next, two == 2 ? next + step : nullptr);
        walk.store(reached + i, reached + i + two, true);
    }
    if (!inputs) return;
    const int64_t last = reached + inputs + convolution.count - 1;
    walk.store(reached + inputs, last, true);
    walk.store(last, outputs, false);
}

template <typename Window>
void toom_cook(const Window& whole, const float* x, int64_t size, const Convolution& convolution,
               int64_t offset, int64_t width, int64_t pieces, int64_t threads) {
    const int64_t tiles = (whole.rows + ROWS - 1) / ROWS;
    const int64_t chains = std::min(convolution.dilation, width);
    const int64_t groups = (whole.features + COLUMNS - 1) / COLUMNS;
    // What is larger is read once, the taps or the window: all mutants for one group of columns after
    // another, or all groups for some mutants after others.
    const bool taps_once = convolution.count * whole.features > size * whole.rows;
    const int64_t at_once = taps_once ? 1 : groups;
    const int64_t items = groups / at_once * chains * tiles;
    // Neighbouring tiles lie side by side in memory: a thread takes some of them.
    const int64_t chunk = pieces ? (items + pieces - 1) / pieces
                                 : std::clamp<int64_t>(items / (8 * threads), 1, 4 * tiles);
#pragma omp parallel for num_threads(threads) schedule(dynamic, chunk)
    for (int64_t item = 0; item < items; item++) {
        const int64_t first = item % tiles * ROWS, chain = item / tiles % chains;
        const int64_t group = item / tiles / chains;
        const auto& window = whole.piece(item / chunk);
        with_rows<ROWS>(window.rows - first, [&](auto rows) {
            run_chain<rows>(window, convolution, x, size, offset, width, first, chain, group,
                            group + at_once);
        });
    }
}

}  // namespace

// forms: (features / COLUMNS, rounded up, forms of all parts, channels, COLUMNS), with no fewer
// features than COLUMNS. All else as for overlap_add.
extern "C" void toom_cook_overlap_add(int64_t rectify, const float* x, int64_t size, int64_t blocks,
                                      int64_t mutants, int64_t channels, const float* forms,
                                      int64_t count, int64_t features, int64_t dilation, int64_t offset,
                                      const float* reference, int64_t position_stride,
                                      int64_t block_stride, const float* residual,
                                      int64_t residual_size, int64_t residual_offset, float* out,
                                      int64_t width, int64_t threads) {
    with_window(rectify, reference, position_stride, block_stride, blocks, mutants,
                Residual{residual, residual_size, residual_offset}, features, out,
                [&](const auto& window) {
                    toom_cook(window, x, size, Convolution(forms, count, channels, dilation), offset, width, 0,
                              threads);
                });
}

// forms: as for toom_cook_overlap_add. All else as for overlap_add_joint.
extern "C" void toom_cook_overlap_add_joint(
    const float* x, int64_t size, int64_t firsts, int64_t seconds, int64_t channels,
    const float* forms, int64_t count, int64_t features, int64_t dilation, int64_t offset,
    const float* reference, int64_t reference_stride, const float* first, const float* second,
    const float* residual, int64_t residual_size, int64_t residual_offset, float* out,
    int64_t width, int64_t pieces, int64_t threads) {
    with_joint_window(reference, reference_stride, first, second, firsts, seconds,
                      Residual{residual, residual_size, residual_offset}, features, out, pieces,
                      [&](const auto& window) {
                          toom_cook(window, x, size, Convolution(forms, count, channels, dilation),
                                    offset, width, pieces, threads);
                      });
}
