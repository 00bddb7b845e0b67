/* Purpose: the f64 cores that differ from f32 in method: logarithms, the error function, pow, sines with a tail. */

/* x = 2^k (1 + f) with 1 + f in [sqrt 1/2, sqrt 2); k is made from the exponent's bits without a conversion. */
IG_INLINE V IGT(exponent)(J e) { /* e = k 2^52 */
  J biased = IGN(logical_right_i64)(JADD(e, JK(0x4000000000000000)), 52);
  return SUB(FLOAT(JADD(biased, JK(0x4330000000000000))), K(0x1p52 + 1024));
}
IG_INLINE V IGT(log_reduce)(V x, V *k) {
  M subnormal = LT(x, K(0x1p-1022));
  V y = SEL(subnormal, MUL(x, K(0x1p52)), x);
  J e = JAND(JSUB(BITS(y), JK(0x3fe6a09e667f3bcd)), JK((int64_t)0xfff0000000000000));
  *k = SUB(IGT(exponent)(e), SEL(subnormal, K(52.0), K(0.0)));
  return SUB(FLOAT(JSUB(BITS(y), e)), K(1.0));
}
/* log(1 + f) = f - h + s (h + R), s = f / (2 + f), h = f^2 / 2: returns s (h + R). */
IG_INLINE V IGT(log_rest)(V f, V h) {
  V s = DIV(f, ADD(f, K(2.0))), z = MUL(s, s);
  return MUL(s, FMA(z, POLY(z, IG_C_LOG_f64), h));
}
IG_INLINE V IGT(log_join)(V k, V f) {
  V h = MUL(MUL(f, f), K(0.5)), rest = FMA(k, K(0x1.ef35793c76730p-45), IGT(log_rest)(f, h));
  return FMA(k, K(0x1.62e42fefa3800p-1), SUB(f, SUB(h, rest)));
}
IG_INLINE V IGT(log)(V x) {
  V k, f = IGT(log_reduce)(x, &k);
  return IGT(log_special)(x, IGT(log_join)(k, f));
}
IG_INLINE V IGT(log1p)(V x) {
  V u = ADD(x, K(1.0));
  J e = JAND(JSUB(BITS(u), JK(0x3fe6a09e667f3bcd)), JK((int64_t)0xfff0000000000000));
  V m = FLOAT(JSUB(BITS(x), e)), s = FLOAT(JSUB(JK(0x4010000000000000), e));
  V f = ADD(m, FMA(K(0.25), s, K(-1.0)));
  return IGT(log1p_special)(x, IGT(log_join)(IGT(exponent)(e), f));
}
/* k scale + log(1 + f) factor, log(1 + f) and the factors in two parts each. */
IG_INLINE V IGT(log_scaled)(V k, V f, double scale, double scale_low, double factor, double factor_low) {
  V h = MUL(MUL(f, f), K(0.5)), rest = IGT(log_rest)(f, h);
  V hi = SUB(f, h), lo = ADD(SUB(SUB(f, hi), h), rest);
  V w = MUL(hi, K(factor)), wl = FMA(hi, K(factor), NEG(w)), a = MUL(k, K(scale)), y = ADD(a, w);
  wl = FMA(lo, K(factor), FMA(hi, K(factor_low), wl));
  wl = FMA(k, K(scale_low), wl);
  return ADD(y, ADD(ADD(SUB(a, y), w), wl));
}
IG_INLINE V IGT(log2)(V x) {
  V k, f = IGT(log_reduce)(x, &k);
  return IGT(log_special)(x, IGT(log_scaled)(k, f, 1.0, 0.0, 0x1.71547652b82fep+0, 0x1.777d0ffda0d24p-56));
}
IG_INLINE V IGT(log10)(V x) { /* the first part of log10(2) has 42 bits: its product with k is exact */
  V k, f = IGT(log_reduce)(x, &k);
  return IGT(log_special)(x, IGT(log_scaled)(k, f, 0x1.34413509f7800p-2, 0x1.fef311f12b358p-46, 0x1.bcb7b1526e50ep-2,
                                             0x1.95355baaafad3p-57));
}

/* erf(t) = 1 - exp(-t (1 + Q(t))) for t in [0, 6], written in -t. */
IG_INLINE V IGT(erf)(V x) {
  V t = GREATER(K(-6.0), NEGABS(x));
  return COPYSIGN(IGT(expm1_negative)(FMA(t, POLY(t, IG_C_ERF_f64), t)), x);
}

/* The core of pow in f32: 2^(y (k + log2 m)) to 2^-42, held inside 2^+-160. */
IG_INLINE V IGT(pow_core)(V m, V k, V y) {
  V f = SUB(m, K(1.0)), l = MUL(FMA(POLY(f, IG_C_LOG2_f64), f, k), y);
  l = LESSER(K(160.0), GREATER(K(-160.0), l));
  {
    V t = ADD(l, K(0x1.8p52)), i = SUB(t, K(0x1.8p52)), p = POLY(SUB(l, i), IG_C_EXP2_f64);
    return MUL(p, FLOAT(JLEFT(JADD(BITS(t), JK(1023)), 52)));
  }
}

/* pow: log x in double-double (relative error 2^-65), times y exactly, exp of the sum. */
IG_INLINE V IGT(log_double)(V x, V *low) { /* x > 0 and finite */
  V k, f = IGT(log_reduce)(x, &k);
  V d = ADD(f, K(2.0)), dl = ADD(SUB(K(2.0), d), f), s = DIV(f, d), sl = DIV(FNMA(s, dl, FNMA(s, d, f)), d);
  V z = MUL(s, s), zl = FMA(ADD(s, s), sl, FMA(s, s, NEG(z)));
  /* log = s (2 + z C), C = 2/3 + z Q(z) */
  V c = MUL(z, POLY(z, IG_C_POWLOG_f64)), ch = ADD(c, K(0x1.5555555555555p-1));
  V cl = ADD(ADD(SUB(K(0x1.5555555555555p-1), ch), c), K(0x1.5555555555555p-55));
  V p = MUL(z, ch), pl = ADD(FMA(z, ch, NEG(p)), FMA(z, cl, MUL(zl, ch)));
  V t = MUL(s, p), tl = ADD(FMA(s, p, NEG(t)), FMA(s, pl, MUL(sl, p)));
  V a = MUL(k, K(0x1.62e42fefa3800p-1)), b = ADD(s, s), u = ADD(a, b), ul = ADD(SUB(a, u), b);
  V v = ADD(u, t), vl = ADD(SUB(u, v), t);
  V lo = ADD(ADD(ul, vl), FMA(k, K(0x1.ef35793c76730p-45), FMA(K(2.0), sl, tl))), hi = ADD(v, lo);
  *low = ADD(SUB(v, hi), lo);
  return hi;
}
IG_INLINE V IGT(pow)(V x, V y) {
  V low, high = IGT(log_double)(ABS(x), &low), e = MUL(high, y), el = FMA(high, y, NEG(e)), t, k, r;
  el = SEL(LT(ABS(e), K(760.0)), FMA(low, y, el), K(0.0));
  e = LESSER(K(760.0), GREATER(K(-760.0), e));
  r = ADD(IGT(exp_reduce)(e, &t, &k), el);
  return IGT(pow_special)(x, y, SCALE(POLY(r, IG_C_EXP_f64), t, k));
}

/* x = j pi/2 + r + tail: x - j P1 is exact, the other parts of pi/2 are subtracted with their error kept. */
IG_COLD void IGT(reduce_lanes)(const double *x, double *r, double *tail, int64_t *q) {
  for (int i = 0; i < IG_L; i++) {
    double a = ig_float_i64(ig_bits_f64(x[i]) & 0x7fffffffffffffff);
    if (!(a > 1000000.0 && a < IG_INF_f64)) continue;
    q[i] = ig_reduce_large(x[i], r + i, tail + i);
  }
}
IG_INLINE V IGT(reduce)(V x, J *q, V *tail) {
  V t = FMA(x, K(0x1.45f306dc9c883p-1), K(0x1.8p52)), j = SUB(t, K(0x1.8p52));
  V first = FMA(j, K(-0x1.921fb54442d18p+0), x), w = MUL(j, K(0x1.1a62633145c06p-54)), r = SUB(first, w);
  V wl = FMA(j, K(0x1.c1cd129024e08p-107), FMA(j, K(0x1.1a62633145c06p-54), NEG(w))), part = SUB(r, first);
  *tail = SUB(SUB(SUB(first, SUB(r, part)), ADD(w, part)), wl); /* Knuth's two-sum of first and -w */
  *q = BITS(t);
  if (IG_UNLIKELY(ANY(LT(K(1000000.0), ABS(x))))) {
    double xs[IG_L], rs[IG_L], ts[IG_L];
    int64_t qs[IG_L];
    IGN(store_f64)(xs, x, IG_L);
    IGN(store_f64)(rs, r, IG_L);
    IGN(store_f64)(ts, *tail, IG_L);
    IGN(store_i64)(qs, *q, IG_L);
    IGT(reduce_lanes)(xs, rs, ts, qs);
    r = IGN(load_f64)(rs, IG_L);
    *tail = IGN(load_f64)(ts, IG_L);
    *q = IGN(load_i64)(qs, IG_L);
  }
  return r;
}
IG_INLINE V IGT(sin_near)(V r, V tail) { /* sin(r + tail), |r| <= pi/4 */
  V s = MUL(r, r), rest = FNMA(MUL(tail, K(0.5)), s, tail);
  return ORSIGN(ADD(r, FMA(MUL(POLY(s, IG_C_SIN_f64), s), r, rest)), r);
}
IG_INLINE V IGT(cos_near)(V r, V tail) {
  V s = MUL(r, r), w = MUL(s, K(0.5)), c = SUB(K(1.0), w), rest = FNMA(r, tail, SUB(SUB(K(1.0), c), w));
  return ADD(c, FMA(POLY(s, IG_C_COS_f64), MUL(s, s), rest));
}
#define IG_SINCOS_f64(shift) \
  J q; \
  V tail, r = IGT(reduce)(x, &q, &tail), s = IGT(sin_near)(r, tail), c = IGT(cos_near)(r, tail), y; \
  q = JADD(q, JK(shift)); \
  y = SEL(IGN(mask_eq_i64)(JAND(q, JK(1)), JK(0)), s, c); \
  return FLOAT(JXOR(BITS(y), JLEFT(JAND(q, JK(2)), 62)));
IG_INLINE V IGT(sin)(V x) { IG_SINCOS_f64(0) }
IG_INLINE V IGT(cos)(V x) { IG_SINCOS_f64(1) }
IG_INLINE V IGT(tan)(V x) { /* tan(r), or -1 / tan(r) in the odd quadrants */
  J q;
  V tail, r = IGT(reduce)(x, &q, &tail), s = MUL(r, r);
  V t = MUL(POLY(s, IG_C_TAN_f64), MUL(s, r)), rest = FMA(tail, s, ADD(t, tail));
  M even = IGN(mask_eq_i64)(JAND(q, JK(1)), JK(0));
  t = ORSIGN(ADD(r, rest), r);
  return DIV(SEL(even, t, K(-1.0)), SEL(even, K(1.0), t));
}
