/* Purpose: f16 and bf16 at the machine's native width: what ig_half.h does, for IG_W lanes.  F16C has the conversions of
   f16; elsewhere they are integer arithmetic on the bits. */
#ifndef IG_VECTOR_HALF_H
#define IG_VECTOR_HALF_H

typedef uint16_t igv_u16 __attribute__((vector_size(2 * IG_W)));
typedef short igv_h __attribute__((vector_size(2 * IG_W)));

#if IG_W == 16 && IG_WIDEST == 16 && !defined(__clang__)
IG_INLINE igv_u32 igv_lanes_u16(igv_u16 h) {
  return (igv_u32)__builtin_ia32_pmovzxwd512_mask((igv_h)h, (igv_i32){0}, (igv_m32)-1);
}
IG_INLINE igv_u16 igv_pack_u16(igv_u32 x) {
  return (igv_u16)__builtin_ia32_pmovdw512_mask((igv_i32)x, (igv_h){0}, (igv_m32)-1);
}
#else
#if IG_W == 8 && IG_WIDEST >= 8 && !defined(__clang__)
IG_INLINE igv_u32 igv_lanes_u16(igv_u16 h) { return (igv_u32)__builtin_ia32_pmovzxwd256((igv_h)h); }
#else
IG_INLINE igv_u32 igv_lanes_u16(igv_u16 h) { return __builtin_convertvector(h, igv_u32); }
#endif
IG_INLINE igv_u16 igv_pack_u16(igv_u32 x) { return __builtin_convertvector(x, igv_u16); }
#endif

#if IG_W == 16 && IG_WIDEST == 16 && !defined(__clang__)
IG_INLINE igv_f32 igv_widened_f16(igv_u16 h) {
  return __builtin_ia32_vcvtph2ps512_mask((igv_h)h, (igv_f32){0}, (igv_m32)-1, 4);
}
IG_INLINE igv_u16 igv_narrowed_f16(igv_f32 x) {
  return (igv_u16)__builtin_ia32_vcvtps2ph512_mask(x, 0, (igv_h){0}, (igv_m32)-1);
}
#elif IG_W == 8 && IG_WIDEST >= 8 && defined(__F16C__) && !defined(__clang__)
IG_INLINE igv_f32 igv_widened_f16(igv_u16 h) { return __builtin_ia32_vcvtph2ps256((igv_h)h); }
IG_INLINE igv_u16 igv_narrowed_f16(igv_f32 x) { return (igv_u16)__builtin_ia32_vcvtps2ph256(x, 0); }
#else
IG_INLINE igv_f32 igv_widened_f16(igv_u16 h) {
  igv_u32 x = igv_lanes_u16(h), sign = (x & 0x8000) << 16, u = (x & 0x7fff) << 13;
  igv_u32 least = igv_splat_u32(0x38800000);
  igv_u32 low = (igv_u32)((igv_f32)(u + least) - (igv_f32)least);
  igv_u32 high = u + igv_sel_u32(igv_lt_u32(u, igv_splat_u32(0x0f800000)), igv_splat_u32(0x38000000), igv_splat_u32(0x70000000));
  high |= igv_sel_u32(igv_lt_u32(igv_splat_u32(0x0f800000), u), igv_splat_u32(0x00400000), igv_splat_u32(0));
  return (igv_f32)(sign | igv_sel_u32(igv_lt_u32(u, igv_splat_u32(0x00800000)), low, high));
}
IG_INLINE igv_u16 igv_narrowed_f16(igv_f32 x) {
  igv_u32 u = (igv_u32)x, sign = (u >> 16) & 0x8000, infinite = igv_splat_u32(0x7f800000), r;
  u &= 0x7fffffff;
  r = (u - 0x38000000 + 0xfff + ((u >> 13) & 1)) >> 13;
  r = igv_sel_u32(igv_lt_u32(u, igv_splat_u32(0x38800000)),
                  (igv_u32)((igv_f32)u + igv_splat_f32(0.5f)) - 0x3f000000, r);
  r = igv_sel_u32(igv_lt_u32(u, igv_splat_u32(0x47800000)), r, igv_splat_u32(0x7c00));
  r = igv_sel_u32(igv_lt_u32(infinite, u), ((u >> 13) & 0x3ff) | 0x7e00, r);
  return igv_pack_u16(sign | r);
}
#endif
IG_INLINE igv_f32 igv_nearest_f16(igv_f32 x) { return igv_widened_f16(igv_narrowed_f16(x)); }

/* A bf16 is the upper half of an f32. */
IG_INLINE igv_u32 igv_upper_bf16(igv_f32 x) {
  igv_u32 u = (igv_u32)x;
  return igv_sel_u32(igv_eq_f32(x, x), u + 0x7fff + ((u >> 16) & 1), u | 0x00400000);
}
IG_INLINE igv_f32 igv_widened_bf16(igv_u16 h) { return (igv_f32)(igv_lanes_u16(h) << 16); }
IG_INLINE igv_u16 igv_narrowed_bf16(igv_f32 x) { return igv_pack_u16(igv_upper_bf16(x) >> 16); }
IG_INLINE igv_f32 igv_nearest_bf16(igv_f32 x) { return (igv_f32)(igv_upper_bf16(x) & 0xffff0000); }

#endif
