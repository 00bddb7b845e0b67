/* What the Python side needs of C around a call: Ctrl-C, and a commit that nothing can cut in two.

   While a call is watched, SIGINT sets its stop flag and then does what it would have done without
   us (Python's own handler notes it and raises KeyboardInterrupt after the call). The former action
   is put back when the call ends, unless somebody else changed it meanwhile. Only Python's main
   thread watches, one call at a time. */
#include "ig_abi.h"

#include <signal.h>
#include <string.h>

typedef int (*ig_entry)(const ig_ctx *ctx, void *const *buffers, const int64_t *dims);

int ig_step(ig_worker *w, ig_kernel kernel, const void *args, int64_t chunks);

static volatile int32_t *volatile ig_watched;
static struct sigaction ig_former;

static void ig_on_interrupt(int number, siginfo_t *info, void *context) {
  if (ig_watched) *ig_watched = 1;
  if (ig_former.sa_flags & SA_SIGINFO)
    ig_former.sa_sigaction(number, info, context);
  else if (ig_former.sa_handler != SIG_DFL && ig_former.sa_handler != SIG_IGN)
    ig_former.sa_handler(number);
}

/* Let SIGINT set *stop from now on. 0: done; else it stays as it was. */
int ig_watch(volatile int32_t *stop) {
  struct sigaction ours, present;
  if (ig_watched || sigaction(SIGINT, 0, &present)) return 1;
  if (present.sa_handler == SIG_DFL || present.sa_handler == SIG_IGN) return 1;
  memset(&ours, 0, sizeof ours);
  ours.sa_sigaction = ig_on_interrupt;
  ours.sa_flags = SA_SIGINFO | (present.sa_flags & (SA_RESTART | SA_ONSTACK));
  ours.sa_mask = present.sa_mask;
  ig_former = present;
  ig_watched = stop;
  if (!sigaction(SIGINT, &ours, 0)) return 0;
  ig_watched = 0;
  return 1;
}

void ig_unwatch(void) {
  struct sigaction present;
  if (!ig_watched) return;
  if (!sigaction(SIGINT, 0, &present) && (present.sa_flags & SA_SIGINFO) &&
      present.sa_sigaction == ig_on_interrupt)
    sigaction(SIGINT, &ig_former, 0);
  ig_watched = 0;
}

/* The new values of states, copied in pieces by all threads.
   moves: a count, then for each: entry of the target, entry of the source, bytes. */
#define IG_PIECE ((int64_t)1 << 18)
typedef struct { void *const *buffers; const int64_t *moves; int64_t pieces; } ig_moves;

static void ig_move(const ig_worker *w, const void *args, int64_t lo, int64_t hi) {
  const ig_moves *all = (const ig_moves *)args;
  int64_t piece = 0;
  (void)w;
  for (int64_t k = 0; k < all->moves[0]; k++) {
    const int64_t *move = all->moves + 1 + 3 * k;
    for (int64_t at = 0; at < move[2]; at += IG_PIECE, piece++) {
      int64_t count = move[2] - at < IG_PIECE ? move[2] - at : IG_PIECE;
      if (piece >= lo && piece < hi)
        memcpy((char *)all->buffers[move[0]] + at, (const char *)all->buffers[move[1]] + at, (size_t)count);
    }
  }
}

static int ig_move_body(ig_worker *w, const void *args) {
  return w->ctx->step(w, ig_move, args, ((const ig_moves *)args)->pieces);
}

/* Run a function and, if it succeeds, copy the new values that wait for that to where they belong,
   all in one foreign call, so that Python can't be interrupted in between. Nothing stops the copies. */
int ig_call(ig_entry entry, const ig_ctx *ctx, void *const *buffers, const int64_t *dims, const int64_t *moves) {
  ig_moves all = {buffers, moves, 0};
  ig_ctx certain;
  int status = entry(ctx, buffers, dims);
  if (status) return status;
  certain = *ctx;
  certain.step = ig_step;
  certain.stop = 0;
  for (int64_t k = 0; k < moves[0]; k++) all.pieces += (moves[3 + 3 * k] + IG_PIECE - 1) / IG_PIECE;
  return certain.run(&certain, ig_move_body, &all, all.pieces > 4 ? 0 : 1);
}
