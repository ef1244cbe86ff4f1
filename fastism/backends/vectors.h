// Registers of VECTOR numbers, for the kernels beside this file. `load` and `store` need no
// alignment.

#pragma once

#include <cstdint>

typedef float Vector __attribute__((vector_size(VECTOR * sizeof(float)), aligned(4), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector values) { *reinterpret_cast<Vector*>(to) = values; }
inline Vector negative_part(Vector z) { return z > 0 ? Vector{} : z; }
// NaN in `values` is handed on.
inline Vector at_least(Vector values, Vector least) { return values < least ? least : values; }
inline Vector relu(Vector x) { return at_least(x, Vector{}); }
// The larger one; NaN if either is.
inline Vector larger(Vector x, Vector y) { return (y > x) | (y != y) ? y : x; }

// Numbers of a cache line, and of a second-level cache.
constexpr int64_t LINE = 64 / sizeof(float), CACHE = (1 << 20) / sizeof(float);

// Ask for `count` numbers that are read soon. Not by __builtin_prefetch: a function that does nothing
// else has no effect for GCC, which leaves out what calls it.
inline void fetch(const float* from, int64_t count) {
    for (int64_t i = 0; i < count; i += LINE) asm volatile("prefetcht0 %0" : : "m"(from[i]));
}
