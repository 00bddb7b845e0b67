/* Purpose: the process's thread pool: one team at a time works through the steps of a compiled function.

   A step's chunks are grouped into claims, some per thread, and each thread owns a contiguous part of them: it takes its
   own claims first, in order, and then helps with the others'.  A queue is one 64-bit word, (step, next claim), moved by
   compare-and-swap: a word of an older step means that nobody has begun this part yet, so nothing is reset between steps.
   A step is over when the team's count of finished claims reaches the sum that every thread computes for itself.  So a
   thread that comes late finds the past steps finished and skips them, and one that was descheduled delays the others
   only if it holds a claim.  Whether to begin a step or to stop is decided once, by a compare-and-swap on the gate.

   Workers spin for a while when idle, then sleep.  A call that finds the pool busy runs alone, with equal results.
   The library is never unloaded: a worker may be asleep in it. */
#define _GNU_SOURCE
#include "ig_abi.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define IG_MOST 256          /* threads of a team */
#define IG_CLAIMS 16         /* claims per thread in a step: chunks cost what they may, and the last claim is waited for */
#define IG_LATE_NS 40000     /* a spinner yields its core after this */
#define IG_CLAIM_BITS 24
#define IG_HALT ((int64_t)1 << 62)
#define IG_EXPORT __attribute__((visibility("default")))

typedef struct { _Alignas(128) int64_t word; } ig_line;

typedef struct {
  ig_line entry;             /* (generation, threads, open, threads inside): see ENTRY_ */
  ig_line gate;              /* last step begun, or IG_HALT */
  ig_line finished;          /* claims finished since the run began */
  ig_line queue[IG_MOST];    /* (step, next claim) of each thread's part */
  const ig_ctx *ctx;
  ig_body body;
  const void *args;
} ig_team;

#define ENTRY_OPEN ((int64_t)1 << 12)
#define ENTRY_INSIDE (ENTRY_OPEN - 1)
#define ENTRY_THREADS(e) ((int32_t)((e) >> 13 & 0x1ff))
#define ENTRY_GENERATION(e) ((e) >> 22)
#define ENTRY(generation, threads) ((generation) << 22 | (int64_t)(threads) << 13 | ENTRY_OPEN)

static ig_team team;
static int32_t busy;               /* a run holds the pool */
static int32_t workers;            /* started */
static int32_t most_threads;
static int64_t spin_ns = 3000000;
static int32_t sleepers;
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* One turn of a waiting loop: pauses at first, then yields the core.  Returns how long the wait has lasted. */
typedef struct { int64_t since; uint32_t turns; } ig_wait;
static int64_t wait_turn(ig_wait *wait) {
  int64_t lasted;
  if (++wait->turns & 63) {
    relax();
    return 0;
  }
  if (!wait->since) wait->since = now_ns();
  lasted = now_ns() - wait->since;
  if (lasted > IG_LATE_NS) {
    wait->turns |= 63;       /* from now on each turn looks at the clock and yields */
    sched_yield();
  }
  return lasted;
}

IG_EXPORT void ig_report(const ig_worker *w, int32_t kind, int32_t node, int64_t value, int64_t limit) {
  ig_error *error = w->ctx->error;
  int32_t none = 0;
  if (!__atomic_compare_exchange_n(&error->kind, &none, -1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return;
  error->node = node;
  error->value = value;
  error->limit = limit;
  __atomic_store_n(&error->kind, kind, __ATOMIC_RELEASE);
}

static int stopped(const ig_ctx *ctx) { return ctx->stop && __atomic_load_n(ctx->stop, __ATOMIC_RELAXED); }
static int failed(const ig_ctx *ctx) { return __atomic_load_n(&ctx->error->kind, __ATOMIC_ACQUIRE); }

static int step_alone(ig_worker *w, ig_kernel kernel, const void *args, int64_t chunks) {
  if (stopped(w->ctx)) ig_report(w, IG_INTERRUPTED, -1, 0, 0);
  else if (chunks > 0) kernel(w, args, 0, chunks);
  return failed(w->ctx);
}

/* Begin step s, unless the team was told to stop before anyone began it.  0: begun. */
static int open_gate(ig_worker *w, ig_team *t, int64_t s) {
  int64_t gate = __atomic_load_n(&t->gate.word, __ATOMIC_ACQUIRE);
  while (gate < s) {
    int64_t next = stopped(w->ctx) ? IG_HALT : s;
    if (__atomic_compare_exchange_n(&t->gate.word, &gate, next, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      if (next == IG_HALT) ig_report(w, IG_INTERRUPTED, -1, 0, 0);
      gate = next;
    }
  }
  return gate == IG_HALT;
}

/* Take the next claim of `queue`, whose part in step s is [first, end).  -1: none is left. */
static int64_t take(ig_line *queue, int64_t s, int64_t first, int64_t end) {
  int64_t word = __atomic_load_n(&queue->word, __ATOMIC_ACQUIRE);
  for (;;) {
    int64_t at = word >> IG_CLAIM_BITS, next = at == s ? word & (((int64_t)1 << IG_CLAIM_BITS) - 1) : first;
    if (at > s || next >= end) return -1;
    if (__atomic_compare_exchange_n(&queue->word, &word, s << IG_CLAIM_BITS | (next + 1), 0, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
      return next;
  }
}

IG_EXPORT int ig_step(ig_worker *w, ig_kernel kernel, const void *args, int64_t chunks) {
  ig_team *t = (ig_team *)w->team;
  int64_t s, grain, claims, mine = 0;
  int32_t n = w->threads;
  ig_wait wait = {0, 0};
  if (!t) return step_alone(w, kernel, args, chunks);
  s = ++w->steps;
  grain = chunks / (IG_CLAIMS * (int64_t)n);
  if (grain < 1) grain = 1;
  claims = chunks > 0 ? (chunks - 1) / grain + 1 : 0;
  w->claims += claims;
  if (open_gate(w, t, s)) return IG_INTERRUPTED;
  if (__atomic_load_n(&t->finished.word, __ATOMIC_ACQUIRE) < w->claims) {
    for (int32_t k = 0; k < n; k++) {
      int32_t owner = w->id + k < n ? w->id + k : w->id + k - n;
      int64_t first = (claims * owner + n - 1) / n, end = (claims * (owner + 1) + n - 1) / n, c;
      while ((c = take(&t->queue[owner], s, first, end)) >= 0) {
        int64_t lo = c * grain, hi = lo + grain < chunks ? lo + grain : chunks;
        kernel(w, args, lo, hi);
        mine++;
      }
    }
    if (mine) __atomic_add_fetch(&t->finished.word, mine, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&t->finished.word, __ATOMIC_ACQUIRE) < w->claims) wait_turn(&wait);
  }
  return failed(w->ctx);
}

static void start_worker(ig_worker *w, const ig_ctx *ctx, int32_t id, int32_t threads, ig_team *t) {
  memset(w, 0, sizeof *w);
  w->ctx = ctx;
  w->id = id;
  w->threads = threads;
  w->scratch = ctx->scratch ? ctx->scratch[id] : 0;
  w->team = t;
}

/* Wait for an entry of another generation than `seen`: spin, then sleep. */
static int64_t await_entry(int64_t seen) {
  ig_wait wait = {0, 0};
  int64_t entry;
  for (;;) {
    entry = __atomic_load_n(&team.entry.word, __ATOMIC_ACQUIRE);
    if (ENTRY_GENERATION(entry) != seen) return entry;
    if (wait_turn(&wait) < __atomic_load_n(&spin_ns, __ATOMIC_RELAXED)) continue;
    pthread_mutex_lock(&sleep_lock);
    __atomic_add_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
    while (ENTRY_GENERATION(__atomic_load_n(&team.entry.word, __ATOMIC_SEQ_CST)) == seen)
      pthread_cond_wait(&wake, &sleep_lock);
    __atomic_sub_fetch(&sleepers, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&sleep_lock);
  }
}

static void *work(void *number) {
  int32_t id = (int32_t)(intptr_t)number;
  int64_t seen = 0;
  for (;;) {
    int64_t entry = await_entry(seen);
    seen = ENTRY_GENERATION(entry);
    while (id < ENTRY_THREADS(entry) && (entry & ENTRY_OPEN) && ENTRY_GENERATION(entry) == seen) {
      if (!__atomic_compare_exchange_n(&team.entry.word, &entry, entry + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
      {
        ig_worker w;
        start_worker(&w, team.ctx, id, ENTRY_THREADS(entry), &team);
        team.body(&w, team.args);
      }
      __atomic_sub_fetch(&team.entry.word, 1, __ATOMIC_ACQ_REL);
      break;
    }
  }
  return 0;
}

/* Start workers until there are `wanted`; fewer if the system refuses.  Only the holder of the pool comes here. */
static void hire(int32_t wanted) {
  sigset_t all, former;
  if (workers >= wanted) return;
  sigfillset(&all); /* signals stay with the program's own threads */
  pthread_sigmask(SIG_SETMASK, &all, &former);
  while (workers < wanted) {
    pthread_attr_t attributes;
    pthread_t thread;
    int refused = pthread_attr_init(&attributes);
    if (refused) break;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    refused = pthread_create(&thread, &attributes, work, (void *)(intptr_t)(workers + 1));
    pthread_attr_destroy(&attributes);
    if (refused) break;
    workers++;
  }
  pthread_sigmask(SIG_SETMASK, &former, 0);
}

static void run_alone(const ig_ctx *ctx, ig_body body, const void *args) {
  ig_worker w;
  start_worker(&w, ctx, 0, 1, 0);
  body(&w, args);
}

static void run_team(const ig_ctx *ctx, ig_body body, const void *args, int32_t threads) {
  int64_t generation = ENTRY_GENERATION(__atomic_load_n(&team.entry.word, __ATOMIC_RELAXED)) + 1;
  ig_worker w;
  ig_wait wait = {0, 0};
  team.ctx = ctx;
  team.body = body;
  team.args = args;
  team.gate.word = team.finished.word = 0;
  for (int32_t k = 0; k < threads; k++) team.queue[k].word = 0;
  __atomic_store_n(&team.entry.word, ENTRY(generation, threads), __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&sleepers, __ATOMIC_SEQ_CST)) {
    pthread_mutex_lock(&sleep_lock);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&sleep_lock);
  }
  start_worker(&w, ctx, 0, threads, &team);
  body(&w, args);
  /* nobody may enter any more; those inside find every step finished */
  __atomic_and_fetch(&team.entry.word, ~ENTRY_OPEN, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(&team.entry.word, __ATOMIC_ACQUIRE) & ENTRY_INSIDE) wait_turn(&wait);
}

IG_EXPORT int ig_run(const ig_ctx *ctx, ig_body body, const void *args, int32_t want_threads) {
  int32_t threads = ctx->threads;
  if (want_threads > 0 && want_threads < threads) threads = want_threads;
  if (threads > IG_MOST) threads = IG_MOST;
  if (threads > 1 && !__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) {
    hire(threads - 1);
    if (threads > workers + 1) threads = workers + 1;
    if (threads > 1) run_team(ctx, body, args, threads);
    else run_alone(ctx, body, args);
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
  } else {
    run_alone(ctx, body, args);
  }
  return failed(ctx);
}

/* A forked child has none of the threads: it starts anew when it first needs them. */
static void forget(void) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  memset(&team, 0, sizeof team);
  sleep_lock = lock;
  wake = cond;
  busy = workers = sleepers = 0;
}

static int32_t cores(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int32_t)n : 1;
}

__attribute__((constructor)) static void load(void) {
  most_threads = cores() < IG_MOST ? cores() : IG_MOST;
  pthread_atfork(0, 0, forget);
}

IG_EXPORT int ig_pool_abi_version(void) { return IG_ABI_VERSION; }
IG_EXPORT int ig_pool_threads(void) { return __atomic_load_n(&most_threads, __ATOMIC_RELAXED); }
IG_EXPORT int64_t ig_ctx_bytes(void) { return (int64_t)sizeof(ig_ctx); }

/* Threads of a context made from now on (0: leave), and how long idle workers spin before they sleep (< 0: leave). */
IG_EXPORT void ig_pool_config(int threads, int64_t spin_us) {
  if (threads > 0) __atomic_store_n(&most_threads, threads < IG_MOST ? threads : IG_MOST, __ATOMIC_RELAXED);
  if (spin_us >= 0) __atomic_store_n(&spin_ns, spin_us * 1000, __ATOMIC_RELAXED);
}

/* Fill a context: threads 0 means as configured; scratch has one block per thread or is 0. */
IG_EXPORT void ig_pool_make(ig_ctx *ctx, int threads, void *const *scratch, ig_error *error, const volatile int32_t *stop) {
  memset(ctx, 0, sizeof *ctx);
  ctx->run = ig_run;
  ctx->step = ig_step;
  ctx->report = ig_report;
  ctx->threads = threads > 0 ? (threads < IG_MOST ? threads : IG_MOST) : ig_pool_threads();
  ctx->scratch = scratch;
  ctx->error = error;
  ctx->stop = stop;
}

/* Touch the pages of fresh memory with all threads, so that later writes do not fault.  The contents stay. */
#define IG_TOUCH ((int64_t)1 << 21)
typedef struct { char *memory; int64_t bytes; } ig_span;
static void touch_chunks(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {
  const ig_span *span = (const ig_span *)args;
  int64_t end = hi * IG_TOUCH < span->bytes ? hi * IG_TOUCH : span->bytes;
  (void)w;
  for (int64_t i = lo * IG_TOUCH; i < end; i += 4096) {
    volatile char *p = span->memory + i;
    *p = *p;
  }
}
static int touch_body(ig_worker *w, const void *args) {
  return ig_step(w, touch_chunks, args, (((const ig_span *)args)->bytes + IG_TOUCH - 1) / IG_TOUCH);
}
IG_EXPORT void ig_touch(void *memory, int64_t bytes) {
  ig_span span = {(char *)memory, bytes};
  ig_error error = {0, 0, 0, 0};
  ig_ctx ctx;
  ig_pool_make(&ctx, 0, 0, &error, 0);
  ig_run(&ctx, touch_body, &span, 0);
}
