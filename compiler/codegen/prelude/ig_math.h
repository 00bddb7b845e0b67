/* Purpose: exponentials and the inverse and hyperbolic functions, one text for f32 and f64.
   Included for each element type before (IG_MATH_PART 1) and after (IG_MATH_PART 2) the headers of that type. */
#if IG_MATH_PART == 1

/* c = k ln 2 + r with |r| <= ln 2 / 2; t = k + 1.5 * 2^23 (2^52) carries k in its low bits. */
IG_INLINE V IGT(exp_reduce)(V c, V *t, V *k) {
  *t = FMA(c, K(C(0x1.715476p+0f, 0x1.71547652b82fep+0)), K(C(0x1.8p23f, 0x1.8p52)));
  *k = SUB(*t, K(C(0x1.8p23f, 0x1.8p52)));
  {
    V r = FMA(*k, K(C(-0x1.62e430p-1f, -0x1.62e42fefa39efp-1)), c);
    return FMA(*k, K(C(0x1.05c610p-29f, -0x1.abc9e3b39803fp-56)), r);
  }
}
IG_INLINE V IGT(exp_within)(V c) { /* |c| within the range of the exponents */
  V t, k, r = IGT(exp_reduce)(c, &t, &k);
  return SCALE(POLY(r, C(IG_C_EXP_f32, IG_C_EXP_f64)), t, k);
}
IG_INLINE V IGT(exp)(V x) { return IGT(exp_within)(LESSER(K(C(89.0f, 710.0)), GREATER(K(C(-104.0f, -746.0)), x))); }
/* exp(x) where x <= 0, with results below the normal range flushed to 0: for softmax, where they cost time and say nothing. */
IG_INLINE V IGT(exp_flushed)(V x) {
  V t, k, c = GREATER(K(C(-87.0f, -708.0)), x), r = IGT(exp_reduce)(c, &t, &k), p = POLY(r, C(IG_C_EXP_f32, IG_C_EXP_f64));
  return SEL(LT(x, c), K(0), FLOAT(JADD(BITS(p), JLEFT(BITS(t), C(23, 52)))));
}
IG_INLINE V IGT(exp2)(V x) {
  V c = LESSER(K(C(129.0f, 1025.0)), GREATER(K(C(-151.0f, -1076.0)), x));
  V t = ADD(c, K(C(0x1.8p23f, 0x1.8p52))), k = SUB(t, K(C(0x1.8p23f, 0x1.8p52)));
  V r = MUL(SUB(c, k), K(C(0x1.62e430p-1f, 0x1.62e42fefa39efp-1)));
  return SCALE(POLY(r, C(IG_C_EXP_f32, IG_C_EXP_f64)), t, k);
}

/* 2^(k + bias) of t: the exponent's bits. */
IG_INLINE V IGT(power_of_two)(V t, int bias) {
  return FLOAT(JADD(JLEFT(BITS(t), C(23, 52)), JK((C((int32_t)bias << 23, (int64_t)bias << 52)))));
}
/* e^r - 1 of a reduced argument. */
IG_INLINE V IGT(expm1_near)(V r) { return FMA(POLY(r, C(IG_C_EXPM1_f32, IG_C_EXPM1_f64)), MUL(r, r), r); }
/* e^x - 1 for x in [-87, 0]. */
IG_INLINE V IGT(expm1_negative)(V x) {
  V t, k, r = IGT(exp_reduce)(x, &t, &k), p = IGT(expm1_near)(r), s = IGT(power_of_two)(t, C(127, 1023));
  return FMA(p, s, SUB(s, K(1)));
}
/* In halves, so that 2^128 (2^1024) is never formed; where x^2 / 2 rounds away, x itself (and -0). */
IG_INLINE V IGT(expm1)(V x) {
  V c = LESSER(K(C(89.0f, 710.0)), GREATER(K(C(-30.0f, -50.0)), x)), t, k, r = IGT(exp_reduce)(c, &t, &k);
  V p = IGT(expm1_near)(r), s = IGT(power_of_two)(t, C(126, 1022));
  V y = MUL(FMA(p, s, SUB(s, K(C(0.5f, 0.5)))), K(2));
  return SEL(LT(ABS(x), K(C(0x1p-26f, 0x1p-55))), x, y);
}

/* log of zeros, negatives, inf and NaN; r for the rest. */
IG_INLINE V IGT(log_special)(V x, V r) {
  V z = SEL(LT(x, K(0)), K(NOT_A_NUMBER), x);
  z = SEL(EQ(x, K(0)), K(-INFINITE), z);
  return SEL(MAND(LT(K(0), x), LT(x, K(INFINITE))), r, z);
}
IG_INLINE V IGT(log1p_special)(V x, V r) {
  V z = SEL(LT(x, K(-1)), K(NOT_A_NUMBER), x);
  z = SEL(EQ(x, K(-1)), K(-INFINITE), z);
  return ORSIGN(SEL(MAND(LT(K(-1), x), LT(x, K(INFINITE))), r, z), x);
}

/* C99's special cases of pow; r is |x|^y for the others. */
IG_INLINE V IGT(pow_special)(V x, V y, V r) {
  V a = ABS(x), b = ABS(y), half = MUL(b, K(C(0.5f, 0.5)));
  M whole = EQ(IGT(round)(b), b), odd = MAND(whole, MNOT(EQ(IGT(round)(half), half))), down = LT(y, K(0));
  r = SEL(EQ(a, K(INFINITE)), SEL(down, K(0), K(INFINITE)), r);
  r = SEL(EQ(a, K(0)), SEL(down, K(INFINITE), K(0)), r);
  r = SEL(EQ(x, x), SEL(EQ(y, y), r, y), x);
  r = SEL(odd, ORSIGN(r, x), r);
  r = SEL(MAND(MAND(LT(x, K(0)), LT(K(-INFINITE), x)), MAND(MNOT(whole), EQ(y, y))), K(NOT_A_NUMBER), r);
  r = SEL(MAND(EQ(a, K(1)), EQ(b, K(INFINITE))), K(1), r);
  return SEL(MOR(EQ(x, K(1)), EQ(y, K(0))), K(1), r);
}

#else

/* n / (a + b) for |a| >= |b|, 1 <= a + b <= 2: the rounding error of a + b is paid back with a rough reciprocal. */
IG_INLINE V IGT(divide_sum)(V n, V a, V b) {
  V d = ADD(a, b), q = DIV(n, d);
  return FNMA(MUL(q, SUB(b, SUB(d, a))), FMA(d, K(C(-0x1.e1e1e2p-2f, -0x1.e1e1e2p-2)), K(C(0x1.696968p+0f, 0x1.696968p+0))), q);
}
IG_INLINE V IGT(sigmoid)(V x) {
  V e = IGT(exp_within)(GREATER(K(C(-104.0f, -746.0)), NEGABS(x)));
  return IGT(divide_sum)(SEL(LT(x, K(0)), e, K(1)), K(1), e);
}
/* tanh(x) = -e / (e + 2), e = expm1(-2 |x|). */
IG_INLINE V IGT(tanh)(V x) {
  V n = NEGABS(x), e = IGT(expm1_negative)(GREATER(K(C(-20.0f, -40.0)), ADD(n, n)));
  return COPYSIGN(IGT(divide_sum)(e, K(2), e), x);
}
/* sinh(x) = 2 (q + q / (4 q + 1)), q = expm1(|x|) / 4; near 0 x + x^3 / 6. */
IG_INLINE V IGT(sinh)(V x) {
  V a = LESSER(K(C(89.5f, 710.6)), ABS(x)), t, k, r = IGT(exp_reduce)(a, &t, &k), p = IGT(expm1_near)(r);
  V s = IGT(power_of_two)(t, C(125, 1021)), q = FMA(p, s, SUB(s, K(C(0.25f, 0.25))));
  V y = MUL(ADD(q, DIV(q, FMA(q, K(4), K(1)))), K(2));
  V near = FMA(MUL(MUL(x, x), K(C(0x1.555556p-3f, 0x1.5555555555555p-3))), x, x);
  return SEL(LT(ABS(x), K(C(0x1p-13f, 0x1p-13))), near, COPYSIGN(y, x));
}
/* cosh(x) = 2 q + 1 / (8 q), q = exp(|x|) / 4. */
IG_INLINE V IGT(cosh)(V x) {
  V a = LESSER(K(C(89.5f, 710.6)), ABS(x)), t, k, r = IGT(exp_reduce)(a, &t, &k);
  V q = SCALE(POLY(r, C(IG_C_EXP_f32, IG_C_EXP_f64)), SUB(t, K(2)), SUB(k, K(2)));
  return FMA(q, K(2), DIV(K(C(0.125f, 0.125)), q));
}

/* asin(s) for s in [0, 1/2]; larger arguments through asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2)). */
#define PIO2 K(C(0x1.921fb6p+0f, 0x1.921fb54442d18p+0))
#define PIO2_LOW K(C(-0x1.777a5cp-25f, 0x1.1a62633145c07p-54))
IG_INLINE V IGT(asin_near)(V a, M *far) {
  *far = LT(K(C(0.5f, 0.5)), a);
  {
    V z = SEL(*far, FNMA(a, K(C(0.5f, 0.5)), K(C(0.5f, 0.5))), MUL(a, a)), s = SEL(*far, IGT(sqrt)(z), a);
    return FMA(MUL(s, z), POLY(z, C(IG_C_ASIN_f32, IG_C_ASIN_f64)), s);
  }
}
IG_INLINE V IGT(asin)(V x) {
  M far;
  V p = IGT(asin_near)(ABS(x), &far);
  return COPYSIGN(SEL(far, SUB(PIO2, SUB(ADD(p, p), PIO2_LOW)), p), x);
}
IG_INLINE V IGT(acos)(V x) {
  M far;
  V p = IGT(asin_near)(ABS(x), &far), twice = ADD(p, p);
  V wide = SEL(LT(x, K(0)), SUB(MUL(PIO2, K(2)), FNMA(PIO2_LOW, K(2), twice)), twice);
  return SEL(far, wide, SUB(PIO2, SUB(COPYSIGN(p, x), PIO2_LOW)));
}

/* atan(t) for t >= 0: u = t, (t - 1) / (t + 1) or -1 / t, so that |u| <= tan(pi/8), plus 0, pi/4 or pi/2. */
IG_INLINE V IGT(atan_positive)(V t) {
  M mid = LT(K(C(0x1.a8279ap-2f, 0x1.a827999fcef32p-2)), t), far = LT(K(C(0x1.3504f4p+1f, 0x1.3504f333f9de6p+1)), t);
  V n = SEL(far, K(-1), SEL(mid, SUB(t, K(1)), t)), d = SEL(far, t, SEL(mid, ADD(t, K(1)), K(1)));
  V base = SEL(far, PIO2, SEL(mid, MUL(PIO2, K(C(0.5f, 0.5))), K(0)));
  V low = SEL(far, PIO2_LOW, SEL(mid, MUL(PIO2_LOW, K(C(0.5f, 0.5))), K(0)));
  V u = DIV(n, d), z = MUL(u, u), p = FMA(MUL(u, z), POLY(z, C(IG_C_ATAN_f32, IG_C_ATAN_f64)), u);
  return ADD(base, ADD(low, p));
}
IG_INLINE V IGT(atan)(V x) { return COPYSIGN(IGT(atan_positive)(ABS(x)), x); }
/* atan of the smaller over the larger, unfolded by the octant; a zero's sign is a side. */
IG_INLINE V IGT(atan2)(V y, V x) {
  V a = ABS(y), b = ABS(x), side = COPYSIGN(K(1), x);
  M steep = LT(b, a);
  V n = SEL(steep, b, a), d = SEL(steep, a, b), q = DIV(n, d), r;
  q = SEL(MAND(EQ(n, d), LT(d, K(C(0x1p-149f, 0x0.0000000000001p-1022)))), K(0), q);
  q = SEL(EQ(n, K(INFINITE)), SEL(EQ(d, d), K(1), q), q);
  r = IGT(atan_positive)(q);
  r = SEL(steep, SUB(PIO2, SUB(r, PIO2_LOW)), r);
  r = SEL(LT(side, K(0)), SUB(MUL(PIO2, K(2)), FNMA(PIO2_LOW, K(2), r)), r);
  return COPYSIGN(r, y);
}

/* erfc(a) = exp(-a^2) g / (1 + 2 a) for a >= 0, the error of a^2 paid back; 2 - erfc(a) on the other side. */
IG_INLINE V IGT(erfc)(V x) {
  V a = LESSER(K(C(11.0f, 28.0)), ABS(x)), u = DIV(SUB(a, K(C(2, 4))), ADD(a, K(C(2, 4))));
  V g = DIV(POLY(u, C(IG_C_ERFC_f32, IG_C_ERFC_f64)), FMA(a, K(2), K(1)));
  V h = MUL(a, a), low = FMA(a, a, NEG(h)), t, k, r = IGT(exp_reduce)(NEG(h), &t, &k);
  V p = MUL(POLY(r, C(IG_C_EXP_f32, IG_C_EXP_f64)), FNMA(low, g, g)), y = SCALE(p, t, k);
  return SEL(LT(x, K(0)), SUB(K(2), y), y);
}
#undef PIO2
#undef PIO2_LOW

#endif
