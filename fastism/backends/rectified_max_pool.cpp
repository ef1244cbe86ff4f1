// The delta after a max pool and its ReLU in one pass over the window.
//
// For every position p of the pooled window, mutant r and channel c, with z what the pool gives
// for the reference:
//
//     y = sign[c] * max over i < size of x[p * stride + i, r, c]
//     out[p, r, c] = relu(y) - relu(z)
//
// Without it the window goes through memory once per neighbour, and for the sign, the ReLU and the
// reference each. NaN is handed on.

#include "vectors.h"

// x: at least ((width - 1) * stride + size, blocks * mutants, channels), with no fewer channels than
// a register holds. sign: (channels) or null. reference: element (p, block, c) lies at p *
// position_stride + block * block_stride + c. out: (width, blocks * mutants, channels).
extern "C" void rectified_max_pool(const float* x, int64_t size, int64_t stride, int64_t blocks,
                                   int64_t mutants, int64_t channels, const float* sign,
                                   const float* reference, int64_t position_stride,
                                   int64_t block_stride, float* out, int64_t width,
                                   int64_t threads) {
    const int64_t position = blocks * mutants * channels;
#pragma omp parallel for num_threads(threads) collapse(2) schedule(static)
    for (int64_t p = 0; p < width; p++)
        for (int64_t block = 0; block < blocks; block++) {
            const float* z = reference + p * position_stride + block * block_stride;
            for (int64_t r = block * mutants; r < (block + 1) * mutants; r++) {
                const float* from = x + p * stride * position + r * channels;
                float* to = out + p * position + r * channels;
                for (int64_t next = 0; next < channels; next += VECTOR) {
                    // The last register overlaps the one before where channels do not fill it.
                    const int64_t c = next + VECTOR > channels ? channels - VECTOR : next;
                    Vector y = load(from + c);
                    for (int64_t i = 1; i < size; i++) y = larger(y, load(from + i * position + c));
                    if (sign) y *= load(sign + c);
                    store(to + c, relu(y) - relu(load(z + c)));
                }
            }
        }
}
