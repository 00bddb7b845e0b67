/* Purpose: everything above the primitives, for one block length IG_L. */
#include "ig_derived.h"
#if IG_L == 64
#include "ig_split.h"
#else
#include "ig_types_f64.h"
#define IG_MATH_PART 1
#include "ig_math.h"
#undef IG_MATH_PART
#define IG_MATH_PART 2
#include "ig_math_f64.h"
#include "ig_math.h"
#undef IG_MATH_PART
#endif
#include "ig_types_f32.h"
#define IG_MATH_PART 1
#include "ig_math.h"
#undef IG_MATH_PART
#define IG_MATH_PART 2
#include "ig_math_f32.h"
#include "ig_math.h"
#undef IG_MATH_PART
