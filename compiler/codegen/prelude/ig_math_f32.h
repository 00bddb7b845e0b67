/* Purpose: the f32 cores that differ from f64 in method: logarithms, the error function, pow. */

/* x = 2^k (1 + f) with f in [-1/3, 1/3]; meaningless where log_special answers. */
IG_INLINE V IGT(log_reduce)(V x, V *k) {
  M subnormal = LT(x, K(0x1p-126f));
  V y = SEL(subnormal, MUL(x, K(0x1p23f)), x);
  J e = JAND(JSUB(BITS(y), JK(0x3f2aaaab)), JK((int32_t)0xff800000));
  *k = FMA(IGN(cast_i32_f32)(e), K(0x1p-23f), SEL(subnormal, K(-23.0f), K(0.0f)));
  return SUB(FLOAT(JSUB(BITS(y), e)), K(1.0f));
}
IG_INLINE V IGT(log)(V x) {
  V k, f = IGT(log_reduce)(x, &k), q = POLY(f, IG_C_LOG_f32);
  V r = FMA(MUL(q, f), f, FMA(k, K(-0x1.05c610p-29f), f));
  return IGT(log_special)(x, FMA(k, K(0x1.62e430p-1f), r));
}
IG_INLINE V IGT(log2)(V x) {
  V k, f = IGT(log_reduce)(x, &k), rest = MUL(MUL(POLY(f, IG_C_LOG_f32), f), f);
  V r = FMA(rest, K(0x1.715476p+0f), MUL(f, K(0x1.4ae0c0p-26f)));
  return IGT(log_special)(x, ADD(k, FMA(f, K(0x1.715476p+0f), r)));
}
IG_INLINE V IGT(log10)(V x) {
  V k, f = IGT(log_reduce)(x, &k), rest = MUL(MUL(POLY(f, IG_C_LOG_f32), f), f);
  V r = FMA(rest, K(0x1.bcb7b2p-2f), MUL(f, K(-0x1.5b235ep-27f)));
  r = FMA(k, K(-0x1.ec10c0p-27f), FMA(f, K(0x1.bcb7b2p-2f), r));
  return IGT(log_special)(x, FMA(k, K(0x1.344136p-2f), r));
}
/* 1 + x = 2^k (1 + f), f exact where k = 0: f = x 2^-k + (2^-k - 1). */
IG_INLINE V IGT(log1p)(V x) {
  V u = ADD(x, K(1.0f));
  J e = JAND(JSUB(BITS(u), JK(0x3f400000)), JK((int32_t)0xff800000));
  V m = FLOAT(JSUB(BITS(x), e)), s = FLOAT(JSUB(JK(0x40800000), e));
  V f = ADD(m, FMA(K(0.25f), s, K(-1.0f))), k = MUL(IGN(cast_i32_f32)(e), K(0x1p-23f));
  V q = POLY(f, IG_C_LOG1P_f32), r = FMA(MUL(q, f), f, FMA(k, K(-0x1.05c610p-29f), f));
  return IGT(log1p_special)(x, FMA(k, K(0x1.62e430p-1f), r));
}

/* erf(t) = 1 - exp(-t (1 + Q(t))) for t in [0, 3.95], written in -t. */
IG_INLINE V IGT(erf)(V x) {
  V t = GREATER(K(-3.95f), NEGABS(x));
  return COPYSIGN(IGT(expm1_negative)(FMA(t, POLY(t, IG_C_ERF_f32), t)), x);
}

/* pow through f64: log2 to 2^-45, times y, 2^ of it to 2^-45, one rounding to f32. */
IG_INLINE V IGT(pow)(V x, V y) {
  V a = ABS(x);
  M subnormal = LT(a, K(0x1p-126f));
  V z = SEL(subnormal, MUL(a, K(0x1p23f)), a);
  J e = JAND(JSUB(BITS(z), JK(0x3f333333)), JK((int32_t)0xff800000));
  V k = FMA(IGN(cast_i32_f32)(e), K(0x1p-23f), SEL(subnormal, K(-23.0f), K(0.0f)));
  V m = FLOAT(JSUB(BITS(z), e));
  V r = IGN(cast_f64_f32)(IGN(pow_core_f64)(IGN(cast_f32_f64)(m), IGN(cast_f32_f64)(k), IGN(cast_f32_f64)(y)));
  return IGT(pow_special)(x, y, r);
}

/* sin and cos: x = j pi/2 + r by three exact products to |x| <= 1e5, beyond that lane by lane. */
IG_COLD void IGT(reduce_lanes)(const float *x, float *r, int32_t *q) {
  for (int i = 0; i < IG_L; i++) {
    double hi, lo;
    float a = ig_float_i32(ig_bits_f32(x[i]) & 0x7fffffff);
    if (!(a > 100000.0f && a < IG_INF_f32)) continue;
    q[i] = ig_reduce_large((double)x[i], &hi, &lo);
    r[i] = (float)hi;
  }
}
IG_INLINE V IGT(reduce)(V x, J *q) {
  V t = FMA(x, K(0x1.45f306p-1f), K(0x1.8p23f)), j = SUB(t, K(0x1.8p23f));
  V r = FMA(j, K(-0x1.846988p-48f), FMA(j, K(-0x1.4442d0p-24f), FMA(j, K(-0x1.921fb4p+0f), x)));
  *q = BITS(t);
  if (IG_UNLIKELY(ANY(LT(K(100000.0f), ABS(x))))) {
    float xs[IG_L], rs[IG_L];
    int32_t qs[IG_L];
    IGN(store_f32)(xs, x, IG_L);
    IGN(store_f32)(rs, r, IG_L);
    IGN(store_i32)(qs, *q, IG_L);
    IGT(reduce_lanes)(xs, rs, qs);
    r = IGN(load_f32)(rs, IG_L);
    *q = IGN(load_i32)(qs, IG_L);
  }
  return r;
}
IG_INLINE V IGT(sin_near)(V r) { /* |r| <= pi/4 */
  V s = MUL(r, r);
  return ORSIGN(FMA(MUL(POLY(s, IG_C_SIN_f32), s), r, r), r);
}
IG_INLINE V IGT(cos_near)(V r) {
  V s = MUL(r, r);
  return FMA(POLY(s, IG_C_COS_f32), MUL(s, s), FMA(s, K(-0.5f), K(1.0f)));
}
#define IG_SINCOS_f32(shift) \
  J q; \
  V r = IGT(reduce)(x, &q), s = IGT(sin_near)(r), c = IGT(cos_near)(r), y; \
  q = JADD(q, JK(shift)); \
  y = SEL(IGN(mask_eq_i32)(JAND(q, JK(1)), JK(0)), s, c); \
  return FLOAT(JXOR(BITS(y), JLEFT(JAND(q, JK(2)), 30)));
IG_INLINE V IGT(sin)(V x) { IG_SINCOS_f32(0) }
IG_INLINE V IGT(cos)(V x) { IG_SINCOS_f32(1) }
IG_INLINE V IGT(tan)(V x) { /* tan(r), or -1 / tan(r) in the odd quadrants */
  J q;
  V r = IGT(reduce)(x, &q), s = MUL(r, r), t = ORSIGN(FMA(MUL(POLY(s, IG_C_TAN_f32), s), r, r), r);
  M even = IGN(mask_eq_i32)(JAND(q, JK(1)), JK(0));
  return DIV(SEL(even, t, K(-1.0f)), SEL(even, K(1.0f), t));
}
