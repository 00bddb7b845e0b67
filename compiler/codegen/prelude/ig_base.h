/* Purpose: the words every other header uses: integer types, inlining, name pasting, bit casts of scalars. */
#ifndef IG_BASE_H
#define IG_BASE_H

#if defined(__CUDACC_RTC__)
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <stdint.h>
#endif

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define IG_CUDA 1
#define IG_INLINE static __device__ __forceinline__
#define IG_COLD static __device__ __noinline__
#define IG_TABLE static __device__ const
#define IG_RESTRICT __restrict__
#define IG_PREFETCH(p) ((void)(p))
#define IG_UNLIKELY(x) (x)
#define IG_LIKELY(x) (x)
#else
#define IG_INLINE static inline __attribute__((always_inline, unused))
#define IG_COLD static __attribute__((noinline, cold, unused))
#define IG_TABLE static const __attribute__((unused))
#define IG_RESTRICT __restrict__
#define IG_PREFETCH(p) __builtin_prefetch((p), 0, 2) /* into L2, for reading */
#define IG_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define IG_LIKELY(x) __builtin_expect(!!(x), 1)
#endif

#define IG_PASTE_(a, b) a##b
#define IG_PASTE(a, b) IG_PASTE_(a, b)
#define IG_NAME_(l, x) ig##l##_##x
#define IG_NAME(l, x) IG_NAME_(l, x)
#define IGN(x) IG_NAME(IG_L, x)                 /* the name x for blocks of IG_L elements */
#define IG_TYPED_(l, x, t) ig##l##_##x##_##t
#define IG_TYPED(l, x, t) IG_TYPED_(l, x, t)
#define IGT(x) IG_TYPED(IG_L, x, IG_T)          /* the same, for the element type IG_T */

#define IG_INF_f32 (__builtin_inff())
#define IG_INF_f64 (__builtin_inf())
#if defined(IG_CUDA)
#undef IG_INF_f32
#undef IG_INF_f64
#define IG_INF_f32 (__int_as_float(0x7f800000))
#define IG_INF_f64 (__longlong_as_double(0x7ff0000000000000ll))
#define IG_NAN_f32 (__int_as_float(0x7fc00000))
#define IG_NAN_f64 (__longlong_as_double(0x7ff8000000000000ll))
#else
#define IG_NAN_f32 (__builtin_nanf(""))
#define IG_NAN_f64 (__builtin_nan(""))
#endif

/* Bits of one scalar as another type of the same size. */
#if defined(IG_CUDA)
IG_INLINE int32_t ig_bits_f32(float x) { return __float_as_int(x); }
IG_INLINE float ig_float_i32(int32_t x) { return __int_as_float(x); }
IG_INLINE int64_t ig_bits_f64(double x) { return __double_as_longlong(x); }
IG_INLINE double ig_float_i64(int64_t x) { return __longlong_as_double(x); }
#else
IG_INLINE int32_t ig_bits_f32(float x) { int32_t r; __builtin_memcpy(&r, &x, 4); return r; }
IG_INLINE float ig_float_i32(int32_t x) { float r; __builtin_memcpy(&r, &x, 4); return r; }
IG_INLINE int64_t ig_bits_f64(double x) { int64_t r; __builtin_memcpy(&r, &x, 8); return r; }
IG_INLINE double ig_float_i64(int64_t x) { double r; __builtin_memcpy(&r, &x, 8); return r; }
#endif

#endif
