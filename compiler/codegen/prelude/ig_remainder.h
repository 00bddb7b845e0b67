/* Purpose: exact floating-point remainders of scalars without libm: x - y trunc(x / y), and its floored form.
   x's mantissa is reduced by y's in integers, eleven bits of the quotient at a time. */
#ifndef IG_REMAINDER_H
#define IG_REMAINDER_H

IG_COLD double ig_remainder_large(double x, double y) { /* finite, x >= y > 0 */
  uint64_t a = (uint64_t)ig_bits_f64(x), b = (uint64_t)ig_bits_f64(y), one = (uint64_t)1 << 52;
  int ea = (int)(a >> 52), eb = (int)(b >> 52), n;
  a &= one - 1;
  b &= one - 1;
  if (ea) a |= one; else ea = 1;
  if (eb) b |= one; else eb = 1;
  a %= b;
  for (n = ea - eb; n > 0 && a != 0;) {
    int s = n < 11 ? n : 11;
    a = (a << s) % b;
    n -= s;
  }
  if (a == 0) return 0.0;
  while (!(a & one) && eb > 1) { a <<= 1; eb--; }
  return ig_float_i64((int64_t)(a & one ? ((uint64_t)eb << 52) | (a & (one - 1)) : a));
}
IG_INLINE double ig_truncmod_f64(double x, double y) {
  double ax = ig_float_i64(ig_bits_f64(x) & 0x7fffffffffffffff), ay = ig_float_i64(ig_bits_f64(y) & 0x7fffffffffffffff), r;
  if (!(ax < IG_INF_f64) || !(ay > 0)) return IG_NAN_f64;
  if (y != y) return y;
  if (ax < ay) return x;
  r = ig_remainder_large(ax, ay);
  return ig_float_i64(ig_bits_f64(r) | (ig_bits_f64(x) & (int64_t)0x8000000000000000));
}
IG_INLINE double ig_floormod_f64(double x, double y) {
  double r = ig_truncmod_f64(x, y);
  if (r == 0) return ig_float_i64(ig_bits_f64(y) & (int64_t)0x8000000000000000);
  return (r < 0) != (y < 0) ? r + y : r;
}
/* f32 through f64: the remainder of two floats is a float, and adding the divisor rounds to f32 once. */
IG_INLINE float ig_truncmod_f32(float x, float y) { return (float)ig_truncmod_f64((double)x, (double)y); }
IG_INLINE float ig_floormod_f32(float x, float y) {
  float r = ig_truncmod_f32(x, y);
  if (r == 0) return ig_float_i32(ig_bits_f32(y) & (int32_t)0x80000000);
  return (r < 0) != (y < 0) ? r + y : r;
}

#endif
