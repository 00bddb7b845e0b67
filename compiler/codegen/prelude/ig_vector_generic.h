/* Purpose: the vector primitives on any other machine, and in Clang: lane by lane where the language has no vector form.
   Clang gathers the lanes into the machine's vectors again; tails go through the scalar loops of ig_block.h. */
#define IG_BLEND(T, M) \
  IG_INLINE igv_##T igv_sel_##T(igv_##M m, igv_##T a, igv_##T b) { \
    return (igv_##T)((m & (igv_##M)a) | (~m & (igv_##M)b)); }
IG_BLEND(f32, m32)
IG_BLEND(i32, m32)
IG_BLEND(u32, m32)
IG_BLEND(f64, m64)
IG_BLEND(i64, m64)
IG_INLINE int igv_any_m32(igv_m32 m) {
  igv_m64 w = (igv_m64)m;
  int64_t r = 0;
  for (int i = 0; i < IG_W2; i++) r |= w[i];
  return r != 0;
}
IG_INLINE int igv_any_m64(igv_m64 m) { return igv_any_m32((igv_m32)m); }
IG_INLINE int igv_all_m32(igv_m32 m) { return !igv_any_m32(~m); }

#if defined(__clang__) && defined(__has_builtin)
#if __has_builtin(__builtin_elementwise_fma) && __has_builtin(__builtin_elementwise_sqrt) && \
    __has_builtin(__builtin_elementwise_roundeven)
#define IG_ELEMENTWISE 1
#endif
#endif
#if defined(IG_ELEMENTWISE)
#define IG_EACH_LANE(name, T, N, call, whole) IG_INLINE igv_##T igv_##name##_##T(igv_##T a) { return whole(a); }
#else
#define IG_EACH_LANE(name, T, N, call, whole) \
  IG_INLINE igv_##T igv_##name##_##T(igv_##T a) { return (igv_##T){IG_LANES##N(call)}; }
#endif
#define IG_SQRTF(i) __builtin_sqrtf(a[i])
#define IG_SQRT(i) __builtin_sqrt(a[i])
#define IG_FLOORF(i) __builtin_floorf(a[i])
#define IG_FLOOR(i) __builtin_floor(a[i])
#define IG_CEILF(i) __builtin_ceilf(a[i])
#define IG_CEIL(i) __builtin_ceil(a[i])
#define IG_TRUNCF(i) __builtin_truncf(a[i])
#define IG_TRUNC(i) __builtin_trunc(a[i])
#define IG_RINTF(i) __builtin_rintf(a[i])
#define IG_RINT(i) __builtin_rint(a[i])
IG_EACH_LANE(sqrt, f32, 32, IG_SQRTF, __builtin_elementwise_sqrt)
IG_EACH_LANE(sqrt, f64, 64, IG_SQRT, __builtin_elementwise_sqrt)
IG_EACH_LANE(floor, f32, 32, IG_FLOORF, __builtin_elementwise_floor)
IG_EACH_LANE(floor, f64, 64, IG_FLOOR, __builtin_elementwise_floor)
IG_EACH_LANE(ceil, f32, 32, IG_CEILF, __builtin_elementwise_ceil)
IG_EACH_LANE(ceil, f64, 64, IG_CEIL, __builtin_elementwise_ceil)
IG_EACH_LANE(trunc, f32, 32, IG_TRUNCF, __builtin_elementwise_trunc)
IG_EACH_LANE(trunc, f64, 64, IG_TRUNC, __builtin_elementwise_trunc)
IG_EACH_LANE(round, f32, 32, IG_RINTF, __builtin_elementwise_roundeven)
IG_EACH_LANE(round, f64, 64, IG_RINT, __builtin_elementwise_roundeven)

#if defined(IG_ELEMENTWISE)
IG_INLINE igv_f32 igv_fma_f32(igv_f32 a, igv_f32 b, igv_f32 c) { return __builtin_elementwise_fma(a, b, c); }
IG_INLINE igv_f64 igv_fma_f64(igv_f64 a, igv_f64 b, igv_f64 c) { return __builtin_elementwise_fma(a, b, c); }
IG_INLINE igv_f32 igv_fnma_f32(igv_f32 a, igv_f32 b, igv_f32 c) { return __builtin_elementwise_fma(-a, b, c); }
IG_INLINE igv_f64 igv_fnma_f64(igv_f64 a, igv_f64 b, igv_f64 c) { return __builtin_elementwise_fma(-a, b, c); }
#else
#define IG_FMAF(i) __builtin_fmaf(a[i], b[i], c[i])
#define IG_FMA(i) __builtin_fma(a[i], b[i], c[i])
IG_INLINE igv_f32 igv_fma_f32(igv_f32 a, igv_f32 b, igv_f32 c) { return (igv_f32){IG_LANES32(IG_FMAF)}; }
IG_INLINE igv_f64 igv_fma_f64(igv_f64 a, igv_f64 b, igv_f64 c) { return (igv_f64){IG_LANES64(IG_FMA)}; }
IG_INLINE igv_f32 igv_fnma_f32(igv_f32 a, igv_f32 b, igv_f32 c) { return igv_fma_f32(-a, b, c); }
IG_INLINE igv_f64 igv_fnma_f64(igv_f64 a, igv_f64 b, igv_f64 c) { return igv_fma_f64(-a, b, c); }
#endif
