/* Purpose: functions that are made of primitives in the same way for every block length: included once for each IG_L. */

/* Comparisons written through the primitive ones; a NaN is unequal to everything. */
#define IG_DERIVED_COMPARE(T) \
  IG_INLINE IGN(bool) IGN(ne_##T)(IGN(T) a, IGN(T) b) { return IGN(not_bool)(IGN(eq_##T)(a, b)); } \
  IG_INLINE IGN(bool) IGN(gt_##T)(IGN(T) a, IGN(T) b) { return IGN(lt_##T)(b, a); } \
  IG_INLINE IGN(bool) IGN(ge_##T)(IGN(T) a, IGN(T) b) { return IGN(le_##T)(b, a); }
IG_DERIVED_COMPARE(f32)
IG_DERIVED_COMPARE(f64)
IG_DERIVED_COMPARE(i64)
IG_DERIVED_COMPARE(i32)
IG_DERIVED_COMPARE(u32)
IG_INLINE IGN(bool) IGN(ne_bool)(IGN(bool) a, IGN(bool) b) { return IGN(xor_bool)(a, b); }
IG_INLINE IGN(bool) IGN(eq_bool)(IGN(bool) a, IGN(bool) b) { return IGN(not_bool)(IGN(xor_bool)(a, b)); }
IG_INLINE IGN(bool) IGN(lt_bool)(IGN(bool) a, IGN(bool) b) { return IGN(and_bool)(IGN(not_bool)(a), b); }
IG_INLINE IGN(bool) IGN(le_bool)(IGN(bool) a, IGN(bool) b) { return IGN(or_bool)(IGN(not_bool)(a), b); }
IG_INLINE IGN(bool) IGN(gt_bool)(IGN(bool) a, IGN(bool) b) { return IGN(lt_bool)(b, a); }
IG_INLINE IGN(bool) IGN(ge_bool)(IGN(bool) a, IGN(bool) b) { return IGN(le_bool)(b, a); }
IG_INLINE IGN(bool) IGN(select_bool)(IGN(bool) m, IGN(bool) a, IGN(bool) b) {
  return IGN(or_bool)(IGN(and_bool)(m, a), IGN(and_bool)(IGN(not_bool)(m), b));
}

/* Signs are bits. */
#define IG_DERIVED_FLOAT(T, J, SIGN) \
  IG_INLINE IGN(T) IGN(neg_##T)(IGN(T) a) { \
    return IGN(bitcast_##J##_##T)(IGN(xor_##J)(IGN(bitcast_##T##_##J)(a), IGN(splat_##J)(SIGN))); } \
  IG_INLINE IGN(T) IGN(abs_##T)(IGN(T) a) { \
    return IGN(bitcast_##J##_##T)(IGN(and_##J)(IGN(bitcast_##T##_##J)(a), IGN(splat_##J)(~SIGN))); } \
  IG_INLINE IGN(T) IGN(negabs_##T)(IGN(T) a) { \
    return IGN(bitcast_##J##_##T)(IGN(or_##J)(IGN(bitcast_##T##_##J)(a), IGN(splat_##J)(SIGN))); } \
  /* m with the sign of s, for m >= 0 or of that sign already */ \
  IG_INLINE IGN(T) IGN(orsign_##T)(IGN(T) m, IGN(T) s) { \
    return IGN(bitcast_##J##_##T)(IGN(or_##J)(IGN(bitcast_##T##_##J)(m), \
      IGN(and_##J)(IGN(bitcast_##T##_##J)(s), IGN(splat_##J)(SIGN)))); } \
  IG_INLINE IGN(T) IGN(copysign_##T)(IGN(T) m, IGN(T) s) { return IGN(orsign_##T)(IGN(abs_##T)(m), s); } \
  IG_INLINE IGN(T) IGN(recip_##T)(IGN(T) a) { return IGN(div_##T)(IGN(splat_##T)(1), a); } \
  /* two roundings, by definition */ \
  IG_INLINE IGN(T) IGN(rsqrt_##T)(IGN(T) a) { return IGN(div_##T)(IGN(splat_##T)(1), IGN(sqrt_##T)(a)); } \
  /* -1, 0 (with its sign) or 1; NaN stays */ \
  IG_INLINE IGN(T) IGN(sign_##T)(IGN(T) a) { \
    return IGN(sel_##T)(IGN(mask_lt_##T)(IGN(splat_##T)(0), IGN(abs_##T)(a)), IGN(copysign_##T)(IGN(splat_##T)(1), a), a); } \
  IG_INLINE IGN(T) IGN(truncdiv_##T)(IGN(T) a, IGN(T) b) { return IGN(trunc_##T)(IGN(div_##T)(a, b)); }
IG_DERIVED_FLOAT(f32, i32, ((int32_t)0x80000000))
IG_DERIVED_FLOAT(f64, i64, ((int64_t)0x8000000000000000))

/* Remainders are exact (ig_remainder.h): truncmod is C's fmod, floormod has the sign of the divisor. */
#define IG_DERIVED_MOD(T, S, op) \
  IG_INLINE IGN(T) IGN(op##_##T)(IGN(T) a, IGN(T) b) { \
    S x[IG_L], y[IG_L]; IGN(store_##T)(x, a, IG_L); IGN(store_##T)(y, b, IG_L); \
    for (int i = 0; i < IG_L; i++) x[i] = ig_##op##_##T(x[i], y[i]); \
    return IGN(load_##T)(x, IG_L); }
IG_DERIVED_MOD(f32, float, truncmod)
IG_DERIVED_MOD(f64, double, truncmod)
IG_DERIVED_MOD(f32, float, floormod)
IG_DERIVED_MOD(f64, double, floormod)
/* floor of the exact quotient, as NumPy and torch define it: (a - truncmod(a, b)) / b, one less where the remainder and
   the divisor differ in sign, rounded to the nearest integer. */
#define IG_DERIVED_FLOORDIV(T) \
  IG_INLINE IGN(T) IGN(floordiv_##T)(IGN(T) a, IGN(T) b) { \
    IGN(T) one = IGN(splat_##T)(1), none = IGN(splat_##T)(0), m = IGN(truncmod_##T)(a, b), q, f; \
    IGN(T) sides = IGN(mul_##T)(IGN(sign_##T)(m), IGN(sign_##T)(b)); \
    q = IGN(div_##T)(IGN(sub_##T)(a, m), b); \
    q = IGN(sel_##T)(IGN(mask_lt_##T)(sides, none), IGN(sub_##T)(q, one), q); \
    f = IGN(floor_##T)(q); \
    f = IGN(sel_##T)(IGN(mask_lt_##T)(IGN(splat_##T)((ig1_##T)0.5), IGN(sub_##T)(q, f)), IGN(add_##T)(f, one), f); \
    f = IGN(sel_##T)(IGN(mask_eq_##T)(q, none), IGN(copysign_##T)(none, IGN(div_##T)(a, b)), f); \
    return IGN(sel_##T)(IGN(mask_eq_##T)(b, none), IGN(div_##T)(a, b), f); }
IG_DERIVED_FLOORDIV(f32)
IG_DERIVED_FLOORDIV(f64)

/* Integers. */
#define IG_DERIVED_SIGNED(T) \
  IG_INLINE IGN(T) IGN(neg_##T)(IGN(T) a) { return IGN(sub_##T)(IGN(splat_##T)(0), a); } \
  IG_INLINE IGN(T) IGN(abs_##T)(IGN(T) a) { \
    return IGN(sel_##T)(IGN(mask_lt_##T)(a, IGN(splat_##T)(0)), IGN(neg_##T)(a), a); } \
  IG_INLINE IGN(T) IGN(sign_##T)(IGN(T) a) { \
    IGN(T) one = IGN(splat_##T)(1), none = IGN(splat_##T)(0); \
    return IGN(sel_##T)(IGN(mask_lt_##T)(a, none), IGN(splat_##T)(-1), IGN(sel_##T)(IGN(mask_eq_##T)(a, none), none, one)); }
#define IG_DERIVED_INT(T) \
  IG_INLINE IGN(T) IGN(minimum_##T)(IGN(T) a, IGN(T) b) { return IGN(sel_##T)(IGN(mask_lt_##T)(b, a), b, a); } \
  IG_INLINE IGN(T) IGN(maximum_##T)(IGN(T) a, IGN(T) b) { return IGN(sel_##T)(IGN(mask_lt_##T)(a, b), b, a); }
IG_DERIVED_SIGNED(i64)
IG_DERIVED_SIGNED(i32)
IG_DERIVED_INT(i64)
IG_DERIVED_INT(i32)
IG_DERIVED_INT(u32)
IG_INLINE IGN(u32) IGN(neg_u32)(IGN(u32) a) { return IGN(sub_u32)(IGN(splat_u32)(0), a); }
IG_INLINE IGN(u32) IGN(abs_u32)(IGN(u32) a) { return a; }
IG_INLINE IGN(u32) IGN(sign_u32)(IGN(u32) a) { return IGN(minimum_u32)(a, IGN(splat_u32)(1)); }

/* Casts.  Float to integer truncates; NaN gives 0, values out of range the nearest end. Integers wrap. */
IG_INLINE IGN(f64) IGN(cast_i32_f64)(IGN(i32) x) { return IGN(cast_i64_f64)(IGN(cast_i32_i64)(x)); }
IG_INLINE IGN(f64) IGN(cast_u32_f64)(IGN(u32) x) { return IGN(cast_i64_f64)(IGN(cast_u32_i64)(x)); }
IG_INLINE IGN(f64) IGN(number_f64)(IGN(f64) x) { return IGN(sel_f64)(IGN(mask_eq_f64)(x, x), x, IGN(splat_f64)(0)); }
IG_INLINE IGN(i64) IGN(clip_f64)(IGN(f64) x, double low, double high) {
  return IGN(convert_f64_i64)(IGN(lesser_f64)(IGN(greater_f64)(IGN(number_f64)(x), IGN(splat_f64)(low)), IGN(splat_f64)(high)));
}
IG_INLINE IGN(i32) IGN(cast_f64_i32)(IGN(f64) x) { return IGN(cast_i64_i32)(IGN(clip_f64)(x, -2147483648.0, 2147483647.0)); }
IG_INLINE IGN(u32) IGN(cast_f64_u32)(IGN(f64) x) { return IGN(cast_i64_u32)(IGN(clip_f64)(x, 0.0, 4294967295.0)); }
IG_INLINE IGN(i64) IGN(cast_f64_i64)(IGN(f64) x) {
  IGN(f64) end = IGN(splat_f64)(0x1p63);
  IGN(m64) over = IGN(mask_le_f64)(end, x), in = IGN(and_m64)(IGN(mask_lt_f64)(x, end), IGN(mask_le_f64)(IGN(splat_f64)(-0x1p63), x));
  IGN(m64) number = IGN(mask_eq_f64)(x, x);
  IGN(i64) r = IGN(convert_f64_i64)(IGN(sel_f64)(in, x, IGN(splat_f64)(0)));
  r = IGN(sel_i64)(over, IGN(splat_i64)(0x7fffffffffffffff), r);
  return IGN(sel_i64)(IGN(and_m64)(number, IGN(not_m64)(IGN(or_m64)(over, in))), IGN(splat_i64)(-0x7fffffffffffffff - 1), r);
}
IG_INLINE IGN(i32) IGN(cast_f32_i32)(IGN(f32) x) {
  IGN(f32) end = IGN(splat_f32)(0x1p31f);
  IGN(bool) over = IGN(mask_le_f32)(end, x), number = IGN(mask_eq_f32)(x, x);
  IGN(bool) in = IGN(and_bool)(IGN(mask_lt_f32)(x, end), IGN(mask_le_f32)(IGN(splat_f32)(-0x1p31f), x));
  IGN(i32) r = IGN(convert_f32_i32)(IGN(sel_f32)(in, x, IGN(splat_f32)(0)));
  r = IGN(sel_i32)(over, IGN(splat_i32)(0x7fffffff), r);
  return IGN(sel_i32)(IGN(and_bool)(number, IGN(not_bool)(IGN(or_bool)(over, in))), IGN(splat_i32)(-0x7fffffff - 1), r);
}
IG_INLINE IGN(u32) IGN(cast_f32_u32)(IGN(f32) x) { return IGN(cast_f64_u32)(IGN(cast_f32_f64)(x)); }
IG_INLINE IGN(i64) IGN(cast_f32_i64)(IGN(f32) x) { return IGN(cast_f64_i64)(IGN(cast_f32_f64)(x)); }
#define IG_DERIVED_TRUTH(T) \
  IG_INLINE IGN(T) IGN(cast_##T##_##T)(IGN(T) x) { return x; } \
  IG_INLINE IGN(bool) IGN(cast_##T##_bool)(IGN(T) x) { return IGN(ne_##T)(x, IGN(splat_##T)(0)); } \
  IG_INLINE IGN(T) IGN(cast_bool_##T)(IGN(bool) x) { return IGN(select_##T)(x, IGN(splat_##T)(1), IGN(splat_##T)(0)); }
IG_DERIVED_TRUTH(f32)
IG_DERIVED_TRUTH(f64)
IG_DERIVED_TRUTH(i64)
IG_DERIVED_TRUTH(i32)
IG_DERIVED_TRUTH(u32)
IG_INLINE IGN(bool) IGN(cast_bool_bool)(IGN(bool) x) { return x; }

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11): word 0..3 for the counter
   (low index, high index, low draw, high draw) under the key (low seed, high seed). */
#define IG_PHILOX_ROUND \
  { IGN(u32) h0 = IGN(mulhi_u32)(x0, m0), l0 = IGN(mul_u32)(x0, m0), h1 = IGN(mulhi_u32)(x2, m1), l1 = IGN(mul_u32)(x2, m1); \
    x0 = IGN(xor_u32)(IGN(xor_u32)(h1, x1), IGN(splat_u32)(k0)); x1 = l1; \
    x2 = IGN(xor_u32)(IGN(xor_u32)(h0, x3), IGN(splat_u32)(k1)); x3 = l0; k0 += 0x9e3779b9u; k1 += 0xbb67ae85u; }
IG_INLINE IGN(u32) IGN(philox_u32)(int64_t seed, int64_t draw, IGN(i64) index, int word) {
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)((uint64_t)seed >> 32);
  IGN(u32) m0 = IGN(splat_u32)(0xd2511f53u), m1 = IGN(splat_u32)(0xcd9e8d57u);
  IGN(u32) x0 = IGN(cast_i64_u32)(index), x1 = IGN(cast_i64_u32)(IGN(logical_right_i64)(index, 32));
  IGN(u32) x2 = IGN(splat_u32)((uint32_t)draw), x3 = IGN(splat_u32)((uint32_t)((uint64_t)draw >> 32));
  IG_PHILOX_ROUND IG_PHILOX_ROUND IG_PHILOX_ROUND IG_PHILOX_ROUND IG_PHILOX_ROUND
  IG_PHILOX_ROUND IG_PHILOX_ROUND IG_PHILOX_ROUND IG_PHILOX_ROUND IG_PHILOX_ROUND
  return word == 0 ? x0 : word == 1 ? x1 : word == 2 ? x2 : x3;
}
