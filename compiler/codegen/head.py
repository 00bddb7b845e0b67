"""What stands at the top of every generated translation unit, the same for all programs."""

from __future__ import annotations

from typing import Final

C_HEAD: Final = """\
#include "ig_prelude.h"
#include "ig_abi.h"
typedef struct { void *const *p; const int64_t *dims; int32_t node; } ig_args;
#define IG_HEAD void *const *const p = ((const ig_args *)args)->p; \\
  const int64_t *const dims = ((const ig_args *)args)->dims; (void)p; (void)dims; (void)w;
#define IG_REPORT_INDEX(value, bound) \\
  w->ctx->report(w, IG_INDEX, ((const ig_args *)args)->node, (value), (bound))
#if defined(__clang__)
#define IG_ONCE __attribute__((optnone, noinline))
#elif defined(__GNUC__)
#define IG_ONCE __attribute__((optimize("O0")))
#else
#define IG_ONCE
#endif
IG_INLINE int64_t ig_minimum_of(int64_t a, int64_t b) { return a < b ? a : b; }
IG_INLINE int64_t ig_maximum_of(int64_t a, int64_t b) { return a > b ? a : b; }
"""
"""Pointers and sizes of one step, how a kernel gets at them, a mark for code that runs once in a
call (optimising a body of many steps took gcc a quarter of a second), and index helpers."""

PARTS: Final = """\
typedef struct { ig_kernel kernel; ig_args args; int64_t first; } ig_part;
typedef struct { const ig_part *parts; int64_t count; } ig_parts;
static void ig_run_parts(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {
  const ig_parts *const all = (const ig_parts *)args;
  for (int64_t k = 0; k < all->count; k++) {
    const ig_part *const part = all->parts + k;
    const int64_t from = ig_maximum_of(lo, part->first);
    const int64_t to = ig_minimum_of(hi, part[1].first);
    if (from < to) part->kernel(w, &part->args, from - part->first, to - part->first);
  }
}
static inline void ig_run_each(const ig_worker *w, const void *args, int64_t lo, int64_t hi,
                               ig_kernel kernel, int64_t pointers, int64_t sizes) {
  const ig_args *const all = (const ig_args *)args;
  const int64_t count = all->dims[0], *const first = all->dims + 2;
  const int64_t *const dims = (const int64_t *)all->dims[1];
  int64_t k = 0, end = count;
  while (end - k > 1) {
    const int64_t middle = (k + end) / 2;
    if (first[middle] <= lo) k = middle;
    else end = middle;
  }
  for (; k < count && first[k] < hi; k++) {
    const ig_args one = {all->p + k * pointers, dims + k * sizes, all->node};
    const int64_t from = ig_maximum_of(lo, first[k]), to = ig_minimum_of(hi, first[k + 1]);
    if (from < to) kernel(w, &one, from - first[k], to - first[k]);
  }
}
"""
"""A step of several independent kernels: part k owns the chunks from its `first` to the next
one's. And a part that is one kernel over several sets of memory: `dims` holds how many they are,
where the kernel's sizes stand, the first chunk of each and the end."""

HOST: Final = """\
typedef void (*ig_host)(int64_t number, void *const *pointers, int64_t *done);
typedef struct { void *const *p; const int64_t *dims; const int64_t *rounds; } ig_piece;
typedef struct { ig_host call; int64_t number; void *const *p; int32_t node; } ig_host_args;
static void ig_call_host(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {
  const ig_host_args *const a = (const ig_host_args *)args;
  int64_t done = 0;
  (void)lo; (void)hi;
  a->call(a->number, a->p, &done);
  if (!done) w->ctx->report(w, 4, a->node, 0, 0);
}
static int ig_host_body(ig_worker *w, const void *args) {
  return w->ctx->step(w, ig_call_host, args, 1);
}
"""
"""A call into Python: a step that the calling thread runs alone. The 4 is the kind of error of a
call that failed; what it raised is kept in Python. `rounds` are those of the loops around a piece
of native steps."""

CUDA_HEAD: Final = """\
#include "ig_prelude.h"
IG_INLINE int64_t ig_minimum_of(int64_t a, int64_t b) { return a < b ? a : b; }
IG_INLINE int64_t ig_maximum_of(int64_t a, int64_t b) { return a > b ? a : b; }
"""
"""The same for CUDA, where a kernel gets its pointers and sizes as parameters."""
