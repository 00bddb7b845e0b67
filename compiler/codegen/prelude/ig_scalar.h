/* Purpose: the primitives for blocks of one element: plain C scalars, on the CPU and, with the same text, in CUDA.
   They define the meaning that the vector primitives repeat lane by lane. */
#ifndef IG_SCALAR_H
#define IG_SCALAR_H

typedef float ig1_f32;
typedef double ig1_f64;
typedef int64_t ig1_i64;
typedef int32_t ig1_i32;
typedef uint32_t ig1_u32;
typedef int ig1_bool;
typedef int ig1_m64;

#define IG_SCALAR_NUMBER(T) \
  IG_INLINE ig1_##T ig1_splat_##T(ig1_##T x) { return x; } \
  IG_INLINE ig1_bool ig1_eq_##T(ig1_##T a, ig1_##T b) { return a == b; } \
  IG_INLINE ig1_bool ig1_lt_##T(ig1_##T a, ig1_##T b) { return a < b; } \
  IG_INLINE ig1_bool ig1_le_##T(ig1_##T a, ig1_##T b) { return a <= b; } \
  IG_INLINE ig1_##T ig1_select_##T(ig1_bool m, ig1_##T a, ig1_##T b) { return m ? a : b; } \
  IG_INLINE ig1_bool ig1_mask_eq_##T(ig1_##T a, ig1_##T b) { return a == b; } \
  IG_INLINE ig1_bool ig1_mask_lt_##T(ig1_##T a, ig1_##T b) { return a < b; } \
  IG_INLINE ig1_bool ig1_mask_le_##T(ig1_##T a, ig1_##T b) { return a <= b; } \
  IG_INLINE ig1_##T ig1_sel_##T(int m, ig1_##T a, ig1_##T b) { return m ? a : b; }
IG_SCALAR_NUMBER(f32)
IG_SCALAR_NUMBER(f64)
IG_SCALAR_NUMBER(i64)
IG_SCALAR_NUMBER(i32)
IG_SCALAR_NUMBER(u32)

#define IG_SCALAR_FLOAT(T) \
  IG_INLINE ig1_##T ig1_add_##T(ig1_##T a, ig1_##T b) { return a + b; } \
  IG_INLINE ig1_##T ig1_sub_##T(ig1_##T a, ig1_##T b) { return a - b; } \
  IG_INLINE ig1_##T ig1_mul_##T(ig1_##T a, ig1_##T b) { return a * b; } \
  IG_INLINE ig1_##T ig1_lesser_##T(ig1_##T a, ig1_##T b) { return a < b ? a : b; } \
  IG_INLINE ig1_##T ig1_greater_##T(ig1_##T a, ig1_##T b) { return a > b ? a : b; }
IG_SCALAR_FLOAT(f32)
IG_SCALAR_FLOAT(f64)

#if defined(IG_CUDA)
IG_INLINE float ig1_div_f32(float a, float b) { return __fdiv_rn(a, b); }
IG_INLINE double ig1_div_f64(double a, double b) { return __ddiv_rn(a, b); }
IG_INLINE float ig1_sqrt_f32(float a) { return __fsqrt_rn(a); }
IG_INLINE double ig1_sqrt_f64(double a) { return __dsqrt_rn(a); }
IG_INLINE float ig1_fma_f32(float a, float b, float c) { return __fmaf_rn(a, b, c); }
IG_INLINE double ig1_fma_f64(double a, double b, double c) { return __fma_rn(a, b, c); }
IG_INLINE float ig1_fnma_f32(float a, float b, float c) { return __fmaf_rn(-a, b, c); }
IG_INLINE double ig1_fnma_f64(double a, double b, double c) { return __fma_rn(-a, b, c); }
#define IG_SCALAR_ROUND(name, f32_call, f64_call) \
  IG_INLINE float ig1_##name##_f32(float a) { return f32_call(a); } \
  IG_INLINE double ig1_##name##_f64(double a) { return f64_call(a); }
IG_SCALAR_ROUND(floor, floorf, floor)
IG_SCALAR_ROUND(ceil, ceilf, ceil)
IG_SCALAR_ROUND(trunc, truncf, trunc)
IG_SCALAR_ROUND(round, rintf, rint)
#else
IG_INLINE float ig1_div_f32(float a, float b) { return a / b; }
IG_INLINE double ig1_div_f64(double a, double b) { return a / b; }
IG_INLINE float ig1_sqrt_f32(float a) { return __builtin_sqrtf(a); }
IG_INLINE double ig1_sqrt_f64(double a) { return __builtin_sqrt(a); }
IG_INLINE float ig1_fma_f32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
IG_INLINE double ig1_fma_f64(double a, double b, double c) { return __builtin_fma(a, b, c); }
IG_INLINE float ig1_fnma_f32(float a, float b, float c) { return __builtin_fmaf(-a, b, c); }
IG_INLINE double ig1_fnma_f64(double a, double b, double c) { return __builtin_fma(-a, b, c); }
IG_INLINE float ig1_floor_f32(float a) { return __builtin_floorf(a); }
IG_INLINE double ig1_floor_f64(double a) { return __builtin_floor(a); }
IG_INLINE float ig1_ceil_f32(float a) { return __builtin_ceilf(a); }
IG_INLINE double ig1_ceil_f64(double a) { return __builtin_ceil(a); }
IG_INLINE float ig1_trunc_f32(float a) { return __builtin_truncf(a); }
IG_INLINE double ig1_trunc_f64(double a) { return __builtin_trunc(a); }
IG_INLINE float ig1_round_f32(float a) { return __builtin_rintf(a); }
IG_INLINE double ig1_round_f64(double a) { return __builtin_rint(a); }
#endif

IG_INLINE int32_t ig1_bitcast_f32_i32(float x) { return ig_bits_f32(x); }
IG_INLINE float ig1_bitcast_i32_f32(int32_t x) { return ig_float_i32(x); }
IG_INLINE uint32_t ig1_bitcast_f32_u32(float x) { return (uint32_t)ig_bits_f32(x); }
IG_INLINE float ig1_bitcast_u32_f32(uint32_t x) { return ig_float_i32((int32_t)x); }
IG_INLINE int64_t ig1_bitcast_f64_i64(double x) { return ig_bits_f64(x); }
IG_INLINE double ig1_bitcast_i64_f64(int64_t x) { return ig_float_i64(x); }

/* minimum, maximum: NaN if either is, and -0 < +0. */
#define IG_SCALAR_EXTREMES(T, J) \
  IG_INLINE ig1_##T ig1_maximum_##T(ig1_##T a, ig1_##T b) { \
    return a > b ? a : a < b ? b : a == b ? ig1_bitcast_##J##_##T(ig1_bitcast_##T##_##J(a) & ig1_bitcast_##T##_##J(b)) : a + b; } \
  IG_INLINE ig1_##T ig1_minimum_##T(ig1_##T a, ig1_##T b) { \
    return a < b ? a : a > b ? b : a == b ? ig1_bitcast_##J##_##T(ig1_bitcast_##T##_##J(a) | ig1_bitcast_##T##_##J(b)) : a + b; }
IG_SCALAR_EXTREMES(f32, i32)
IG_SCALAR_EXTREMES(f64, i64)

/* p * 2^k with one rounding, for p near 1; t = k + 1.5 * 2^23 (2^52) carries k in its low bits. */
IG_INLINE float ig1_scale_f32(float p, float t, float k) {
  int32_t n = ig_bits_f32(t) - 0x4b400000, h = n >> 1;
  (void)k;
  return p * ig_float_i32((int32_t)((uint32_t)(h + 127) << 23)) * ig_float_i32((int32_t)((uint32_t)(n - h + 127) << 23));
}
IG_INLINE double ig1_scale_f64(double p, double t, double k) {
  int64_t n = ig_bits_f64(t) - 0x4338000000000000, h = n >> 1;
  (void)k;
  return p * ig_float_i64((int64_t)((uint64_t)(h + 1023) << 52)) * ig_float_i64((int64_t)((uint64_t)(n - h + 1023) << 52));
}

/* Integers wrap: the arithmetic is done unsigned. */
#define IG_SCALAR_INT(T, U) \
  IG_INLINE ig1_##T ig1_add_##T(ig1_##T a, ig1_##T b) { return (ig1_##T)((U)a + (U)b); } \
  IG_INLINE ig1_##T ig1_sub_##T(ig1_##T a, ig1_##T b) { return (ig1_##T)((U)a - (U)b); } \
  IG_INLINE ig1_##T ig1_mul_##T(ig1_##T a, ig1_##T b) { return (ig1_##T)((U)a * (U)b); } \
  IG_INLINE ig1_##T ig1_and_##T(ig1_##T a, ig1_##T b) { return a & b; } \
  IG_INLINE ig1_##T ig1_or_##T(ig1_##T a, ig1_##T b) { return a | b; } \
  IG_INLINE ig1_##T ig1_xor_##T(ig1_##T a, ig1_##T b) { return a ^ b; } \
  IG_INLINE ig1_##T ig1_not_##T(ig1_##T a) { return ~a; } \
  IG_INLINE ig1_##T ig1_left_##T(ig1_##T a, int n) { return (ig1_##T)((U)a << n); } \
  IG_INLINE ig1_##T ig1_right_##T(ig1_##T a, int n) { return a >> n; } \
  IG_INLINE ig1_##T ig1_logical_right_##T(ig1_##T a, int n) { return (ig1_##T)((U)a >> n); }
IG_SCALAR_INT(i64, uint64_t)
IG_SCALAR_INT(i32, uint32_t)
IG_SCALAR_INT(u32, uint32_t)

/* Division: x / 0 = 0, x % 0 = 0, MIN / -1 wraps. */
#define IG_SCALAR_DIVIDE(T, U) \
  IG_INLINE ig1_##T ig1_truncdiv_##T(ig1_##T a, ig1_##T b) { \
    return b == 0 ? 0 : b == -1 ? (ig1_##T)(0 - (U)a) : a / b; } \
  IG_INLINE ig1_##T ig1_truncmod_##T(ig1_##T a, ig1_##T b) { return b == 0 || b == -1 ? 0 : a % b; } \
  IG_INLINE ig1_##T ig1_floordiv_##T(ig1_##T a, ig1_##T b) { \
    if (b == 0) return 0; \
    if (b == -1) return (ig1_##T)(0 - (U)a); \
    { ig1_##T q = a / b; return q - (q * b != a && (a < 0) != (b < 0)); } } \
  IG_INLINE ig1_##T ig1_floormod_##T(ig1_##T a, ig1_##T b) { \
    if (b == 0 || b == -1) return 0; \
    { ig1_##T r = a % b; return r != 0 && (r < 0) != (b < 0) ? r + b : r; } }
IG_SCALAR_DIVIDE(i64, uint64_t)
IG_SCALAR_DIVIDE(i32, uint32_t)
IG_INLINE uint32_t ig1_truncdiv_u32(uint32_t a, uint32_t b) { return b == 0 ? 0 : a / b; }
IG_INLINE uint32_t ig1_truncmod_u32(uint32_t a, uint32_t b) { return b == 0 ? 0 : a % b; }
IG_INLINE uint32_t ig1_floordiv_u32(uint32_t a, uint32_t b) { return ig1_truncdiv_u32(a, b); }
IG_INLINE uint32_t ig1_floormod_u32(uint32_t a, uint32_t b) { return ig1_truncmod_u32(a, b); }
IG_INLINE uint32_t ig1_mulhi_u32(uint32_t a, uint32_t b) { return (uint32_t)(((uint64_t)a * b) >> 32); }

/* Shifts by any count: nothing is left of a value shifted by its width or more (or by a negative count). */
#define IG_SCALAR_SHIFT(T, U, bits) \
  IG_INLINE ig1_##T ig1_shl_##T(ig1_##T a, ig1_##T n) { return (U)n < bits ? (ig1_##T)((U)a << n) : 0; } \
  IG_INLINE ig1_##T ig1_shr_##T(ig1_##T a, ig1_##T n) { return a >> ((U)n < bits ? n : bits - 1); }
IG_SCALAR_SHIFT(i64, uint64_t, 64)
IG_SCALAR_SHIFT(i32, uint32_t, 32)
IG_INLINE uint32_t ig1_shl_u32(uint32_t a, uint32_t n) { return n < 32 ? a << n : 0; }
IG_INLINE uint32_t ig1_shr_u32(uint32_t a, uint32_t n) { return n < 32 ? a >> n : 0; }

IG_INLINE ig1_bool ig1_splat_bool(int x) { return x != 0; }
IG_INLINE ig1_bool ig1_and_bool(int a, int b) { return a & b; }
IG_INLINE ig1_bool ig1_or_bool(int a, int b) { return a | b; }
IG_INLINE ig1_bool ig1_xor_bool(int a, int b) { return a ^ b; }
IG_INLINE ig1_bool ig1_not_bool(int a) { return !a; }
IG_INLINE ig1_bool ig1_any_bool(int a) { return a; }
IG_INLINE ig1_bool ig1_all_bool(int a) { return a; }
IG_INLINE ig1_bool ig1_tail_bool(int n) { return n > 0; }
IG_INLINE int ig1_and_m64(int a, int b) { return a & b; }
IG_INLINE int ig1_or_m64(int a, int b) { return a | b; }
IG_INLINE int ig1_not_m64(int a) { return !a; }
IG_INLINE int ig1_any_m64(int a) { return a; }
IG_INLINE int ig1_bool_of_m64(int a) { return a; }
IG_INLINE int ig1_m64_of_bool(int a) { return a; }

/* Conversions that every cast is made of. */
IG_INLINE double ig1_cast_f32_f64(float x) { return (double)x; }
IG_INLINE float ig1_cast_f64_f32(double x) { return (float)x; }
IG_INLINE int64_t ig1_cast_i32_i64(int32_t x) { return x; }
IG_INLINE int64_t ig1_cast_u32_i64(uint32_t x) { return (int64_t)x; }
IG_INLINE int32_t ig1_cast_i64_i32(int64_t x) { return (int32_t)x; }
IG_INLINE uint32_t ig1_cast_i64_u32(int64_t x) { return (uint32_t)x; }
IG_INLINE int32_t ig1_cast_u32_i32(uint32_t x) { return (int32_t)x; }
IG_INLINE uint32_t ig1_cast_i32_u32(int32_t x) { return (uint32_t)x; }
IG_INLINE float ig1_cast_i32_f32(int32_t x) { return (float)x; }
IG_INLINE float ig1_cast_u32_f32(uint32_t x) { return (float)x; }
IG_INLINE float ig1_cast_i64_f32(int64_t x) { return (float)x; }
IG_INLINE double ig1_cast_i64_f64(int64_t x) { return (double)x; }
IG_INLINE int32_t ig1_convert_f32_i32(float x) { return (int32_t)x; }    /* x in range */
IG_INLINE int64_t ig1_convert_f64_i64(double x) { return (int64_t)x; }   /* x in range */

/* Memory: n > 0 when the element is there; a missing one reads as 0. */
#define IG_SCALAR_MEMORY(T, C, S) \
  IG_INLINE ig1_##C ig1_load_##T(const S *p, int n) { return n > 0 ? (ig1_##C)*p : (ig1_##C)0; } \
  IG_INLINE void ig1_store_##T(S *p, ig1_##C v, int n) { if (n > 0) *p = (S)v; } \
  IG_INLINE ig1_##C ig1_strided_##T(const S *p, int64_t stride, int n) { (void)stride; return n > 0 ? (ig1_##C)*p : (ig1_##C)0; } \
  IG_INLINE void ig1_store_strided_##T(S *p, int64_t stride, ig1_##C v, int n) { (void)stride; if (n > 0) *p = (S)v; } \
  IG_INLINE ig1_##C ig1_masked_##T(const S *p, int mask, int n) { return mask && n > 0 ? (ig1_##C)*p : (ig1_##C)0; } \
  IG_INLINE ig1_##C ig1_strided_masked_##T(const S *p, int64_t stride, int mask, int n) { \
    (void)stride; return ig1_masked_##T(p, mask, n); } \
  IG_INLINE ig1_##C ig1_gather_##T(const S *p, int64_t index, int n) { return n > 0 ? (ig1_##C)p[index] : (ig1_##C)0; } \
  IG_INLINE void ig1_scatter_##T(S *p, int64_t index, ig1_##C v, int n) { if (n > 0) p[index] = (S)v; }
IG_SCALAR_MEMORY(f32, f32, float)
IG_SCALAR_MEMORY(f64, f64, double)
IG_SCALAR_MEMORY(i64, i64, int64_t)
IG_SCALAR_MEMORY(i32, i32, int32_t)
IG_SCALAR_MEMORY(u32, u32, uint32_t)
IG_SCALAR_MEMORY(i16, i32, int16_t)
IG_SCALAR_MEMORY(i8, i32, int8_t)
IG_SCALAR_MEMORY(u8, i32, uint8_t)
IG_INLINE int ig1_load_bool(const uint8_t *p, int n) { return n > 0 && *p != 0; }
IG_INLINE void ig1_store_bool(uint8_t *p, int v, int n) { if (n > 0) *p = v != 0; }
IG_INLINE int ig1_strided_bool(const uint8_t *p, int64_t stride, int n) { (void)stride; return n > 0 && *p != 0; }
IG_INLINE void ig1_store_strided_bool(uint8_t *p, int64_t stride, int v, int n) { (void)stride; if (n > 0) *p = v != 0; }
IG_INLINE int ig1_masked_bool(const uint8_t *p, int mask, int n) { return mask && n > 0 && *p != 0; }
IG_INLINE int ig1_strided_masked_bool(const uint8_t *p, int64_t stride, int mask, int n) {
  (void)stride;
  return ig1_masked_bool(p, mask, n);
}
IG_INLINE int ig1_gather_bool(const uint8_t *p, int64_t index, int n) { return n > 0 && p[index] != 0; }
IG_INLINE void ig1_scatter_bool(uint8_t *p, int64_t index, int v, int n) { if (n > 0) p[index] = v != 0; }

IG_INLINE int64_t ig1_iota_i64(int64_t base) { return base; }
IG_INLINE int32_t ig1_iota_i32(int32_t base) { return base; }

#define IG_SCALAR_JOIN(T) \
  IG_INLINE ig1_##T ig1_sum_##T(ig1_##T x) { return x; } \
  IG_INLINE ig1_##T ig1_prod_##T(ig1_##T x) { return x; } \
  IG_INLINE ig1_##T ig1_max_##T(ig1_##T x) { return x; } \
  IG_INLINE ig1_##T ig1_min_##T(ig1_##T x) { return x; }
IG_SCALAR_JOIN(f32)
IG_SCALAR_JOIN(f64)
IG_SCALAR_JOIN(i64)
IG_SCALAR_JOIN(i32)
IG_SCALAR_JOIN(u32)

#endif
