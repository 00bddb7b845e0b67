/* Purpose: the primitives at the machine's native width: IG_W lanes of 32 bits, IG_W / 2 of 64.
   GCC/Clang vector extensions where they say it all; what needs the machine's own instructions is in one file per ISA.
   Every primitive rounds as IEEE 754 says, so the three files give equal bits. */
#ifndef IG_VECTOR_H
#define IG_VECTOR_H

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define IG_WIDEST 16
#elif defined(__AVX2__) && defined(__FMA__)
#define IG_WIDEST 8
#else
#define IG_WIDEST 4
#endif
#if defined(IG_FORCE_WIDTH)
#define IG_W IG_FORCE_WIDTH
#else
#define IG_W IG_WIDEST
#endif
#if IG_W != 16 && IG_W != 8 && IG_W != 4
#error "IG_FORCE_WIDTH must be 16, 8 or 4"
#endif

/* Lists of lanes. */
#define IG_LANES_16(M) M(0), M(1), M(2), M(3), M(4), M(5), M(6), M(7), M(8), M(9), M(10), M(11), M(12), M(13), M(14), M(15)
#define IG_LANES_8(M) M(0), M(1), M(2), M(3), M(4), M(5), M(6), M(7)
#define IG_LANES_4(M) M(0), M(1), M(2), M(3)
#define IG_LANES_2(M) M(0), M(1)
#define IG_COUNT_16 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define IG_COUNT_8 0, 1, 2, 3, 4, 5, 6, 7
#define IG_COUNT_4 0, 1, 2, 3
#define IG_COUNT_2 0, 1
#define IG_LOW_16 0, 1, 2, 3, 4, 5, 6, 7
#define IG_HIGH_16 8, 9, 10, 11, 12, 13, 14, 15
#define IG_EVEN_16 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define IG_TWICE_LOW_16 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7
#define IG_TWICE_HIGH_16 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15
#define IG_LOW_8 0, 1, 2, 3
#define IG_HIGH_8 4, 5, 6, 7
#define IG_EVEN_8 0, 2, 4, 6, 8, 10, 12, 14
#define IG_TWICE_LOW_8 0, 0, 1, 1, 2, 2, 3, 3
#define IG_TWICE_HIGH_8 4, 4, 5, 5, 6, 6, 7, 7
#define IG_LOW_4 0, 1
#define IG_HIGH_4 2, 3
#define IG_EVEN_4 0, 2, 4, 6
#define IG_TWICE_LOW_4 0, 0, 1, 1
#define IG_TWICE_HIGH_4 2, 2, 3, 3
#define IG_SWAP_16_8 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7
#define IG_SWAP_16_4 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11
#define IG_SWAP_16_2 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
#define IG_SWAP_16_1 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#define IG_SWAP_8_4 4, 5, 6, 7, 0, 1, 2, 3
#define IG_SWAP_8_2 2, 3, 0, 1, 6, 7, 4, 5
#define IG_SWAP_8_1 1, 0, 3, 2, 5, 4, 7, 6
#define IG_SWAP_4_2 2, 3, 0, 1
#define IG_SWAP_4_1 1, 0, 3, 2
#define IG_SWAP_2_1 1, 0
#if IG_W == 16
#define IG_W2 8
#elif IG_W == 8
#define IG_W2 4
#else
#define IG_W2 2
#endif
#define IG_LANES_OF(n) IG_PASTE(IG_LANES_, n)
#define IG_LANES32(M) IG_LANES_OF(IG_W)(M)
#define IG_LANES64(M) IG_LANES_OF(IG_W2)(M)
#define IG_LIST(name) IG_PASTE(IG_##name##_, IG_W)

typedef float igv_f32 __attribute__((vector_size(4 * IG_W)));
typedef int32_t igv_i32 __attribute__((vector_size(4 * IG_W)));
typedef uint32_t igv_u32 __attribute__((vector_size(4 * IG_W)));
typedef double igv_f64 __attribute__((vector_size(4 * IG_W)));
typedef int64_t igv_i64 __attribute__((vector_size(4 * IG_W)));
typedef uint64_t igv_u64 __attribute__((vector_size(4 * IG_W)));
typedef float igv_half_f32 __attribute__((vector_size(2 * IG_W)));
typedef int32_t igv_half_i32 __attribute__((vector_size(2 * IG_W)));
typedef uint32_t igv_half_u32 __attribute__((vector_size(2 * IG_W)));
typedef int16_t igv_i16 __attribute__((vector_size(2 * IG_W)));
typedef int8_t igv_i8 __attribute__((vector_size(IG_W)));
typedef uint8_t igv_u8 __attribute__((vector_size(IG_W)));

/* Two vectors' lanes picked by a list, and halves of a vector. */
#if defined(__clang__)
#define IG_SHUFFLE(I, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define IG_SHUFFLE(I, a, b, ...) __builtin_shuffle(a, b, (I){__VA_ARGS__})
#endif
#if defined(__clang__) || __GNUC__ >= 12
#define IG_HALVES(T) \
  IG_INLINE igv_half_##T igv_low_##T(igv_##T x) { return __builtin_shufflevector(x, x, IG_LIST(LOW)); } \
  IG_INLINE igv_half_##T igv_high_##T(igv_##T x) { return __builtin_shufflevector(x, x, IG_LIST(HIGH)); } \
  IG_INLINE igv_##T igv_whole_##T(igv_half_##T a, igv_half_##T b) { return __builtin_shufflevector(a, b, IG_LIST(COUNT)); }
#else
#define IG_HALVES(T) \
  typedef union { igv_##T whole; igv_half_##T half[2]; } igv_halves_##T; \
  IG_INLINE igv_half_##T igv_low_##T(igv_##T x) { igv_halves_##T u; u.whole = x; return u.half[0]; } \
  IG_INLINE igv_half_##T igv_high_##T(igv_##T x) { igv_halves_##T u; u.whole = x; return u.half[1]; } \
  IG_INLINE igv_##T igv_whole_##T(igv_half_##T a, igv_half_##T b) { \
    igv_halves_##T u; u.half[0] = a; u.half[1] = b; return u.whole; }
#endif
IG_HALVES(f32)
IG_HALVES(i32)
IG_HALVES(u32)


/* Stores past the caches, of a vector's bytes to an aligned place: the lines are not read before they are written.
   Weakly ordered: IG_STREAMED makes them seen before what follows.  IG_PLAIN_STORES (for comparisons) does without. */
#if IG_W == 16
#define IG_STREAM_VECTOR __builtin_ia32_movntps512
#elif IG_W == 8
#define IG_STREAM_VECTOR __builtin_ia32_movntps256
#elif defined(__SSE__)
#define IG_STREAM_VECTOR __builtin_ia32_movntps
#endif
#if defined(IG_PLAIN_STORES) || !defined(__SSE__)
#define IG_STREAMED
#define IG_STREAM(p, v) *(igv_f32_at *)(p) = (v)
#elif defined(__clang__)
#define IG_STREAMED __builtin_ia32_sfence();
#define IG_STREAM(p, v) __builtin_nontemporal_store((v), (igv_f32 *)(p))
#else
#define IG_STREAMED __builtin_ia32_sfence();
#define IG_STREAM(p, v) IG_STREAM_VECTOR((float *)(p), (v))
#endif
/* What the address of a block has to have none of to be streamed: to whole cache lines, or not at all. */
#define IG_FAR(far) ((far) ? (uintptr_t)63 : ~(uintptr_t)0)

/* Every second element, of a from its first on and of b from its second on. */
#define IG_EVENLY_16 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27, 29, 31
#define IG_EVENLY_8 0, 2, 4, 6, 9, 11, 13, 15
#define IG_EVENLY_4 0, 2, 5, 7
#define IG_SHUFFLE_EVENLY(a, b, list) IG_SHUFFLE(igv_i32, a, b, list)
IG_INLINE igv_f32 igv_evenly_f32(igv_f32 a, igv_f32 b) { return IG_SHUFFLE_EVENLY(a, b, IG_LIST(EVENLY)); }
IG_INLINE igv_i32 igv_evenly_i32(igv_i32 a, igv_i32 b) { return IG_SHUFFLE_EVENLY(a, b, IG_LIST(EVENLY)); }

#define IG_SAME(i) x
#define IG_VECTOR_NUMBER(T, N, S) \
  typedef igv_##T igv_##T##_at __attribute__((aligned(sizeof(S)), may_alias)); \
  IG_INLINE igv_##T igv_splat_##T(S x) { return (igv_##T){IG_LANES##N(IG_SAME)}; } \
  IG_INLINE igv_##T igv_fetch_##T(const S *p) { return *(const igv_##T##_at *)p; } \
  IG_INLINE void igv_keep_##T(S *p, igv_##T v) { *(igv_##T##_at *)p = v; } \
  IG_INLINE igv_##T igv_add_##T(igv_##T a, igv_##T b) { return a + b; } \
  IG_INLINE igv_##T igv_sub_##T(igv_##T a, igv_##T b) { return a - b; } \
  IG_INLINE igv_##T igv_mul_##T(igv_##T a, igv_##T b) { return a * b; }
IG_VECTOR_NUMBER(f32, 32, float)
IG_VECTOR_NUMBER(f64, 64, double)
/* Integer arithmetic is done unsigned, so that it wraps. */
#define add_signed(T, U, name, op) \
  IG_INLINE igv_##T igv_##name##_##T(igv_##T a, igv_##T b) { return (igv_##T)((igv_##U)a op (igv_##U)b); }
#define IG_VECTOR_INT(T, U, N, S) \
  typedef igv_##T igv_##T##_at __attribute__((aligned(sizeof(S)), may_alias)); \
  IG_INLINE igv_##T igv_splat_##T(S x) { return (igv_##T){IG_LANES##N(IG_SAME)}; } \
  IG_INLINE igv_##T igv_fetch_##T(const S *p) { return *(const igv_##T##_at *)p; } \
  IG_INLINE void igv_keep_##T(S *p, igv_##T v) { *(igv_##T##_at *)p = v; } \
  add_signed(T, U, add, +) add_signed(T, U, sub, -) add_signed(T, U, mul, *) \
  add_signed(T, U, and, &) add_signed(T, U, or, |) add_signed(T, U, xor, ^) \
  IG_INLINE igv_##T igv_not_##T(igv_##T a) { return ~a; } \
  IG_INLINE igv_##T igv_left_##T(igv_##T a, int n) { return (igv_##T)((igv_##U)a << n); } \
  IG_INLINE igv_##T igv_right_##T(igv_##T a, int n) { return a >> n; } \
  IG_INLINE igv_##T igv_logical_right_##T(igv_##T a, int n) { return (igv_##T)((igv_##U)a >> n); } \
  IG_INLINE igv_##T igv_left_each_##T(igv_##T a, igv_##T n) { return (igv_##T)((igv_##U)a << (igv_##U)n); } \
  IG_INLINE igv_##T igv_right_each_##T(igv_##T a, igv_##T n) { return a >> n; }
IG_VECTOR_INT(i32, u32, 32, int32_t)
IG_VECTOR_INT(u32, u32, 32, uint32_t)
IG_VECTOR_INT(i64, u64, 64, int64_t)
#undef add_signed

IG_INLINE igv_f32 igv_div_f32(igv_f32 a, igv_f32 b) { return a / b; }
IG_INLINE igv_f64 igv_div_f64(igv_f64 a, igv_f64 b) { return a / b; }
IG_INLINE igv_i32 igv_bitcast_f32_i32(igv_f32 x) { return (igv_i32)x; }
IG_INLINE igv_f32 igv_bitcast_i32_f32(igv_i32 x) { return (igv_f32)x; }
IG_INLINE igv_u32 igv_bitcast_f32_u32(igv_f32 x) { return (igv_u32)x; }
IG_INLINE igv_f32 igv_bitcast_u32_f32(igv_u32 x) { return (igv_f32)x; }
IG_INLINE igv_i64 igv_bitcast_f64_i64(igv_f64 x) { return (igv_i64)x; }
IG_INLINE igv_f64 igv_bitcast_i64_f64(igv_i64 x) { return (igv_f64)x; }
IG_INLINE igv_i32 igv_cast_u32_i32(igv_u32 x) { return (igv_i32)x; }
IG_INLINE igv_u32 igv_cast_i32_u32(igv_i32 x) { return (igv_u32)x; }

/* Conversions.  The float to integer ones are only called with values in range. */
IG_INLINE igv_f32 igv_cast_i32_f32(igv_i32 x) { return __builtin_convertvector(x, igv_f32); }
IG_INLINE igv_f32 igv_cast_u32_f32(igv_u32 x) { return __builtin_convertvector(x, igv_f32); }
IG_INLINE igv_i32 igv_convert_f32_i32(igv_f32 x) { return __builtin_convertvector(x, igv_i32); }
IG_INLINE igv_i64 igv_convert_f64_i64(igv_f64 x) { return __builtin_convertvector(x, igv_i64); }
IG_INLINE igv_f64 igv_cast_i64_f64(igv_i64 x) { return __builtin_convertvector(x, igv_f64); }
#define IG_VECTOR_WIDEN(T, U) \
  IG_INLINE igv_##U igv_widen_low_##T(igv_##T x) { return __builtin_convertvector(igv_low_##T(x), igv_##U); } \
  IG_INLINE igv_##U igv_widen_high_##T(igv_##T x) { return __builtin_convertvector(igv_high_##T(x), igv_##U); }
IG_VECTOR_WIDEN(f32, f64)
IG_VECTOR_WIDEN(i32, i64)
IG_VECTOR_WIDEN(u32, i64)
IG_INLINE igv_f32 igv_narrow_f64_f32(igv_f64 a, igv_f64 b) {
  return igv_whole_f32(__builtin_convertvector(a, igv_half_f32), __builtin_convertvector(b, igv_half_f32));
}
IG_INLINE igv_f32 igv_narrow_i64_f32(igv_i64 a, igv_i64 b) {
  return igv_whole_f32(__builtin_convertvector(a, igv_half_f32), __builtin_convertvector(b, igv_half_f32));
}
IG_INLINE igv_i32 igv_narrow_i64_i32(igv_i64 a, igv_i64 b) {
  return IG_SHUFFLE(igv_i32, (igv_i32)a, (igv_i32)b, IG_LIST(EVEN));
}


#if IG_W == 16 && IG_WIDEST == 16 && !defined(__clang__)
#include "ig_vector_avx512.h"
#else
/* Masks are vectors of 0 and -1. */
typedef igv_i32 igv_m32;
typedef igv_i64 igv_m64;
#define IG_VECTOR_COMPARE(T, M) \
  IG_INLINE igv_##M igv_eq_##T(igv_##T a, igv_##T b) { return (igv_##M)(a == b); } \
  IG_INLINE igv_##M igv_lt_##T(igv_##T a, igv_##T b) { return (igv_##M)(a < b); } \
  IG_INLINE igv_##M igv_le_##T(igv_##T a, igv_##T b) { return (igv_##M)(a <= b); }
IG_VECTOR_COMPARE(f32, m32)
IG_VECTOR_COMPARE(i32, m32)
IG_VECTOR_COMPARE(u32, m32)
IG_VECTOR_COMPARE(f64, m64)
IG_VECTOR_COMPARE(i64, m64)
#define IG_VECTOR_MASK(M) \
  IG_INLINE igv_##M igv_and_##M(igv_##M a, igv_##M b) { return a & b; } \
  IG_INLINE igv_##M igv_or_##M(igv_##M a, igv_##M b) { return a | b; } \
  IG_INLINE igv_##M igv_xor_##M(igv_##M a, igv_##M b) { return a ^ b; } \
  IG_INLINE igv_##M igv_not_##M(igv_##M a) { return ~a; }
IG_VECTOR_MASK(m32)
IG_VECTOR_MASK(m64)
IG_INLINE igv_m32 igv_splat_m32(int x) { return igv_splat_i32(x ? -1 : 0); }
IG_INLINE igv_m32 igv_pack_m32(igv_m64 a, igv_m64 b) { return igv_narrow_i64_i32(a, b); }
IG_INLINE igv_m64 igv_low_m64(igv_m32 m) { return (igv_m64)IG_SHUFFLE(igv_i32, m, m, IG_LIST(TWICE_LOW)); }
IG_INLINE igv_m64 igv_high_m64(igv_m32 m) { return (igv_m64)IG_SHUFFLE(igv_i32, m, m, IG_LIST(TWICE_HIGH)); }
#if IG_W == 8 && IG_WIDEST >= 8 && !defined(__clang__)
#include "ig_vector_avx2.h"
#else
#include "ig_vector_generic.h"
#endif
/* The first n lanes. */
#define IG_ITSELF(i) i
IG_INLINE igv_m32 igv_tail_m32(int n) { return igv_lt_i32((igv_i32){IG_LANES32(IG_ITSELF)}, igv_splat_i32(n)); }
IG_INLINE igv_m64 igv_tail_m64(int n) { return igv_lt_i64((igv_i64){IG_LANES64(IG_ITSELF)}, igv_splat_i64(n)); }
#endif

/* lesser(a, b) is a if a < b, else b (so b when either is NaN); greater likewise. */
#if !defined(IG_HAS_LESSER)
#define IG_VECTOR_LESSER(T) \
  IG_INLINE igv_##T igv_lesser_##T(igv_##T a, igv_##T b) { return igv_sel_##T(igv_lt_##T(a, b), a, b); } \
  IG_INLINE igv_##T igv_greater_##T(igv_##T a, igv_##T b) { return igv_sel_##T(igv_lt_##T(b, a), a, b); }
IG_VECTOR_LESSER(f32)
IG_VECTOR_LESSER(f64)
#endif

/* minimum, maximum: NaN if either is, and -0 < +0. */
#if !defined(IG_HAS_EXTREMES)
#define IG_VECTOR_EXTREMES(T, J) \
  IG_INLINE igv_##T igv_maximum_##T(igv_##T a, igv_##T b) { \
    igv_##T r = igv_sel_##T(igv_eq_##T(a, b), (igv_##T)((igv_##J)a & (igv_##J)b), igv_greater_##T(b, a)); \
    return igv_sel_##T(igv_eq_##T(b, b), r, b); } \
  IG_INLINE igv_##T igv_minimum_##T(igv_##T a, igv_##T b) { \
    igv_##T r = igv_sel_##T(igv_eq_##T(a, b), (igv_##T)((igv_##J)a | (igv_##J)b), igv_lesser_##T(b, a)); \
    return igv_sel_##T(igv_eq_##T(b, b), r, b); }
IG_VECTOR_EXTREMES(f32, i32)
IG_VECTOR_EXTREMES(f64, i64)
#endif

/* p * 2^k with one rounding, for p near 1; t = k + 1.5 * 2^23 (2^52) carries k in its low bits: two exact powers. */
#if !defined(IG_HAS_SCALE)
IG_INLINE igv_f32 igv_scale_f32(igv_f32 p, igv_f32 t, igv_f32 k) {
  igv_i32 n = (igv_i32)t - igv_splat_i32(0x4b400000), h = n >> 1;
  (void)k;
  return p * (igv_f32)((h + 127) << 23) * (igv_f32)((n - h + 127) << 23);
}
IG_INLINE igv_f64 igv_scale_f64(igv_f64 p, igv_f64 t, igv_f64 k) {
  igv_f64 m = igv_splat_f64(0x1.8p52), u = igv_fma_f64(k, igv_splat_f64(0.5), m), h = u - m, w = (k - h) + m;
  (void)t;
  return p * (igv_f64)(((igv_i64)u + 1023) << 52) * (igv_f64)(((igv_i64)w + 1023) << 52);
}
#endif

/* Joins of the lanes of one vector by halves: lane i with lane i + h for h = n/2 .. 1. */
#define IG_STEP32(T, op, h) x = igv_##op##_##T(x, IG_SHUFFLE(igv_i32, x, x, IG_LIST_SWAP(IG_W, h)));
#define IG_STEP64(T, op, h) x = igv_##op##_##T(x, IG_SHUFFLE(igv_i64, x, x, IG_LIST_SWAP(IG_W2, h)));
#define IG_LIST_SWAP_(n, h) IG_SWAP_##n##_##h
#define IG_LIST_SWAP(n, h) IG_LIST_SWAP_(n, h)
#if IG_W == 16
#define IG_STEPS32(T, op) IG_STEP32(T, op, 8) IG_STEP32(T, op, 4) IG_STEP32(T, op, 2) IG_STEP32(T, op, 1)
#define IG_STEPS64(T, op) IG_STEP64(T, op, 4) IG_STEP64(T, op, 2) IG_STEP64(T, op, 1)
#elif IG_W == 8
#define IG_STEPS32(T, op) IG_STEP32(T, op, 4) IG_STEP32(T, op, 2) IG_STEP32(T, op, 1)
#define IG_STEPS64(T, op) IG_STEP64(T, op, 2) IG_STEP64(T, op, 1)
#else
#define IG_STEPS32(T, op) IG_STEP32(T, op, 2) IG_STEP32(T, op, 1)
#define IG_STEPS64(T, op) IG_STEP64(T, op, 1)
#endif
#define IG_VECTOR_EXTREMES_INT(T) \
  IG_INLINE igv_##T igv_maximum_##T(igv_##T a, igv_##T b) { return igv_sel_##T(igv_lt_##T(a, b), b, a); } \
  IG_INLINE igv_##T igv_minimum_##T(igv_##T a, igv_##T b) { return igv_sel_##T(igv_lt_##T(b, a), b, a); }
IG_VECTOR_EXTREMES_INT(i32)
IG_VECTOR_EXTREMES_INT(u32)
IG_VECTOR_EXTREMES_INT(i64)
#define IG_VECTOR_JOIN(T, N, S) \
  IG_INLINE S igv_join_add_##T(igv_##T x) { IG_STEPS##N(T, add) return x[0]; } \
  IG_INLINE S igv_join_mul_##T(igv_##T x) { IG_STEPS##N(T, mul) return x[0]; } \
  IG_INLINE S igv_join_maximum_##T(igv_##T x) { IG_STEPS##N(T, maximum) return x[0]; } \
  IG_INLINE S igv_join_minimum_##T(igv_##T x) { IG_STEPS##N(T, minimum) return x[0]; }
IG_VECTOR_JOIN(f32, 32, float)
IG_VECTOR_JOIN(i32, 32, int32_t)
IG_VECTOR_JOIN(u32, 32, uint32_t)
IG_VECTOR_JOIN(f64, 64, double)
IG_VECTOR_JOIN(i64, 64, int64_t)

#if !defined(IG_HAS_MULHI)
IG_INLINE igv_u32 igv_mulhi_u32(igv_u32 a, igv_u32 b) {
  igv_u64 low = (igv_u64)igv_splat_i64(0xffffffff);
  igv_u64 even = ((igv_u64)a & low) * ((igv_u64)b & low), odd = ((igv_u64)a >> 32) * ((igv_u64)b >> 32);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a little-endian machine is required"
#endif
  return (igv_u32)((even >> 32) | (odd & ~low));
}
#endif

#include "ig_vector_half.h"

#endif
