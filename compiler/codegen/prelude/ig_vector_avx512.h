/* Purpose: what the vector primitives need of AVX-512 (F, DQ, BW, VL), through GCC's builtins: masks are k registers. */
typedef uint16_t igv_m32;
typedef uint8_t igv_m64;

#define IG_VECTOR_COMPARE(T, V, M, call, eq, lt, le, ...) \
  IG_INLINE igv_##M igv_eq_##T(igv_##T a, igv_##T b) { return (igv_##M)call((V)a, (V)b, eq, (igv_##M)-1 __VA_ARGS__); } \
  IG_INLINE igv_##M igv_lt_##T(igv_##T a, igv_##T b) { return (igv_##M)call((V)a, (V)b, lt, (igv_##M)-1 __VA_ARGS__); } \
  IG_INLINE igv_##M igv_le_##T(igv_##T a, igv_##T b) { return (igv_##M)call((V)a, (V)b, le, (igv_##M)-1 __VA_ARGS__); }
typedef long long igv_q __attribute__((vector_size(64)));
IG_VECTOR_COMPARE(f32, igv_f32, m32, __builtin_ia32_cmpps512_mask, 0, 17, 18, , 4)
IG_VECTOR_COMPARE(f64, igv_f64, m64, __builtin_ia32_cmppd512_mask, 0, 17, 18, , 4)
IG_VECTOR_COMPARE(i32, igv_i32, m32, __builtin_ia32_cmpd512_mask, 0, 1, 2, )
IG_VECTOR_COMPARE(u32, igv_i32, m32, __builtin_ia32_ucmpd512_mask, 0, 1, 2, )
IG_VECTOR_COMPARE(i64, igv_q, m64, __builtin_ia32_cmpq512_mask, 0, 1, 2, )

IG_INLINE igv_f32 igv_sel_f32(igv_m32 m, igv_f32 a, igv_f32 b) { return __builtin_ia32_blendmps_512_mask(b, a, m); }
IG_INLINE igv_f64 igv_sel_f64(igv_m64 m, igv_f64 a, igv_f64 b) { return __builtin_ia32_blendmpd_512_mask(b, a, m); }
IG_INLINE igv_i32 igv_sel_i32(igv_m32 m, igv_i32 a, igv_i32 b) { return __builtin_ia32_blendmd_512_mask(b, a, m); }
IG_INLINE igv_u32 igv_sel_u32(igv_m32 m, igv_u32 a, igv_u32 b) {
  return (igv_u32)__builtin_ia32_blendmd_512_mask((igv_i32)b, (igv_i32)a, m);
}
IG_INLINE igv_i64 igv_sel_i64(igv_m64 m, igv_i64 a, igv_i64 b) {
  return (igv_i64)__builtin_ia32_blendmq_512_mask((igv_q)b, (igv_q)a, m);
}

#define IG_VECTOR_MASK(M) \
  IG_INLINE igv_##M igv_and_##M(igv_##M a, igv_##M b) { return (igv_##M)(a & b); } \
  IG_INLINE igv_##M igv_or_##M(igv_##M a, igv_##M b) { return (igv_##M)(a | b); } \
  IG_INLINE igv_##M igv_xor_##M(igv_##M a, igv_##M b) { return (igv_##M)(a ^ b); } \
  IG_INLINE igv_##M igv_not_##M(igv_##M a) { return (igv_##M)~a; } \
  IG_INLINE int igv_any_##M(igv_##M a) { return a != 0; }
IG_VECTOR_MASK(m32)
IG_VECTOR_MASK(m64)
IG_INLINE int igv_all_m32(igv_m32 a) { return a == 0xffff; }
IG_INLINE igv_m32 igv_splat_m32(int x) { return (igv_m32)(x ? 0xffff : 0); }
IG_INLINE igv_m32 igv_pack_m32(igv_m64 a, igv_m64 b) { return (igv_m32)(a | (igv_m32)b << 8); }
IG_INLINE igv_m64 igv_low_m64(igv_m32 m) { return (igv_m64)m; }
IG_INLINE igv_m64 igv_high_m64(igv_m32 m) { return (igv_m64)(m >> 8); }
IG_INLINE igv_m32 igv_tail_m32(int n) { return (igv_m32)(n <= 0 ? 0 : n >= 16 ? 0xffff : (1 << n) - 1); }
IG_INLINE igv_m64 igv_tail_m64(int n) { return (igv_m64)(n <= 0 ? 0 : n >= 8 ? 0xff : (1 << n) - 1); }

IG_INLINE igv_f32 igv_fma_f32(igv_f32 a, igv_f32 b, igv_f32 c) { return __builtin_ia32_vfmaddps512_mask(a, b, c, -1, 4); }
IG_INLINE igv_f64 igv_fma_f64(igv_f64 a, igv_f64 b, igv_f64 c) { return __builtin_ia32_vfmaddpd512_mask(a, b, c, -1, 4); }
IG_INLINE igv_f32 igv_fnma_f32(igv_f32 a, igv_f32 b, igv_f32 c) { return __builtin_ia32_vfnmaddps512_mask(a, b, c, -1, 4); }
IG_INLINE igv_f64 igv_fnma_f64(igv_f64 a, igv_f64 b, igv_f64 c) { return __builtin_ia32_vfnmaddpd512_mask(a, b, c, -1, 4); }
#define IG_NONE_F32 ((igv_f32){0})
#define IG_NONE_F64 ((igv_f64){0})
IG_INLINE igv_f32 igv_sqrt_f32(igv_f32 a) { return __builtin_ia32_sqrtps512_mask(a, IG_NONE_F32, -1, 4); }
IG_INLINE igv_f64 igv_sqrt_f64(igv_f64 a) { return __builtin_ia32_sqrtpd512_mask(a, IG_NONE_F64, -1, 4); }
#define IG_VECTOR_ROUND(name, mode) \
  IG_INLINE igv_f32 igv_##name##_f32(igv_f32 a) { return __builtin_ia32_rndscaleps_mask(a, mode, IG_NONE_F32, -1, 4); } \
  IG_INLINE igv_f64 igv_##name##_f64(igv_f64 a) { return __builtin_ia32_rndscalepd_mask(a, mode, IG_NONE_F64, -1, 4); }
IG_VECTOR_ROUND(round, 8)
IG_VECTOR_ROUND(floor, 9)
IG_VECTOR_ROUND(ceil, 10)
IG_VECTOR_ROUND(trunc, 11)

#define IG_HAS_LESSER 1
IG_INLINE igv_f32 igv_lesser_f32(igv_f32 a, igv_f32 b) { return __builtin_ia32_minps512_mask(a, b, IG_NONE_F32, -1, 4); }
IG_INLINE igv_f64 igv_lesser_f64(igv_f64 a, igv_f64 b) { return __builtin_ia32_minpd512_mask(a, b, IG_NONE_F64, -1, 4); }
IG_INLINE igv_f32 igv_greater_f32(igv_f32 a, igv_f32 b) { return __builtin_ia32_maxps512_mask(a, b, IG_NONE_F32, -1, 4); }
IG_INLINE igv_f64 igv_greater_f64(igv_f64 a, igv_f64 b) { return __builtin_ia32_maxpd512_mask(a, b, IG_NONE_F64, -1, 4); }

/* vrange orders the zeros and drops a NaN operand: the sum brings the NaN back where the operands do not compare. */
#define IG_HAS_EXTREMES 1
#define IG_VECTOR_RANGE(name, mode) \
  IG_INLINE igv_f32 igv_##name##_f32(igv_f32 a, igv_f32 b) { \
    igv_m32 nan = (igv_m32)__builtin_ia32_cmpps512_mask(a, b, 3, (igv_m32)-1, 4); \
    return igv_sel_f32(nan, a + b, __builtin_ia32_rangeps512_mask(a, b, mode, IG_NONE_F32, (igv_m32)-1, 4)); } \
  IG_INLINE igv_f64 igv_##name##_f64(igv_f64 a, igv_f64 b) { \
    igv_m64 nan = (igv_m64)__builtin_ia32_cmppd512_mask(a, b, 3, (igv_m64)-1, 4); \
    return igv_sel_f64(nan, a + b, __builtin_ia32_rangepd512_mask(a, b, mode, IG_NONE_F64, (igv_m64)-1, 4)); }
IG_VECTOR_RANGE(minimum, 4)
IG_VECTOR_RANGE(maximum, 5)

/* One instruction, equal bit for bit to the two exact multiplications. */
#define IG_HAS_SCALE 1
IG_INLINE igv_f32 igv_scale_f32(igv_f32 p, igv_f32 t, igv_f32 k) {
  (void)t;
  return __builtin_ia32_scalefps512_mask(p, k, IG_NONE_F32, -1, 4);
}
IG_INLINE igv_f64 igv_scale_f64(igv_f64 p, igv_f64 t, igv_f64 k) {
  (void)t;
  return __builtin_ia32_scalefpd512_mask(p, k, IG_NONE_F64, -1, 4);
}

#define IG_HAS_MULHI 1
IG_INLINE igv_u32 igv_mulhi_u32(igv_u32 a, igv_u32 b) {
  igv_q none = {0};
  igv_u64 even = (igv_u64)__builtin_ia32_pmuludq512_mask((igv_i32)a, (igv_i32)b, none, -1);
  igv_u64 odd = (igv_u64)__builtin_ia32_pmuludq512_mask((igv_i32)((igv_u64)a >> 32), (igv_i32)((igv_u64)b >> 32), none, -1);
  return (igv_u32)((even >> 32) | (odd & (igv_u64)igv_splat_i64((int64_t)0xffffffff00000000)));
}

/* Tails: the missing lanes' memory is not touched, and reads as 0. */
#define IG_HAS_MASKED 1
IG_INLINE igv_f32 igv_masked_f32(const float *p, igv_m32 m) { return __builtin_ia32_loadups512_mask(p, IG_NONE_F32, m); }
IG_INLINE igv_f64 igv_masked_f64(const double *p, igv_m64 m) { return __builtin_ia32_loadupd512_mask(p, IG_NONE_F64, m); }
IG_INLINE igv_i32 igv_masked_i32(const int32_t *p, igv_m32 m) { return __builtin_ia32_loaddqusi512_mask(p, (igv_i32){0}, m); }
IG_INLINE igv_u32 igv_masked_u32(const uint32_t *p, igv_m32 m) { return (igv_u32)igv_masked_i32((const int32_t *)p, m); }
IG_INLINE igv_i64 igv_masked_i64(const int64_t *p, igv_m64 m) {
  return (igv_i64)__builtin_ia32_loaddqudi512_mask((const long long *)p, (igv_q){0}, m);
}
#if defined(__BMI2__)
#define IG_HAS_SPACED 1
IG_INLINE igv_m32 igv_spaced_low_m32(igv_m32 m) { return (igv_m32)__builtin_ia32_pdep_si(m & 0xff, 0x5555); }
IG_INLINE igv_m32 igv_spaced_high_m32(igv_m32 m) { return (igv_m32)__builtin_ia32_pdep_si(m >> 8, 0xaaaa); }
#endif
#define IG_HAS_MASKED_NARROW 1
typedef char igv_c __attribute__((vector_size(16)));
typedef short igv_s __attribute__((vector_size(32)));
IG_INLINE igv_u8 igv_masked_u8(const uint8_t *p, igv_m32 m) {
  return (igv_u8)__builtin_ia32_loaddquqi128_mask((const char *)p, (igv_c){0}, m);
}
IG_INLINE igv_i8 igv_masked_i8(const int8_t *p, igv_m32 m) { return (igv_i8)igv_masked_u8((const uint8_t *)p, m); }
IG_INLINE igv_i16 igv_masked_i16(const int16_t *p, igv_m32 m) {
  return (igv_i16)__builtin_ia32_loaddquhi256_mask((const short *)p, (igv_s){0}, m);
}
IG_INLINE void igv_put_f32(float *p, igv_f32 v, int n) { __builtin_ia32_storeups512_mask(p, v, igv_tail_m32(n)); }
IG_INLINE void igv_put_f64(double *p, igv_f64 v, int n) { __builtin_ia32_storeupd512_mask(p, v, igv_tail_m64(n)); }
IG_INLINE void igv_put_i32(int32_t *p, igv_i32 v, int n) { __builtin_ia32_storedqusi512_mask(p, v, igv_tail_m32(n)); }
IG_INLINE void igv_put_u32(uint32_t *p, igv_u32 v, int n) { igv_put_i32((int32_t *)p, (igv_i32)v, n); }
IG_INLINE void igv_put_i64(int64_t *p, igv_i64 v, int n) {
  __builtin_ia32_storedqudi512_mask((long long *)p, (igv_q)v, igv_tail_m64(n));
}
