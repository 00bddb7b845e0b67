/* Purpose: what the vector primitives need of AVX2 and FMA, through GCC's builtins: masks are vectors of 0 and -1. */
IG_INLINE igv_f32 igv_sel_f32(igv_m32 m, igv_f32 a, igv_f32 b) { return __builtin_ia32_blendvps256(b, a, (igv_f32)m); }
IG_INLINE igv_f64 igv_sel_f64(igv_m64 m, igv_f64 a, igv_f64 b) { return __builtin_ia32_blendvpd256(b, a, (igv_f64)m); }
IG_INLINE igv_i32 igv_sel_i32(igv_m32 m, igv_i32 a, igv_i32 b) { return (igv_i32)igv_sel_f32(m, (igv_f32)a, (igv_f32)b); }
IG_INLINE igv_u32 igv_sel_u32(igv_m32 m, igv_u32 a, igv_u32 b) { return (igv_u32)igv_sel_f32(m, (igv_f32)a, (igv_f32)b); }
IG_INLINE igv_i64 igv_sel_i64(igv_m64 m, igv_i64 a, igv_i64 b) { return (igv_i64)igv_sel_f64(m, (igv_f64)a, (igv_f64)b); }
IG_INLINE int igv_any_m32(igv_m32 m) { return __builtin_ia32_movmskps256((igv_f32)m) != 0; }
IG_INLINE int igv_any_m64(igv_m64 m) { return __builtin_ia32_movmskpd256((igv_f64)m) != 0; }
IG_INLINE int igv_all_m32(igv_m32 m) { return __builtin_ia32_movmskps256((igv_f32)m) == 0xff; }

IG_INLINE igv_f32 igv_fma_f32(igv_f32 a, igv_f32 b, igv_f32 c) { return __builtin_ia32_vfmaddps256(a, b, c); }
IG_INLINE igv_f64 igv_fma_f64(igv_f64 a, igv_f64 b, igv_f64 c) { return __builtin_ia32_vfmaddpd256(a, b, c); }
IG_INLINE igv_f32 igv_fnma_f32(igv_f32 a, igv_f32 b, igv_f32 c) { return __builtin_ia32_vfnmaddps256(a, b, c); }
IG_INLINE igv_f64 igv_fnma_f64(igv_f64 a, igv_f64 b, igv_f64 c) { return __builtin_ia32_vfnmaddpd256(a, b, c); }
IG_INLINE igv_f32 igv_sqrt_f32(igv_f32 a) { return __builtin_ia32_sqrtps256(a); }
IG_INLINE igv_f64 igv_sqrt_f64(igv_f64 a) { return __builtin_ia32_sqrtpd256(a); }
#define IG_VECTOR_ROUND(name, mode) \
  IG_INLINE igv_f32 igv_##name##_f32(igv_f32 a) { return __builtin_ia32_roundps256(a, mode); } \
  IG_INLINE igv_f64 igv_##name##_f64(igv_f64 a) { return __builtin_ia32_roundpd256(a, mode); }
IG_VECTOR_ROUND(round, 8)
IG_VECTOR_ROUND(floor, 9)
IG_VECTOR_ROUND(ceil, 10)
IG_VECTOR_ROUND(trunc, 11)

#define IG_HAS_LESSER 1
IG_INLINE igv_f32 igv_lesser_f32(igv_f32 a, igv_f32 b) { return __builtin_ia32_minps256(a, b); }
IG_INLINE igv_f64 igv_lesser_f64(igv_f64 a, igv_f64 b) { return __builtin_ia32_minpd256(a, b); }
IG_INLINE igv_f32 igv_greater_f32(igv_f32 a, igv_f32 b) { return __builtin_ia32_maxps256(a, b); }
IG_INLINE igv_f64 igv_greater_f64(igv_f64 a, igv_f64 b) { return __builtin_ia32_maxpd256(a, b); }

/* vmin and vmax give their second operand when both are zeros or one is NaN: it is made the right zero by the sign of a,
   and the first operand's NaN is put back. */
#define IG_HAS_EXTREMES 1
#define IG_VECTOR_SIGNED(T, M) \
  IG_INLINE igv_##T igv_maximum_##T(igv_##T a, igv_##T b) { \
    igv_##T first = igv_sel_##T((igv_##M)a, a, b), second = igv_sel_##T((igv_##M)a, b, a); \
    return igv_sel_##T(igv_eq_##T(first, first), igv_greater_##T(first, second), first); } \
  IG_INLINE igv_##T igv_minimum_##T(igv_##T a, igv_##T b) { \
    igv_##T first = igv_sel_##T((igv_##M)a, b, a), second = igv_sel_##T((igv_##M)a, a, b); \
    return igv_sel_##T(igv_eq_##T(first, first), igv_lesser_##T(first, second), first); }
IG_VECTOR_SIGNED(f32, m32)
IG_VECTOR_SIGNED(f64, m64)

#define IG_HAS_MULHI 1
IG_INLINE igv_u32 igv_mulhi_u32(igv_u32 a, igv_u32 b) {
  igv_u64 even = (igv_u64)__builtin_ia32_pmuludq256((igv_i32)a, (igv_i32)b);
  igv_u64 odd = (igv_u64)__builtin_ia32_pmuludq256((igv_i32)((igv_u64)a >> 32), (igv_i32)((igv_u64)b >> 32));
  return (igv_u32)((even >> 32) | (odd & (igv_u64)igv_splat_i64((int64_t)0xffffffff00000000)));
}

/* Tails: the missing lanes' memory is not touched, and reads as 0. */
#define IG_HAS_MASKED 1
typedef long long igv_q __attribute__((vector_size(32)));
IG_INLINE igv_m32 igv_tail_m32(int n);
IG_INLINE igv_m64 igv_tail_m64(int n);
IG_INLINE igv_f32 igv_masked_f32(const float *p, igv_m32 m) { return __builtin_ia32_maskloadps256((const igv_f32 *)p, m); }
IG_INLINE igv_f64 igv_masked_f64(const double *p, igv_m64 m) {
  return __builtin_ia32_maskloadpd256((const igv_f64 *)p, (igv_q)m);
}
IG_INLINE igv_i32 igv_masked_i32(const int32_t *p, igv_m32 m) { return __builtin_ia32_maskloadd256((const igv_i32 *)p, m); }
IG_INLINE igv_u32 igv_masked_u32(const uint32_t *p, igv_m32 m) { return (igv_u32)igv_masked_i32((const int32_t *)p, m); }
IG_INLINE igv_i64 igv_masked_i64(const int64_t *p, igv_m64 m) {
  return (igv_i64)__builtin_ia32_maskloadq256((const igv_q *)p, (igv_q)m);
}
IG_INLINE void igv_put_f32(float *p, igv_f32 v, int n) { __builtin_ia32_maskstoreps256((igv_f32 *)p, igv_tail_m32(n), v); }
IG_INLINE void igv_put_f64(double *p, igv_f64 v, int n) {
  __builtin_ia32_maskstorepd256((igv_f64 *)p, (igv_q)igv_tail_m64(n), v);
}
IG_INLINE void igv_put_i32(int32_t *p, igv_i32 v, int n) { __builtin_ia32_maskstored256((igv_i32 *)p, igv_tail_m32(n), v); }
IG_INLINE void igv_put_u32(uint32_t *p, igv_u32 v, int n) { igv_put_i32((int32_t *)p, (igv_i32)v, n); }
IG_INLINE void igv_put_i64(int64_t *p, igv_i64 v, int n) {
  __builtin_ia32_maskstoreq256((igv_q *)p, (igv_q)igv_tail_m64(n), (igv_q)v);
}
