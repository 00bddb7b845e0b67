/* Purpose: makes f64 the element type of the mathematics headers. */
#undef IG_T
#undef IG_TJ
#undef IG_TM
#undef IG_BITS
#undef IG_FLOAT
#undef C
#define IG_T f64
#define IG_TJ i64
#define IG_TM m64
#define IG_BITS bitcast_f64_i64
#define IG_FLOAT bitcast_i64_f64
#define C(single, twice) twice  /* the constant for this element type */
