/* Purpose: makes f32 the element type of the mathematics headers. */
#undef IG_T
#undef IG_TJ
#undef IG_TM
#undef IG_BITS
#undef IG_FLOAT
#undef C
#define IG_T f32
#define IG_TJ i32
#define IG_TM bool
#define IG_BITS bitcast_f32_i32
#define IG_FLOAT bitcast_i32_f32
#define C(single, twice) single  /* the constant for this element type */
