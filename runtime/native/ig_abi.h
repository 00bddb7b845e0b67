/* Purpose: what generated code and the runtime agree on.  Included by both; needs nothing but <stdint.h>.

   A compiled function is    int ig_f3(const ig_ctx *ctx, void *const *buffers, const int64_t *dims)
   It calls ctx->run with its body, which every thread of the team runs with the same control flow.  The body calls
   w->ctx->step once for each kernel: the kernel's chunks are shared out over the team, each is done once, and all that a
   step wrote is seen by every thread in the next one.  A result other than 0 means: return it at once. */
#ifndef IG_ABI_H
#define IG_ABI_H
#include <stdint.h>

#define IG_ABI_VERSION 1

/* kind: what went wrong; 0 = nothing.  node: the number of the failing node in the lowered function. */
enum { IG_OK = 0, IG_INDEX = 1, IG_INTERRUPTED = 2, IG_NON_FINITE = 3 };
typedef struct { int32_t kind, node; int64_t value, limit; } ig_error;

typedef struct ig_ctx ig_ctx;
typedef struct ig_worker ig_worker;
typedef void (*ig_kernel)(const ig_worker *w, const void *args, int64_t lo, int64_t hi); /* does chunks [lo, hi) */
typedef int (*ig_body)(ig_worker *w, const void *args);                                  /* the whole function */

/* One thread of a team.  id: 0 is the caller.  scratch: memory of this thread alone. */
struct ig_worker {
  const ig_ctx *ctx;
  int32_t id, threads;
  void *scratch;
  void *team;             /* 0: alone */
  int64_t steps, claims;  /* steps begun, and claims in all of them, by this thread's count */
};

/* One call in flight. */
struct ig_ctx {
  /* Runs the body on the caller and up to threads - 1 workers (want_threads caps it; 0: no cap).  0 or the error's kind. */
  int (*run)(const ig_ctx *ctx, ig_body body, const void *args, int32_t want_threads);
  int (*step)(ig_worker *w, ig_kernel kernel, const void *args, int64_t chunks);
  /* Records an error; the first one stays. */
  void (*report)(const ig_worker *w, int32_t kind, int32_t node, int64_t value, int64_t limit);
  int32_t threads;
  void *const *scratch;         /* one block per thread, or 0 */
  ig_error *error;
  const volatile int32_t *stop; /* not 0: stop before the next step */
};

#endif
