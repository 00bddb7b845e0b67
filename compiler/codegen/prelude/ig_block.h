/* Purpose: the primitives for blocks of IG_L elements, IG_L = 64, 32 or 16: included once for each.
   A block is a struct of native vectors in named fields, and every primitive is written out for all of them side by side,
   so that the compiler keeps the fields in registers and has independent work to interleave. */

#define IG_TIMES1(M, ...) M(0, __VA_ARGS__)
#define IG_TIMES2(M, ...) IG_TIMES1(M, __VA_ARGS__) M(1, __VA_ARGS__)
#define IG_TIMES4(M, ...) IG_TIMES2(M, __VA_ARGS__) M(2, __VA_ARGS__) M(3, __VA_ARGS__)
#define IG_TIMES8(M, ...) \
  IG_TIMES4(M, __VA_ARGS__) M(4, __VA_ARGS__) M(5, __VA_ARGS__) M(6, __VA_ARGS__) M(7, __VA_ARGS__)
#define IG_TIMES16(M, ...) \
  IG_TIMES8(M, __VA_ARGS__) M(8, __VA_ARGS__) M(9, __VA_ARGS__) M(10, __VA_ARGS__) M(11, __VA_ARGS__) \
  M(12, __VA_ARGS__) M(13, __VA_ARGS__) M(14, __VA_ARGS__) M(15, __VA_ARGS__)
#define IG_TIMES32(M, ...) \
  IG_TIMES16(M, __VA_ARGS__) M(16, __VA_ARGS__) M(17, __VA_ARGS__) M(18, __VA_ARGS__) M(19, __VA_ARGS__) \
  M(20, __VA_ARGS__) M(21, __VA_ARGS__) M(22, __VA_ARGS__) M(23, __VA_ARGS__) M(24, __VA_ARGS__) M(25, __VA_ARGS__) \
  M(26, __VA_ARGS__) M(27, __VA_ARGS__) M(28, __VA_ARGS__) M(29, __VA_ARGS__) M(30, __VA_ARGS__) M(31, __VA_ARGS__)
/* Pairs (i, 2 i, 2 i + 1): a vector of 32-bit lanes and its two of 64-bit lanes. */
#define IG_PAIRS1(M, ...) M(0, 0, 1, __VA_ARGS__)
#define IG_PAIRS2(M, ...) IG_PAIRS1(M, __VA_ARGS__) M(1, 2, 3, __VA_ARGS__)
#define IG_PAIRS4(M, ...) IG_PAIRS2(M, __VA_ARGS__) M(2, 4, 5, __VA_ARGS__) M(3, 6, 7, __VA_ARGS__)
#define IG_PAIRS8(M, ...) \
  IG_PAIRS4(M, __VA_ARGS__) M(4, 8, 9, __VA_ARGS__) M(5, 10, 11, __VA_ARGS__) M(6, 12, 13, __VA_ARGS__) M(7, 14, 15, __VA_ARGS__)
#define IG_PAIRS16(M, ...) \
  IG_PAIRS8(M, __VA_ARGS__) M(8, 16, 17, __VA_ARGS__) M(9, 18, 19, __VA_ARGS__) M(10, 20, 21, __VA_ARGS__) \
  M(11, 22, 23, __VA_ARGS__) M(12, 24, 25, __VA_ARGS__) M(13, 26, 27, __VA_ARGS__) M(14, 28, 29, __VA_ARGS__) \
  M(15, 30, 31, __VA_ARGS__)
/* Pairs (i, i + h) of 2 h fields, and the halvings h = n/2 .. 1 of n fields. */
#define IG_ACROSS1(M, ...) M(0, 1, __VA_ARGS__)
#define IG_ACROSS2(M, ...) M(0, 2, __VA_ARGS__) M(1, 3, __VA_ARGS__)
#define IG_ACROSS4(M, ...) M(0, 4, __VA_ARGS__) M(1, 5, __VA_ARGS__) M(2, 6, __VA_ARGS__) M(3, 7, __VA_ARGS__)
#define IG_ACROSS8(M, ...) \
  M(0, 8, __VA_ARGS__) M(1, 9, __VA_ARGS__) M(2, 10, __VA_ARGS__) M(3, 11, __VA_ARGS__) M(4, 12, __VA_ARGS__) \
  M(5, 13, __VA_ARGS__) M(6, 14, __VA_ARGS__) M(7, 15, __VA_ARGS__)
#define IG_ACROSS16(M, ...) \
  M(0, 16, __VA_ARGS__) M(1, 17, __VA_ARGS__) M(2, 18, __VA_ARGS__) M(3, 19, __VA_ARGS__) M(4, 20, __VA_ARGS__) \
  M(5, 21, __VA_ARGS__) M(6, 22, __VA_ARGS__) M(7, 23, __VA_ARGS__) M(8, 24, __VA_ARGS__) M(9, 25, __VA_ARGS__) \
  M(10, 26, __VA_ARGS__) M(11, 27, __VA_ARGS__) M(12, 28, __VA_ARGS__) M(13, 29, __VA_ARGS__) M(14, 30, __VA_ARGS__) \
  M(15, 31, __VA_ARGS__)
#define IG_HALVE1(M, ...)
#define IG_HALVE2(M, ...) IG_ACROSS1(M, __VA_ARGS__)
#define IG_HALVE4(M, ...) IG_ACROSS2(M, __VA_ARGS__) IG_HALVE2(M, __VA_ARGS__)
#define IG_HALVE8(M, ...) IG_ACROSS4(M, __VA_ARGS__) IG_HALVE4(M, __VA_ARGS__)
#define IG_HALVE16(M, ...) IG_ACROSS8(M, __VA_ARGS__) IG_HALVE8(M, __VA_ARGS__)
#define IG_HALVE32(M, ...) IG_ACROSS16(M, __VA_ARGS__) IG_HALVE16(M, __VA_ARGS__)

#undef IG_EACH32
#undef IG_EACH64
#undef IG_EACH_PAIR
#undef IG_HALVE_32
#undef IG_HALVE_64
#undef IG_ACROSS_64
#if IG_L / IG_W == 1
#define IG_EACH32 IG_TIMES1
#define IG_EACH64 IG_TIMES2
#define IG_EACH_PAIR IG_PAIRS1
#define IG_HALVE_32 IG_HALVE1
#define IG_HALVE_64 IG_HALVE2
#define IG_ACROSS_64 IG_ACROSS1
#elif IG_L / IG_W == 2
#define IG_EACH32 IG_TIMES2
#define IG_EACH64 IG_TIMES4
#define IG_EACH_PAIR IG_PAIRS2
#define IG_HALVE_32 IG_HALVE2
#define IG_HALVE_64 IG_HALVE4
#define IG_ACROSS_64 IG_ACROSS2
#elif IG_L / IG_W == 4
#define IG_EACH32 IG_TIMES4
#define IG_EACH64 IG_TIMES8
#define IG_EACH_PAIR IG_PAIRS4
#define IG_HALVE_32 IG_HALVE4
#define IG_HALVE_64 IG_HALVE8
#define IG_ACROSS_64 IG_ACROSS4
#elif IG_L / IG_W == 8
#define IG_EACH32 IG_TIMES8
#define IG_EACH64 IG_TIMES16
#define IG_EACH_PAIR IG_PAIRS8
#define IG_HALVE_32 IG_HALVE8
#define IG_HALVE_64 IG_HALVE16
#define IG_ACROSS_64 IG_ACROSS8
#else
#define IG_EACH32 IG_TIMES16
#define IG_EACH64 IG_TIMES32
#define IG_EACH_PAIR IG_PAIRS16
#define IG_HALVE_32 IG_HALVE16
#define IG_HALVE_64 IG_HALVE32
#define IG_ACROSS_64 IG_ACROSS16
#endif

#define IG_FIELD(i, type) type v##i;
#define IG_SET0(i, value) r.v##i = value;
#define IG_SET1(i, f) r.v##i = f(a.v##i);
#define IG_SET1N(i, f) r.v##i = f(a.v##i, n);
#define IG_SET2(i, f) r.v##i = f(a.v##i, b.v##i);
#define IG_SET3(i, f) r.v##i = f(a.v##i, b.v##i, c.v##i);

typedef struct { IG_EACH32(IG_FIELD, igv_f32) } IGN(f32);
typedef struct { IG_EACH32(IG_FIELD, igv_i32) } IGN(i32);
typedef struct { IG_EACH32(IG_FIELD, igv_u32) } IGN(u32);
typedef struct { IG_EACH64(IG_FIELD, igv_f64) } IGN(f64);
typedef struct { IG_EACH64(IG_FIELD, igv_i64) } IGN(i64);
typedef struct { IG_EACH32(IG_FIELD, igv_m32) } IGN(bool);
typedef struct { IG_EACH64(IG_FIELD, igv_m64) } IGN(m64);

/* R name(A ..) from the vector function f, over the fields of 32-bit (or 64-bit) lanes. */
#define IG_LIFT1(N, R, name, A, f) IG_INLINE IGN(R) IGN(name)(IGN(A) a) { IGN(R) r; IG_EACH##N(IG_SET1, f) return r; }
#define IG_LIFT1N(N, R, name, A, f) \
  IG_INLINE IGN(R) IGN(name)(IGN(A) a, int n) { IGN(R) r; IG_EACH##N(IG_SET1N, f) return r; }
#define IG_LIFT2(N, R, name, A, f) \
  IG_INLINE IGN(R) IGN(name)(IGN(A) a, IGN(A) b) { IGN(R) r; IG_EACH##N(IG_SET2, f) return r; }
#define IG_LIFT3(N, R, name, A, B, f) \
  IG_INLINE IGN(R) IGN(name)(IGN(A) a, IGN(B) b, IGN(B) c) { IGN(R) r; IG_EACH##N(IG_SET3, f) return r; }
#define IG_UNARY(N, T, op) IG_LIFT1(N, T, op##_##T, T, igv_##op##_##T)
#define IG_BINARY(N, T, op) IG_LIFT2(N, T, op##_##T, T, igv_##op##_##T)

#define IG_BLOCK_NUMBER(N, T, S, M) \
  IG_INLINE IGN(T) IGN(splat_##T)(S x) { igv_##T s = igv_splat_##T(x); IGN(T) r; IG_EACH##N(IG_SET0, s) return r; } \
  IG_BINARY(N, T, add) IG_BINARY(N, T, sub) IG_BINARY(N, T, mul) \
  IG_LIFT2(N, M, mask_eq_##T, T, igv_eq_##T) IG_LIFT2(N, M, mask_lt_##T, T, igv_lt_##T) \
  IG_LIFT2(N, M, mask_le_##T, T, igv_le_##T) \
  IG_LIFT3(N, T, sel_##T, M, T, igv_sel_##T)
IG_BLOCK_NUMBER(32, f32, float, bool)
IG_BLOCK_NUMBER(32, i32, int32_t, bool)
IG_BLOCK_NUMBER(32, u32, uint32_t, bool)
IG_BLOCK_NUMBER(64, f64, double, m64)
IG_BLOCK_NUMBER(64, i64, int64_t, m64)

#define IG_BLOCK_FLOAT(N, T) \
  IG_BINARY(N, T, div) IG_BINARY(N, T, lesser) IG_BINARY(N, T, greater) IG_BINARY(N, T, minimum) IG_BINARY(N, T, maximum) \
  IG_UNARY(N, T, sqrt) IG_UNARY(N, T, floor) IG_UNARY(N, T, ceil) IG_UNARY(N, T, trunc) IG_UNARY(N, T, round) \
  IG_LIFT3(N, T, fma_##T, T, T, igv_fma_##T) IG_LIFT3(N, T, fnma_##T, T, T, igv_fnma_##T) \
  IG_LIFT3(N, T, scale_##T, T, T, igv_scale_##T)
IG_BLOCK_FLOAT(32, f32)
IG_BLOCK_FLOAT(64, f64)

#define IG_BLOCK_INT(N, T) \
  IG_BINARY(N, T, and) IG_BINARY(N, T, or) IG_BINARY(N, T, xor) IG_UNARY(N, T, not) \
  IG_LIFT1N(N, T, left_##T, T, igv_left_##T) IG_LIFT1N(N, T, right_##T, T, igv_right_##T) \
  IG_LIFT1N(N, T, logical_right_##T, T, igv_logical_right_##T) \
  IG_BINARY(N, T, left_each) IG_BINARY(N, T, right_each)
IG_BLOCK_INT(32, i32)
IG_BLOCK_INT(32, u32)
IG_BLOCK_INT(64, i64)
IG_BINARY(32, u32, mulhi)

IG_LIFT1(32, i32, bitcast_f32_i32, f32, igv_bitcast_f32_i32)
IG_LIFT1(32, f32, bitcast_i32_f32, i32, igv_bitcast_i32_f32)
IG_LIFT1(32, u32, bitcast_f32_u32, f32, igv_bitcast_f32_u32)
IG_LIFT1(32, f32, bitcast_u32_f32, u32, igv_bitcast_u32_f32)
IG_LIFT1(64, i64, bitcast_f64_i64, f64, igv_bitcast_f64_i64)
IG_LIFT1(64, f64, bitcast_i64_f64, i64, igv_bitcast_i64_f64)

/* Masks. */
IG_LIFT2(32, bool, and_bool, bool, igv_and_m32)
IG_LIFT2(32, bool, or_bool, bool, igv_or_m32)
IG_LIFT2(32, bool, xor_bool, bool, igv_xor_m32)
IG_LIFT1(32, bool, not_bool, bool, igv_not_m32)
IG_LIFT2(64, m64, and_m64, m64, igv_and_m64)
IG_LIFT2(64, m64, or_m64, m64, igv_or_m64)
IG_LIFT1(64, m64, not_m64, m64, igv_not_m64)
IG_INLINE IGN(bool) IGN(splat_bool)(int x) { igv_m32 s = igv_splat_m32(x); IGN(bool) r; IG_EACH32(IG_SET0, s) return r; }
#define IG_FOLD(i, j, f) a.v##i = f(a.v##i, a.v##j);
IG_INLINE int IGN(any_bool)(IGN(bool) a) { IG_HALVE_32(IG_FOLD, igv_or_m32) return igv_any_m32(a.v0); }
IG_INLINE int IGN(all_bool)(IGN(bool) a) { IG_HALVE_32(IG_FOLD, igv_and_m32) return igv_all_m32(a.v0); }
IG_INLINE int IGN(any_m64)(IGN(m64) a) { IG_HALVE_64(IG_FOLD, igv_or_m64) return igv_any_m64(a.v0); }
#define IG_TAIL_MASK(i, n) r.v##i = igv_tail_m32((n) - i * IG_W);
IG_INLINE IGN(bool) IGN(tail_bool)(int n) { IGN(bool) r; IG_EACH32(IG_TAIL_MASK, n) return r; }
#define IG_PACK(i, j, k, f) r.v##i = f(a.v##j, a.v##k);
#define IG_SPLIT(i, j, k, low, high) r.v##j = low(a.v##i); r.v##k = high(a.v##i);
IG_INLINE IGN(bool) IGN(bool_of_m64)(IGN(m64) a) { IGN(bool) r; IG_EACH_PAIR(IG_PACK, igv_pack_m32) return r; }
IG_INLINE IGN(m64) IGN(m64_of_bool)(IGN(bool) a) { IGN(m64) r; IG_EACH_PAIR(IG_SPLIT, igv_low_m64, igv_high_m64) return r; }

/* Comparisons and selects by public masks. */
#define IG_BLOCK_COMPARE32(T) \
  IG_INLINE IGN(bool) IGN(eq_##T)(IGN(T) a, IGN(T) b) { return IGN(mask_eq_##T)(a, b); } \
  IG_INLINE IGN(bool) IGN(lt_##T)(IGN(T) a, IGN(T) b) { return IGN(mask_lt_##T)(a, b); } \
  IG_INLINE IGN(bool) IGN(le_##T)(IGN(T) a, IGN(T) b) { return IGN(mask_le_##T)(a, b); } \
  IG_INLINE IGN(T) IGN(select_##T)(IGN(bool) m, IGN(T) a, IGN(T) b) { return IGN(sel_##T)(m, a, b); }
#define IG_BLOCK_COMPARE64(T) \
  IG_INLINE IGN(bool) IGN(eq_##T)(IGN(T) a, IGN(T) b) { return IGN(bool_of_m64)(IGN(mask_eq_##T)(a, b)); } \
  IG_INLINE IGN(bool) IGN(lt_##T)(IGN(T) a, IGN(T) b) { return IGN(bool_of_m64)(IGN(mask_lt_##T)(a, b)); } \
  IG_INLINE IGN(bool) IGN(le_##T)(IGN(T) a, IGN(T) b) { return IGN(bool_of_m64)(IGN(mask_le_##T)(a, b)); } \
  IG_INLINE IGN(T) IGN(select_##T)(IGN(bool) m, IGN(T) a, IGN(T) b) { return IGN(sel_##T)(IGN(m64_of_bool)(m), a, b); }
IG_BLOCK_COMPARE32(f32)
IG_BLOCK_COMPARE32(i32)
IG_BLOCK_COMPARE32(u32)
IG_BLOCK_COMPARE64(f64)
IG_BLOCK_COMPARE64(i64)

/* Conversions that every cast is made of. */
IG_LIFT1(32, i32, cast_u32_i32, u32, igv_cast_u32_i32)
IG_LIFT1(32, u32, cast_i32_u32, i32, igv_cast_i32_u32)
IG_LIFT1(32, f32, cast_i32_f32, i32, igv_cast_i32_f32)
IG_LIFT1(32, f32, cast_u32_f32, u32, igv_cast_u32_f32)
IG_LIFT1(64, f64, cast_i64_f64, i64, igv_cast_i64_f64)
IG_LIFT1(32, i32, convert_f32_i32, f32, igv_convert_f32_i32)
IG_LIFT1(64, i64, convert_f64_i64, f64, igv_convert_f64_i64)
#define IG_BLOCK_WIDEN(T, U) \
  IG_INLINE IGN(U) IGN(cast_##T##_##U)(IGN(T) a) { \
    IGN(U) r; IG_EACH_PAIR(IG_SPLIT, igv_widen_low_##T, igv_widen_high_##T) return r; }
#define IG_BLOCK_NARROW(T, U) \
  IG_INLINE IGN(U) IGN(cast_##T##_##U)(IGN(T) a) { IGN(U) r; IG_EACH_PAIR(IG_PACK, igv_narrow_##T##_##U) return r; }
IG_BLOCK_WIDEN(f32, f64)
IG_BLOCK_WIDEN(i32, i64)
IG_BLOCK_WIDEN(u32, i64)
IG_BLOCK_NARROW(f64, f32)
IG_BLOCK_NARROW(i64, f32)
IG_BLOCK_NARROW(i64, i32)
IG_INLINE IGN(u32) IGN(cast_i64_u32)(IGN(i64) a) { return IGN(cast_i32_u32)(IGN(cast_i64_i32)(a)); }

/* Memory.  A block is a whole number of cache lines: stream goes past the caches where the address has none of the bits
   of `far`.  n >= IG_L takes the full access; otherwise only the first n elements are touched, missing ones read as 0. */
#define IG_FETCH(i, T, W) r.v##i = igv_fetch_##T(p + i * W);
#define IG_KEEP(i, T, W) igv_keep_##T(p + i * W, v.v##i);
#define IG_KEEP_FAR(i, T, W) IG_STREAM(p + i * W, (igv_f32)v.v##i);
#define IG_PART(i, T, W) r.v##i = igv_masked_##T(p + i * W, IG_TAIL_##T(n - i * W));
#define IG_TAIL_f32 igv_tail_m32
#define IG_TAIL_i32 igv_tail_m32
#define IG_TAIL_u32 igv_tail_m32
#define IG_TAIL_f64 igv_tail_m64
#define IG_TAIL_i64 igv_tail_m64
#define IG_PUT(i, T, W) igv_put_##T(p + i * W, v.v##i, n - i * W);
#if defined(IG_HAS_MASKED)
#define IG_PARTIAL_LOAD(N, T, S, W) IG_EACH##N(IG_PART, T, W)
#define IG_PARTIAL_STORE(N, T, S, W) IG_EACH##N(IG_PUT, T, W)
#else
#define IG_PARTIAL_LOAD(N, T, S, W) \
  S part[IG_L] = {0}; for (int i = 0; i < n; i++) part[i] = p[i]; { const S *p = part; IG_EACH##N(IG_FETCH, T, W) }
#define IG_PARTIAL_STORE(N, T, S, W) \
  S part[IG_L]; { S *p = part; IG_EACH##N(IG_KEEP, T, W) } for (int i = 0; i < n; i++) p[i] = part[i];
#endif
#define IG_BLOCK_MEMORY(N, T, S, W) \
  IG_INLINE IGN(T) IGN(load_##T)(const S *p, int n) { \
    IGN(T) r; \
    if (n >= IG_L) { IG_EACH##N(IG_FETCH, T, W) } else { IG_PARTIAL_LOAD(N, T, S, W) } \
    return r; } \
  IG_INLINE void IGN(store_##T)(S *p, IGN(T) v, int n) { \
    if (n >= IG_L) { IG_EACH##N(IG_KEEP, T, W) } else { IG_PARTIAL_STORE(N, T, S, W) } } \
  IG_INLINE void IGN(stream_##T)(S *p, IGN(T) v, int n, uintptr_t far) { \
    if (n >= IG_L && !((uintptr_t)p & far)) { IG_EACH##N(IG_KEEP_FAR, T, W) } else IGN(store_##T)(p, v, n); }
IG_BLOCK_MEMORY(32, f32, float, IG_W)
IG_BLOCK_MEMORY(32, i32, int32_t, IG_W)
IG_BLOCK_MEMORY(32, u32, uint32_t, IG_W)
IG_BLOCK_MEMORY(64, f64, double, IG_W2)
IG_BLOCK_MEMORY(64, i64, int64_t, IG_W2)

/* Storage narrower than 32 bits is computed with as i32; a store wraps. */
#define IG_FETCH_NARROW(i, T) { igv_##T s; __builtin_memcpy(&s, q + i * IG_W, sizeof s); \
  r.v##i = __builtin_convertvector(s, igv_i32); }
#define IG_KEEP_NARROW(i, T) { igv_##T s = __builtin_convertvector(v.v##i, igv_##T); __builtin_memcpy(q + i * IG_W, &s, sizeof s); }
#define IG_BLOCK_NARROW_MEMORY(T, S) \
  IG_INLINE IGN(i32) IGN(load_##T)(const S *p, int n) { \
    IGN(i32) r; S part[IG_L]; const S *q = p; \
    if (n < IG_L) { for (int i = 0; i < IG_L; i++) part[i] = 0; for (int i = 0; i < n; i++) part[i] = p[i]; q = part; } \
    IG_EACH32(IG_FETCH_NARROW, T) return r; } \
  IG_INLINE void IGN(store_##T)(S *p, IGN(i32) v, int n) { \
    S part[IG_L], *q = n < IG_L ? part : p; \
    IG_EACH32(IG_KEEP_NARROW, T) \
    if (n < IG_L) for (int i = 0; i < n; i++) p[i] = part[i]; }
IG_BLOCK_NARROW_MEMORY(i16, int16_t)
IG_BLOCK_NARROW_MEMORY(i8, int8_t)
IG_BLOCK_NARROW_MEMORY(u8, uint8_t)
IG_INLINE IGN(bool) IGN(load_bool)(const uint8_t *p, int n) {
  return IGN(not_bool)(IGN(mask_eq_i32)(IGN(load_u8)(p, n), IGN(splat_i32)(0)));
}
IG_INLINE void IGN(store_bool)(uint8_t *p, IGN(bool) v, int n) {
  IGN(store_u8)(p, IGN(sel_i32)(v, IGN(splat_i32)(1), IGN(splat_i32)(0)), n);
}

/* Every second element: two loads and a shuffle. The second load begins one earlier, so that nothing behind the last
   element is touched. */
#define IG_FETCH_EVENLY(i, T, W) r.v##i = igv_evenly_##T(igv_fetch_##T(p + 2 * i * W), igv_fetch_##T(p + 2 * i * W + W - 1));
#define IG_PART_EVENLY(i, T, W) \
  r.v##i = igv_evenly_##T(igv_masked_##T(p + 2 * i * W, igv_tail_m32(2 * (n - i * W) - 1)), \
                          igv_masked_##T(p + 2 * i * W + W - 1, igv_tail_m32(2 * (n - i * W) - W)));
#if defined(IG_HAS_MASKED)
#define IG_EVENLY_LEAST 0
#define IG_PARTIAL_EVENLY(T) IG_EACH32(IG_PART_EVENLY, T, IG_W)
#else
#define IG_EVENLY_LEAST IG_L
#define IG_PARTIAL_EVENLY(T)
#endif
#define IG_BLOCK_EVENLY(T, S) \
  IG_INLINE IGN(T) IGN(evenly_##T)(const S *p, int n) { \
    IGN(T) r; \
    if (n >= IG_L) { IG_EACH32(IG_FETCH_EVENLY, T, IG_W) } else { IG_PARTIAL_EVENLY(T) } \
    return r; }
IG_BLOCK_EVENLY(f32, float)
IG_BLOCK_EVENLY(i32, int32_t)
#define IG_SECOND_f32 if (stride == 2 && n >= IG_EVENLY_LEAST) return IGN(evenly_f32)(p, n);
#define IG_SECOND_i32 if (stride == 2 && n >= IG_EVENLY_LEAST) return IGN(evenly_i32)(p, n);
#define IG_SECOND_u32
#define IG_SECOND_f64
#define IG_SECOND_i64
#define IG_SECOND_i16
#define IG_SECOND_i8
#define IG_SECOND_u8
#define IG_SECOND_bool

/* Elements a stride apart, or picked by an index per lane. */
#define IG_BLOCK_LANES(T, C, S) \
  IG_INLINE IGN(C) IGN(strided_##T)(const S *p, int64_t stride, int n) { \
    S part[IG_L]; \
    IG_SECOND_##T \
    if (n >= IG_L) for (int i = 0; i < IG_L; i++) part[i] = p[i * stride]; \
    else for (int i = 0; i < IG_L; i++) part[i] = i < n ? p[i * stride] : (S)0; \
    return IGN(load_##T)(part, IG_L); } \
  IG_INLINE void IGN(store_strided_##T)(S *p, int64_t stride, IGN(C) v, int n) { \
    S part[IG_L]; IGN(store_##T)(part, v, IG_L); \
    for (int i = 0; i < IG_L && i < n; i++) p[i * stride] = part[i]; } \
  IG_INLINE IGN(C) IGN(gather_##T)(const S *p, IGN(i64) index, int n) { \
    int64_t at[IG_L]; S part[IG_L]; IGN(store_i64)(at, index, IG_L); \
    if (n >= IG_L) for (int i = 0; i < IG_L; i++) part[i] = p[at[i]]; \
    else for (int i = 0; i < IG_L; i++) part[i] = i < n ? p[at[i]] : (S)0; \
    return IGN(load_##T)(part, IG_L); } \
  IG_INLINE void IGN(scatter_##T)(S *p, IGN(i64) index, IGN(C) v, int n) { \
    int64_t at[IG_L]; S part[IG_L]; IGN(store_i64)(at, index, IG_L); IGN(store_##T)(part, v, IG_L); \
    for (int i = 0; i < IG_L && i < n; i++) p[at[i]] = part[i]; }
IG_BLOCK_LANES(f32, f32, float)
IG_BLOCK_LANES(f64, f64, double)
IG_BLOCK_LANES(i64, i64, int64_t)
IG_BLOCK_LANES(i32, i32, int32_t)
IG_BLOCK_LANES(u32, u32, uint32_t)
IG_BLOCK_LANES(i16, i32, int16_t)
IG_BLOCK_LANES(i8, i32, int8_t)
IG_BLOCK_LANES(u8, i32, uint8_t)
IG_BLOCK_LANES(bool, bool, uint8_t)

/* Elements where a mask is set; no other is touched, and the missing ones read as 0. */
#define IG_LANES_WHERE(T, S, place) \
  uint8_t set[IG_L]; S part[IG_L]; IGN(store_bool)(set, mask, IG_L); \
  for (int i = 0; i < IG_L; i++) part[i] = i < n && set[i] ? p[place] : (S)0; \
  return IGN(load_##T)(part, IG_L);
#define IG_FETCH_SPACED(i, T, W) \
  r.v##i = igv_evenly_##T(igv_masked_##T(p + 2 * i * W, igv_spaced_low_m32(m.v##i)), \
                          igv_masked_##T(p + 2 * i * W + W - 1, igv_spaced_high_m32(m.v##i)));
#if defined(IG_HAS_SPACED)
#define IG_SPACED_f32 \
  if (stride == 2) { \
    IGN(f32) r; IGN(bool) m = IGN(and_bool)(mask, IGN(tail_bool)(n)); \
    IG_EACH32(IG_FETCH_SPACED, f32, IG_W) return r; }
#else
#define IG_SPACED_f32
#endif
#define IG_SPACED_f64
#define IG_SPACED_i64
#define IG_SPACED_i32
#define IG_SPACED_u32
#define IG_SPACED_i16
#define IG_SPACED_i8
#define IG_SPACED_u8
#define IG_SPACED_bool
#define IG_BLOCK_STRIDED_WHERE(T, C, S) \
  IG_INLINE IGN(C) IGN(strided_masked_##T)(const S *p, int64_t stride, IGN(bool) mask, int n) { \
    IG_SPACED_##T \
    if (IGN(all_bool)(IGN(or_bool)(mask, IGN(not_bool)(IGN(tail_bool)(n))))) return IGN(strided_##T)(p, stride, n); \
    IG_LANES_WHERE(T, S, i * stride) }
#define IG_BLOCK_WHERE(T, C, S) \
  IG_INLINE IGN(C) IGN(masked_##T)(const S *p, IGN(bool) mask, int n) { \
    if (IGN(all_bool)(mask)) return IGN(load_##T)(p, n); \
    IG_LANES_WHERE(T, S, i) }
#define IG_FETCH_MASKED(i, T, W) r.v##i = igv_masked_##T(p + i * W, m.v##i);
#define IG_BLOCK_MASKED(N, T, S, W, M, turn) \
  IG_INLINE IGN(T) IGN(masked_##T)(const S *p, IGN(bool) mask, int n) { \
    IGN(T) r; IGN(M) m = turn(IGN(and_bool)(mask, IGN(tail_bool)(n))); \
    IG_EACH##N(IG_FETCH_MASKED, T, W) return r; }
#define IG_FETCH_MASKED_NARROW(i, T) \
  r.v##i = __builtin_convertvector(igv_masked_##T(p + i * IG_W, m.v##i), igv_i32);
#define IG_BLOCK_MASKED_NARROW(T, S) \
  IG_INLINE IGN(i32) IGN(masked_##T)(const S *p, IGN(bool) mask, int n) { \
    IGN(i32) r; IGN(bool) m = IGN(and_bool)(mask, IGN(tail_bool)(n)); \
    IG_EACH32(IG_FETCH_MASKED_NARROW, T) return r; }
#if defined(IG_HAS_MASKED)
IG_BLOCK_MASKED(32, f32, float, IG_W, bool, )
IG_BLOCK_MASKED(32, i32, int32_t, IG_W, bool, )
IG_BLOCK_MASKED(32, u32, uint32_t, IG_W, bool, )
IG_BLOCK_MASKED(64, f64, double, IG_W2, m64, IGN(m64_of_bool))
IG_BLOCK_MASKED(64, i64, int64_t, IG_W2, m64, IGN(m64_of_bool))
#else
IG_BLOCK_WHERE(f32, f32, float)
IG_BLOCK_WHERE(i32, i32, int32_t)
IG_BLOCK_WHERE(u32, u32, uint32_t)
IG_BLOCK_WHERE(f64, f64, double)
IG_BLOCK_WHERE(i64, i64, int64_t)
#endif
#if defined(IG_HAS_MASKED_NARROW)
IG_BLOCK_MASKED_NARROW(i16, int16_t)
IG_BLOCK_MASKED_NARROW(i8, int8_t)
IG_BLOCK_MASKED_NARROW(u8, uint8_t)
#else
IG_BLOCK_WHERE(i16, i32, int16_t)
IG_BLOCK_WHERE(i8, i32, int8_t)
IG_BLOCK_WHERE(u8, i32, uint8_t)
#endif
IG_INLINE IGN(bool) IGN(masked_bool)(const uint8_t *p, IGN(bool) mask, int n) {
  return IGN(not_bool)(IGN(mask_eq_i32)(IGN(masked_u8)(p, mask, n), IGN(splat_i32)(0)));
}
IG_BLOCK_STRIDED_WHERE(f32, f32, float)
IG_BLOCK_STRIDED_WHERE(f64, f64, double)
IG_BLOCK_STRIDED_WHERE(i64, i64, int64_t)
IG_BLOCK_STRIDED_WHERE(i32, i32, int32_t)
IG_BLOCK_STRIDED_WHERE(u32, u32, uint32_t)
IG_BLOCK_STRIDED_WHERE(i16, i32, int16_t)
IG_BLOCK_STRIDED_WHERE(i8, i32, int8_t)
IG_BLOCK_STRIDED_WHERE(u8, i32, uint8_t)
IG_BLOCK_STRIDED_WHERE(bool, bool, uint8_t)

#define IG_ONE_LANE(i) i
#define IG_IOTA(i, T, N, W) r.v##i = igv_add_##T(first, igv_splat_##T(i * W));
IG_INLINE IGN(i64) IGN(iota_i64)(int64_t base) {
  IGN(i64) r; igv_i64 first = igv_add_i64((igv_i64){IG_LANES64(IG_ONE_LANE)}, igv_splat_i64(base));
  IG_EACH64(IG_IOTA, i64, 64, IG_W2) return r;
}
IG_INLINE IGN(i32) IGN(iota_i32)(int32_t base) {
  IGN(i32) r; igv_i32 first = igv_add_i32((igv_i32){IG_LANES32(IG_ONE_LANE)}, igv_splat_i32(base));
  IG_EACH32(IG_IOTA, i32, 32, IG_W) return r;
}

/* Joins of a whole block: element i with element i + h for h = IG_L/2 .. 1. */
#define IG_BLOCK_JOIN(N, T, S, name, op) \
  IG_INLINE S IGN(name##_##T)(IGN(T) a) { IG_HALVE_##N(IG_FOLD, igv_##op##_##T) return igv_join_##op##_##T(a.v0); }
#define IG_BLOCK_JOINS(N, T, S) \
  IG_BLOCK_JOIN(N, T, S, sum, add) IG_BLOCK_JOIN(N, T, S, prod, mul) IG_BLOCK_JOIN(N, T, S, max, maximum) \
  IG_BLOCK_JOIN(N, T, S, min, minimum)
IG_BLOCK_JOINS(32, f32, float)
IG_BLOCK_JOINS(32, i32, int32_t)
IG_BLOCK_JOINS(32, u32, uint32_t)
IG_BLOCK_JOINS(64, f64, double)
IG_BLOCK_JOINS(64, i64, int64_t)

/* Integer division lane by lane: no machine here divides vectors of integers. */
#define IG_BLOCK_LANEWISE(T, S, op) \
  IG_INLINE IGN(T) IGN(op##_##T)(IGN(T) a, IGN(T) b) { \
    S x[IG_L], y[IG_L]; IGN(store_##T)(x, a, IG_L); IGN(store_##T)(y, b, IG_L); \
    for (int i = 0; i < IG_L; i++) x[i] = ig1_##op##_##T(x[i], y[i]); \
    return IGN(load_##T)(x, IG_L); }
#define IG_BLOCK_DIVIDE(T, S) \
  IG_BLOCK_LANEWISE(T, S, truncdiv) IG_BLOCK_LANEWISE(T, S, truncmod) IG_BLOCK_LANEWISE(T, S, floordiv) \
  IG_BLOCK_LANEWISE(T, S, floormod)
IG_BLOCK_DIVIDE(i64, int64_t)
IG_BLOCK_DIVIDE(i32, int32_t)
IG_BLOCK_DIVIDE(u32, uint32_t)

/* Shifts by any count: nothing is left of a value shifted by its width or more. */
IG_INLINE IGN(u32) IGN(shl_u32)(IGN(u32) a, IGN(u32) n) {
  IGN(bool) in = IGN(mask_lt_u32)(n, IGN(splat_u32)(32));
  return IGN(sel_u32)(in, IGN(left_each_u32)(a, IGN(and_u32)(n, IGN(splat_u32)(31))), IGN(splat_u32)(0));
}
IG_INLINE IGN(u32) IGN(shr_u32)(IGN(u32) a, IGN(u32) n) {
  IGN(bool) in = IGN(mask_lt_u32)(n, IGN(splat_u32)(32));
  return IGN(sel_u32)(in, IGN(right_each_u32)(a, IGN(and_u32)(n, IGN(splat_u32)(31))), IGN(splat_u32)(0));
}
#define IG_BLOCK_SHIFT(T, bits) \
  IG_INLINE IGN(T) IGN(shl_##T)(IGN(T) a, IGN(T) n) { \
    IGN(T) m = IGN(and_##T)(n, IGN(splat_##T)(bits - 1)); \
    return IGN(sel_##T)(IGN(mask_eq_##T)(m, n), IGN(left_each_##T)(a, m), IGN(splat_##T)(0)); } \
  IG_INLINE IGN(T) IGN(shr_##T)(IGN(T) a, IGN(T) n) { \
    IGN(T) m = IGN(and_##T)(n, IGN(splat_##T)(bits - 1)); \
    return IGN(right_each_##T)(a, IGN(sel_##T)(IGN(mask_eq_##T)(m, n), m, IGN(splat_##T)(bits - 1))); }
IG_BLOCK_SHIFT(i32, 32)
IG_BLOCK_SHIFT(i64, 64)

#include "ig_block_half.h"
