/* Purpose: the f64 functions for blocks of 64 as two blocks of 32: more vectors side by side would only spill. */
#define IG_HALF_LOW(i, j, none) low.v##i = a.v##i;
#define IG_HALF_HIGH(i, j, none) high.v##i = a.v##j;
#define IG_HALVES_JOIN(i, j, none) r.v##i = low.v##i; r.v##j = high.v##i;
IG_INLINE ig32_f64 ig64_low_f64(ig64_f64 a) { ig32_f64 low; IG_ACROSS_64(IG_HALF_LOW, ) return low; }
IG_INLINE ig32_f64 ig64_high_f64(ig64_f64 a) { ig32_f64 high; IG_ACROSS_64(IG_HALF_HIGH, ) return high; }
IG_INLINE ig64_f64 ig64_whole_f64(ig32_f64 low, ig32_f64 high) { ig64_f64 r; IG_ACROSS_64(IG_HALVES_JOIN, ) return r; }
#define IG_SPLIT1(name) \
  IG_INLINE ig64_f64 ig64_##name##_f64(ig64_f64 x) { \
    return ig64_whole_f64(ig32_##name##_f64(ig64_low_f64(x)), ig32_##name##_f64(ig64_high_f64(x))); }
#define IG_SPLIT2(name) \
  IG_INLINE ig64_f64 ig64_##name##_f64(ig64_f64 x, ig64_f64 y) { \
    return ig64_whole_f64(ig32_##name##_f64(ig64_low_f64(x), ig64_low_f64(y)), \
                          ig32_##name##_f64(ig64_high_f64(x), ig64_high_f64(y))); }
IG_SPLIT1(exp) IG_SPLIT1(exp_flushed) IG_SPLIT1(exp2) IG_SPLIT1(expm1) IG_SPLIT1(log) IG_SPLIT1(log1p) IG_SPLIT1(log2)
IG_SPLIT1(log10) IG_SPLIT1(sin) IG_SPLIT1(cos) IG_SPLIT1(tan) IG_SPLIT1(tanh) IG_SPLIT1(sinh) IG_SPLIT1(cosh)
IG_SPLIT1(asin) IG_SPLIT1(acos) IG_SPLIT1(atan) IG_SPLIT1(sigmoid) IG_SPLIT1(erf) IG_SPLIT1(erfc)
IG_SPLIT2(atan2) IG_SPLIT2(pow)
IG_INLINE ig64_f64 ig64_pow_core_f64(ig64_f64 m, ig64_f64 k, ig64_f64 y) {
  return ig64_whole_f64(ig32_pow_core_f64(ig64_low_f64(m), ig64_low_f64(k), ig64_low_f64(y)),
                        ig32_pow_core_f64(ig64_high_f64(m), ig64_high_f64(k), ig64_high_f64(y)));
}
