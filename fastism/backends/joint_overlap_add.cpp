// What two edits do to each other behind a convolution and its ReLU, in one pass: the sums of
// overlap_add.cpp with the epilogue of JointWindow. x is what they add beyond what each of them adds
// alone.

#include "tiles.h"

namespace {

template <typename Window>
void joint_overlap_add(const Window& whole, const Convolved& convolved, int64_t width,
                       int64_t pieces, int64_t threads) {
    const int64_t groups = (whole.features + COLUMNS - 1) / COLUMNS;
    const int64_t at_once = convolved.groups_at_once(groups);
    const int64_t chunk = pieces ? (width + pieces - 1) / pieces : 4;
#pragma omp parallel num_threads(threads)
    {
        std::vector<Tap> seen;
#pragma omp for schedule(dynamic, chunk)
        for (int64_t p = 0; p < width; p++) {
            const auto& window = whole.piece(p / chunk);
            for (int64_t begin = 0; begin < groups; begin += at_once) {
                convolved.reach(p, seen);
                all_rows(window, convolved, p, begin, std::min(begin + at_once, groups), seen);
            }
        }
    }
}

}  // namespace

// x: (size, firsts * seconds, channels), or null with a size of zero. taps: as for overlap_add.
// reference: (width, features), rows reference_stride apart. first: (width, firsts, features) and
// second: (width, seconds, features), without gaps. residual: (residual_size, firsts * seconds,
// features), from position residual_offset of the output on, or null. out: (width, firsts *
// seconds, features); or, with some pieces, (pieces, firsts * seconds, features), to which the total
// over all positions is added in parts. Features must fill all columns then.
extern "C" void overlap_add_joint(const float* x, int64_t size, int64_t firsts, int64_t seconds,
                                  int64_t channels, const float* taps, int64_t count,
                                  int64_t features, int64_t dilation, int64_t offset,
                                  const float* reference, int64_t reference_stride,
                                  const float* first, const float* second, const float* residual,
                                  int64_t residual_size, int64_t residual_offset, float* out,
                                  int64_t width, int64_t pieces, int64_t threads) {
    with_joint_window(reference, reference_stride, first, second, firsts, seconds,
                      Residual{residual, residual_size, residual_offset}, features, out, pieces,
                      [&](const auto& window) {
                          const Convolved convolved{x,    size,  window.rows, channels,
                                                    taps, count, dilation,    offset};
                          joint_overlap_add(window, convolved, width, pieces, threads);
                      });
}
