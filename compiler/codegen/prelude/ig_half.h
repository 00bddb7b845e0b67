/* Purpose: f16 and bf16 as one element.  They lie in memory as 16 bits and are computed with as f32: a load widens, which
   is exact, a store rounds to nearest even.  nearest_f16(x) is x rounded to what f16 can say, still as f32.  Subnormals
   count; a NaN keeps its sign and upper bits, and is quiet afterwards. */
#ifndef IG_HALF_H
#define IG_HALF_H

IG_INLINE float ig_widened_f16(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, u = (uint32_t)(h & 0x7fff) << 13;
  if (u >= 0x0f800000) return ig_float_i32((int32_t)(sign | (u + 0x70000000) | (u > 0x0f800000 ? 0x00400000 : 0)));
  if (u >= 0x00800000) return ig_float_i32((int32_t)(sign | (u + 0x38000000)));
  u = (uint32_t)ig_bits_f32(ig_float_i32((int32_t)(u + 0x38800000)) - ig_float_i32(0x38800000));
  return ig_float_i32((int32_t)(sign | u));
}

/* Below the least normal number the sum with 0.5 rounds at the last bit of f16's subnormals. */
IG_INLINE uint16_t ig_narrowed_f16(float x) {
  uint32_t u = (uint32_t)ig_bits_f32(x), sign = (u >> 16) & 0x8000;
  u &= 0x7fffffff;
  if (u > 0x7f800000) return (uint16_t)(sign | 0x7e00 | ((u >> 13) & 0x3ff));
  if (u >= 0x47800000) return (uint16_t)(sign | 0x7c00);
  if (u < 0x38800000) {
    u = (uint32_t)ig_bits_f32(ig_float_i32((int32_t)u) + ig_float_i32(0x3f000000)) - 0x3f000000;
    return (uint16_t)(sign | u);
  }
  return (uint16_t)(sign | ((u - 0x38000000 + 0xfff + ((u >> 13) & 1)) >> 13));
}

IG_INLINE float ig_widened_bf16(uint16_t h) { return ig_float_i32((int32_t)((uint32_t)h << 16)); }
IG_INLINE uint16_t ig_narrowed_bf16(float x) {
  uint32_t u = (uint32_t)ig_bits_f32(x);
  if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)((u >> 16) | 0x40);
  return (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

#define IG_SCALAR_HALF(T) \
  IG_INLINE float ig1_nearest_##T(float x) { return ig_widened_##T(ig_narrowed_##T(x)); } \
  IG_INLINE int32_t ig1_bitcast_##T##_i32(float x) { return ig_narrowed_##T(x); } \
  IG_INLINE float ig1_bitcast_i32_##T(int32_t x) { return ig_widened_##T((uint16_t)x); } \
  IG_INLINE float ig1_load_##T(const uint16_t *p, int n) { return n > 0 ? ig_widened_##T(*p) : 0.0f; } \
  IG_INLINE void ig1_store_##T(uint16_t *p, float v, int n) { if (n > 0) *p = ig_narrowed_##T(v); } \
  IG_INLINE float ig1_strided_##T(const uint16_t *p, int64_t stride, int n) { (void)stride; return ig1_load_##T(p, n); } \
  IG_INLINE void ig1_store_strided_##T(uint16_t *p, int64_t stride, float v, int n) { (void)stride; ig1_store_##T(p, v, n); } \
  IG_INLINE float ig1_masked_##T(const uint16_t *p, int mask, int n) { return ig1_load_##T(p, mask ? n : 0); } \
  IG_INLINE float ig1_strided_masked_##T(const uint16_t *p, int64_t stride, int mask, int n) { \
    (void)stride; return ig1_load_##T(p, mask ? n : 0); } \
  IG_INLINE float ig1_gather_##T(const uint16_t *p, int64_t index, int n) { return n > 0 ? ig_widened_##T(p[index]) : 0.0f; } \
  IG_INLINE void ig1_scatter_##T(uint16_t *p, int64_t index, float v, int n) { if (n > 0) p[index] = ig_narrowed_##T(v); }
IG_SCALAR_HALF(f16)
IG_SCALAR_HALF(bf16)

#endif
