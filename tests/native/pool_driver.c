/* Purpose: functions as the compiler would print them, for the tests of the pool. */
#include "ig_abi.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A chain of steps: y[i] = y[i] * 3 + x[n - 1 - i] + step, then x and y change roles.  Every step reads what other
   threads wrote in the one before; `counts` holds how often each chunk was done. */
typedef struct { int64_t *x, *y; int32_t *counts; int64_t n, chunk, step, nap_us, fail_at; } job;

static void chain_kernel(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {
  const job *j = (const job *)args;
  for (int64_t c = lo; c < hi; c++) {
    __atomic_add_fetch(&j->counts[c], 1, __ATOMIC_RELAXED);
    if (j->nap_us && w->id != 0 && c % 7 == 3) usleep((useconds_t)j->nap_us);
    if (j->fail_at >= 0 && j->fail_at == j->step) w->ctx->report(w, IG_INDEX, (int32_t)c, 12, 10);
    for (int64_t i = c * j->chunk; i < (c + 1) * j->chunk && i < j->n; i++)
      j->y[i] = j->y[i] * 3 + j->x[j->n - 1 - i] + j->step;
  }
}

typedef struct { int64_t *x, *y; int32_t *counts; int64_t n, chunk, steps, nap_us, fail_at; int32_t *done; int64_t stop_at; int32_t *stop; } call;

static int chain_body(ig_worker *w, const void *args) {
  const call *a = (const call *)args;
  const int64_t chunks = (a->n + a->chunk - 1) / a->chunk;
  for (int64_t s = 0; s < a->steps; s++) {
    const job j = {s & 1 ? a->y : a->x, s & 1 ? a->x : a->y, a->counts + s * chunks, a->n, a->chunk, s, a->nap_us, a->fail_at};
    int left;
    if (s == a->stop_at && w->id == 0) __atomic_store_n(a->stop, 1, __ATOMIC_RELAXED);
    left = w->ctx->step(w, chain_kernel, &j, chunks);
    if (left) return left;
    __atomic_store_n(a->done + s, 1, __ATOMIC_RELAXED);
  }
  return 0;
}

int chain(const ig_ctx *ctx, void *const *buffers, const int64_t *dims) {
  const call a = {(int64_t *)buffers[0], (int64_t *)buffers[1], (int32_t *)buffers[2], dims[0], dims[1], dims[2], dims[3], dims[4],
                  (int32_t *)buffers[3], dims[5], (int32_t *)(uintptr_t)ctx->stop};
  return ctx->run(ctx, chain_body, &a, 0);
}

/* A kernel that runs the whole chain again in the same pool. */
static void nest_kernel(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {
  (void)args;
  for (int64_t c = lo; c < hi; c++) {
    int64_t x[64] = {0}, y[64] = {0}, dims[6] = {64, 8, 4, 0, -1, -1};
    int32_t counts[32] = {0}, done[4] = {0};
    void *buffers[4] = {x, y, counts, done};
    ig_ctx inner = *w->ctx;
    inner.scratch = 0;
    if (chain(&inner, buffers, dims)) abort();
    for (int k = 0; k < 32; k++) if (counts[k] != 1) abort();
  }
}
static int nest_body(ig_worker *w, const void *args) {
  for (int s = 0; s < 3; s++) if (w->ctx->step(w, nest_kernel, args, 9)) return 1;
  return 0;
}
int nest(const ig_ctx *ctx, void *const *buffers, const int64_t *dims) {
  (void)buffers;
  (void)dims;
  return ctx->run(ctx, nest_body, 0, 0);
}

/* Each thread writes its own scratch. */
static void scratch_kernel(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {
  int64_t *mine = (int64_t *)w->scratch;
  (void)args;
  mine[0] = w->id;
  mine[1] += hi - lo;
}
static int scratch_body(ig_worker *w, const void *args) { return w->ctx->step(w, scratch_kernel, args, 1000); }
int scratch(const ig_ctx *ctx, void *const *buffers, const int64_t *dims) {
  (void)buffers;
  (void)dims;
  return ctx->run(ctx, scratch_body, 0, 0);
}

/* Many empty steps, for the cost of one. */
static void nothing(const ig_worker *w, const void *args, int64_t lo, int64_t hi) { (void)w; (void)args; (void)lo; (void)hi; }
static int empty_body(ig_worker *w, const void *args) {
  for (int64_t s = *(const int64_t *)args; s > 0; s--) if (w->ctx->step(w, nothing, 0, 2)) return 1;
  return 0;
}
int empty(const ig_ctx *ctx, void *const *buffers, const int64_t *dims) {
  (void)buffers;
  return ctx->run(ctx, empty_body, dims, 0);
}

#if defined(STRESS)
#include <pthread.h>
#include <stdio.h>
void ig_pool_make(ig_ctx *ctx, int threads, void *const *scratch, ig_error *error, const volatile int32_t *stop);
void ig_pool_config(int threads, int64_t spin_us);
static void *caller(void *seed) {
  for (int r = 0; r < 300; r++) {
    int64_t x[300], y[300], dims[6] = {300, 7 + r % 5, 6, r % 50 ? 0 : 200, r % 9 == 8 ? r % 6 : -1, r % 11 == 10 ? r % 6 : -1};
    int32_t counts[6 * 64] = {0}, done[6] = {0}, stop = 0;
    void *buffers[4] = {x, y, counts, done};
    ig_error error = {0, 0, 0, 0};
    ig_ctx ctx;
    for (int i = 0; i < 300; i++) x[i] = y[i] = i + (int64_t)(intptr_t)seed;
    ig_pool_make(&ctx, 1 + r % 4, 0, &error, &stop);
    chain(&ctx, buffers, dims);
    if (r % 3 == 0) usleep(300);
  }
  return 0;
}
int main(void) {
  pthread_t threads[3];
  ig_pool_config(4, 100);
  for (int i = 0; i < 3; i++) pthread_create(&threads[i], 0, caller, (void *)(intptr_t)i);
  for (int i = 0; i < 3; i++) pthread_join(threads[i], 0);
  puts("finished");
  return 0;
}
#endif
