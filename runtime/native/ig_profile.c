/* Times the steps of calls for a profile: while it is on, contexts are made with a step that notes
   the clock after the pool's own. Only one thread profiles at a time. */
#define _GNU_SOURCE
#include "ig_abi.h"

#include <time.h>

int ig_step(ig_worker *w, ig_kernel kernel, const void *args, int64_t chunks);

static int64_t *ig_ends;
static int64_t ig_room, ig_count;

static int64_t ig_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int ig_timed_step(ig_worker *w, ig_kernel kernel, const void *args, int64_t chunks) {
  int status = ig_step(w, kernel, args, chunks);
  if (w->id == 0 && ig_count < ig_room) ig_ends[ig_count++] = ig_clock();
  return status;
}

/* Note the ends of steps from now on, at most `room`; the first entry is the beginning. */
void ig_profile_begin(int64_t *ends, int64_t room) {
  ig_ends = ends;
  ig_room = room;
  ig_count = 0;
}

void ig_profile_context(ig_ctx *ctx, int on) { ctx->step = on ? ig_timed_step : ig_step; }

/* Note the beginning of a call. */
void ig_profile_mark(void) {
  if (ig_count < ig_room) ig_ends[ig_count++] = ig_clock();
}

/* How many times were noted; none are noted any more. */
int64_t ig_profile_end(void) {
  int64_t count = ig_count;
  ig_room = ig_count = 0;
  return count;
}
