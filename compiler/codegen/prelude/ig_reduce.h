/* Purpose: reduction of large angles by Payne and Hanek ("Radian reduction for trigonometric functions", 1983):
   x = q pi/2 + r + tail for |x| beyond the reach of the short reduction.  Scalars only; rarely taken. */
#ifndef IG_REDUCE_H
#define IG_REDUCE_H

IG_INLINE uint64_t ig_high_product(uint64_t a, uint64_t b) {
#if defined(IG_CUDA)
  return __umul64hi(a, b);
#else
  return (uint64_t)(((unsigned __int128)a * b) >> 64);
#endif
}
/* The word of 64 bits of 2/pi that starts `at` bits after the binary point (at < 0: zeros before it). */
IG_INLINE uint64_t ig_two_over_pi_bits(int at) {
  int word = at >> 6, shift = at & 63;
  uint64_t a = word < 0 ? 0 : ig_two_over_pi[word], b = word + 1 < 0 ? 0 : ig_two_over_pi[word + 1];
  return shift ? (a << shift) | (b >> (64 - shift)) : a;
}
/* x finite, |x| >= 2.  Returns q mod 4. */
IG_COLD int ig_reduce_large(double x, double *r, double *tail) {
  int64_t bits = ig_bits_f64(x);
  int exponent = (int)((bits >> 52) & 0x7ff) - 1075, negative = bits < 0, sign = 0, q, shift;
  uint64_t m = ((uint64_t)bits & 0xfffffffffffffull) | 0x10000000000000ull;
  /* x = m 2^exponent.  Of m 2/pi only the bits from 2^1 down matter: the words of 2/pi begin 2 bits before. */
  uint64_t w0 = ig_two_over_pi_bits(exponent - 2), w1 = ig_two_over_pi_bits(exponent + 62), w2 = ig_two_over_pi_bits(exponent + 126);
  uint64_t low = ig_high_product(m, w2), mid = m * w1, top = m * w0 + ig_high_product(m, w1);
  double hi, lo, a, b, s;
  mid += low;
  top += mid < low;
  /* top:mid is x 2/pi mod 4 with 126 bits after the point; round to nearest, keep the signed fraction */
  q = (int)(top >> 62);
  top = (top << 2) | (mid >> 62);
  mid <<= 2;
  if (top >> 63) {
    q++;
    sign = 1;
    top = ~top;
    mid = ~mid + 1;
    top += mid == 0;
  }
  /* the fraction top:mid / 2^128 <= 1/2 as two doubles */
  if (top == 0) { top = mid; mid = 0; shift = 64; } else shift = 0;
  while (top && !(top >> 63)) { top = (top << 1) | (mid >> 63); mid <<= 1; shift++; }
  s = ig_float_i64((int64_t)(1023 - 64 - shift) << 52);
  a = (double)(int64_t)(top >> 11) * 2048.0;
  b = (double)(int64_t)(((top & 2047) << 52) | (mid >> 12)) * 0x1p-52;
  a *= s;
  b *= s;
  /* times pi/2, in double-double */
  hi = a * 0x1.921fb54442d18p+0;
  lo = ig1_fma_f64(a, 0x1.921fb54442d18p+0, -hi) + (a * 0x1.1a62633145c07p-54 + b * 0x1.921fb54442d18p+0);
  *r = hi + lo;
  *tail = (hi - *r) + lo;
  if (sign != negative) { *r = -*r; *tail = -*tail; }
  return (negative ? -q : q) & 3;
}

#endif
