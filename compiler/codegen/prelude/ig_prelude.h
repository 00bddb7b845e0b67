/* Purpose: what every generated translation unit includes: blocks of 64, 32, 16 and 1 elements and their functions,
   ig{L}_{function}_{dtype}.  Each function is one fixed sequence of IEEE 754 operations (fused multiply-adds explicit, no
   libm, no estimates), so its bits depend neither on L nor on the machine's vectors, the compiler or the lane.
   Compile with -ffp-contract=off (CUDA: -fmad=false) and without -ffast-math.  In CUDA only L = 1 exists. */
#ifndef IG_PRELUDE_H
#define IG_PRELUDE_H

#if defined(__FAST_MATH__)
#error "intaglio: -ffast-math would change the results"
#endif

#if defined(__x86_64__) && !defined(__FMA__) && !defined(__CUDACC__) && !defined(__CUDACC_RTC__)
#error "intaglio: a CPU with fused multiply-add is required (compile with -march=native)"
#endif

#include "ig_base.h"
#include "ig_coefficients.h"
#include "ig_scalar.h"
#include "ig_half.h"
#include "ig_remainder.h"
#include "ig_reduce.h"
#include "ig_names.h"

#define IG_L 1
#include "ig_functions.h"
#undef IG_L

#if !defined(IG_CUDA)
#include "ig_vector.h"
#define IG_L 16
#include "ig_block.h"
#include "ig_functions.h"
#undef IG_L
#define IG_L 32
#include "ig_block.h"
#include "ig_functions.h"
#undef IG_L
#define IG_L 64
#include "ig_block.h"
#include "ig_functions.h"
#undef IG_L
#endif

#include "ig_names_end.h"

#endif
