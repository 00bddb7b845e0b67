/* Purpose: f16 and bf16 for blocks of IG_L elements: memory as 16 bits, values as f32.  Included once for each IG_L. */
#define IG_FETCH_HALF(i, T) { igv_u16 s; __builtin_memcpy(&s, q + i * IG_W, sizeof s); r.v##i = igv_widened_##T(s); }
#define IG_KEEP_HALF(i, T) { igv_u16 s = igv_narrowed_##T(v.v##i); __builtin_memcpy(q + i * IG_W, &s, sizeof s); }
#define IG_FETCH_MASKED_HALF(i, T) \
  r.v##i = igv_widened_##T((igv_u16)igv_masked_i16((const int16_t *)p + i * IG_W, m.v##i));
#define IG_BITS_HALF(i, T) r.v##i = (igv_i32)igv_lanes_u16(igv_narrowed_##T(a.v##i));
#define IG_FLOAT_HALF(i, T) r.v##i = igv_widened_##T(igv_pack_u16((igv_u32)a.v##i));
#define IG_BLOCK_HALF(T) \
  IG_LIFT1(32, f32, nearest_##T, f32, igv_nearest_##T) \
  IG_INLINE IGN(i32) IGN(bitcast_##T##_i32)(IGN(f32) a) { IGN(i32) r; IG_EACH32(IG_BITS_HALF, T) return r; } \
  IG_INLINE IGN(f32) IGN(bitcast_i32_##T)(IGN(i32) a) { IGN(f32) r; IG_EACH32(IG_FLOAT_HALF, T) return r; } \
  IG_INLINE IGN(f32) IGN(load_##T)(const uint16_t *p, int n) { \
    IGN(f32) r; uint16_t part[IG_L]; const uint16_t *q = p; \
    if (n < IG_L) { for (int i = 0; i < IG_L; i++) part[i] = 0; for (int i = 0; i < n; i++) part[i] = p[i]; q = part; } \
    IG_EACH32(IG_FETCH_HALF, T) return r; } \
  IG_INLINE void IGN(store_##T)(uint16_t *p, IGN(f32) v, int n) { \
    uint16_t part[IG_L], *q = n < IG_L ? part : p; \
    IG_EACH32(IG_KEEP_HALF, T) \
    if (n < IG_L) for (int i = 0; i < n; i++) p[i] = part[i]; }
#define IG_BLOCK_MASKED_HALF(T) \
  IG_INLINE IGN(f32) IGN(masked_##T)(const uint16_t *p, IGN(bool) mask, int n) { \
    IGN(f32) r; IGN(bool) m = IGN(and_bool)(mask, IGN(tail_bool)(n)); \
    IG_EACH32(IG_FETCH_MASKED_HALF, T) return r; }
#define IG_SECOND_f16
#define IG_SECOND_bf16
#define IG_SPACED_f16
#define IG_SPACED_bf16
IG_BLOCK_HALF(f16)
IG_BLOCK_HALF(bf16)
IG_BLOCK_LANES(f16, f32, uint16_t)
IG_BLOCK_LANES(bf16, f32, uint16_t)
#if defined(IG_HAS_MASKED_NARROW)
IG_BLOCK_MASKED_HALF(f16)
IG_BLOCK_MASKED_HALF(bf16)
#else
IG_BLOCK_WHERE(f16, f32, uint16_t)
IG_BLOCK_WHERE(bf16, f32, uint16_t)
#endif
IG_BLOCK_STRIDED_WHERE(f16, f32, uint16_t)
IG_BLOCK_STRIDED_WHERE(bf16, f32, uint16_t)
