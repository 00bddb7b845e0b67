// Purpose: runs the text of CUDA kernels on the CPU, for tests. A block is a set of fibers, one per thread, that run
// one after another until each waits at a barrier; blocks run one after another. What a device would leave undefined
// is made visible: shared memory is filled with NaN before each block, threads that wait at different barriers are
// reported, and lanes and warps can be run in reverse, so that a missing barrier changes results.
#pragma once
#if !defined(__x86_64__)
#error "the switch between fibers is written for x86-64"
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tuple>
#include <utility>

#define __CUDACC__ 1
#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline, unused))
#define __noinline__ __attribute__((noinline, unused))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __shared__ static __attribute__((section("shared_memory")))

namespace emulation {

struct Index { unsigned x, y, z; };
enum State { READY, AT_BLOCK, AT_WARP, DONE };

struct Fiber {
  void *stack;
  Index thread;
  int lane, warp, state, line;
  unsigned mask;
  uint64_t offered;
};

constexpr int MOST = 1024;
constexpr size_t STACK = 128 << 10;

struct Machine {
  Fiber fibers[MOST];
  Fiber *now;
  int count;
  bool reversed;
  void *home;
  Index block, threads, grid;
  void (*entry)(void *);
  void *argument;
  char problem[200];
};
static Machine machine;
static char *stacks;

extern "C" void emulation_switch(void **from, void *to);
__asm__(
    ".text\n.type emulation_switch,@function\nemulation_switch:\n"
    "push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "mov %rsp,(%rdi)\n mov %rsi,%rsp\n"
    "pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");

static void complain(const char *what, int one, int other) {
  if (!machine.problem[0])
    snprintf(machine.problem, sizeof machine.problem, "%s (lines %d and %d, block %u,%u)", what, one, other,
             machine.block.x, machine.block.y);
}

static void wait(int state, int line, unsigned mask) {
  Fiber *const me = machine.now;
  me->state = state;
  me->line = line;
  me->mask = mask;
  emulation_switch(&me->stack, machine.home);
}

static void begin() {
  machine.entry(machine.argument);
  machine.now->state = DONE;
  emulation_switch(&machine.now->stack, machine.home);
  abort();
}

static void prepare(int k) {
  Fiber &f = machine.fibers[k];
  const Index t = machine.threads;
  f.thread = {k % t.x, k / t.x % t.y, k / (t.x * t.y)};
  f.lane = k % 32;
  f.warp = k / 32;
  f.state = READY;
  void **top = (void **)(stacks + STACK * (k + 1)) - 2;
  *--top = (void *)begin;
  for (int r = 0; r < 6; r++) *--top = nullptr;
  f.stack = top;
}

// The fibers first..last - 1 of those that are ready, in order or in reverse, until none is.
static bool run(int first, int last) {
  bool any = false;
  for (int k = 0; k < last - first; k++) {
    Fiber &f = machine.fibers[machine.reversed ? last - 1 - k : first + k];
    if (f.state != READY) continue;
    machine.now = &f;
    emulation_switch(&machine.home, f.stack);
    any = true;
  }
  return any;
}

// Lets the lanes of a warp go on once all that one of them waits for have come to the same place.
static bool release_warp(int first, int last) {
  unsigned come = 0, wanted = 0;
  int line = -1;
  for (int k = first; k < last; k++) {
    const Fiber &f = machine.fibers[k];
    if (f.state != AT_WARP) continue;
    if (line >= 0 && line != f.line) complain("lanes of a warp wait at different places", line, f.line);
    line = f.line;
    come |= 1u << f.lane;
    wanted |= f.mask;
  }
  const unsigned there = last - first == 32 ? ~0u : (1u << (last - first)) - 1;
  if (!come || (wanted & there & ~come)) return false;
  for (int k = first; k < last; k++)
    if (machine.fibers[k].state == AT_WARP) machine.fibers[k].state = READY;
  return true;
}

// Lets all threads of the block go on once all have come to the same barrier.
static bool release_block() {
  int come = 0, line = -1;
  for (int k = 0; k < machine.count; k++) {
    const Fiber &f = machine.fibers[k];
    if (f.state != AT_BLOCK) continue;
    if (line >= 0 && line != f.line) complain("threads of a block wait at different barriers", line, f.line);
    line = f.line;
    come++;
  }
  if (come < machine.count) return false;
  for (int k = 0; k < machine.count; k++) machine.fibers[k].state = READY;
  return true;
}

extern "C" char __start_shared_memory[] __attribute__((weak)), __stop_shared_memory[] __attribute__((weak));

static bool run_block() {
  if (__start_shared_memory) memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
  for (int k = 0; k < machine.count; k++) prepare(k);
  const int warps = (machine.count + 31) / 32;
  for (;;) {
    bool moved = false;
    for (int k = 0; k < warps; k++) {
      const int warp = machine.reversed ? warps - 1 - k : k;
      const int first = 32 * warp, last = first + 32 < machine.count ? first + 32 : machine.count;
      do moved |= run(first, last);
      while (release_warp(first, last));
    }
    if (machine.problem[0]) return false;
    int done = 0;
    for (int k = 0; k < machine.count; k++) done += machine.fibers[k].state == DONE;
    if (done == machine.count) return true;
    if (!release_block() && !moved) {
      complain("some threads wait at a barrier that others never reach", 0, 0);
      return false;
    }
  }
}

template <class Call> static bool launch(Index grid, Index threads, bool reversed, Call &call) {
  // Not reserved: every library has 128 MiB of these, and a process that had promised all of it could not fork.
  if (!stacks) {
    void *made = mmap(0, STACK * MOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) abort();
    stacks = (char *)made;
  }
  machine.grid = grid;
  machine.threads = threads;
  machine.count = threads.x * threads.y * threads.z;
  machine.reversed = reversed;
  machine.entry = [](void *p) { (*(Call *)p)(); };
  machine.argument = &call;
  machine.problem[0] = 0;
  if (machine.count > MOST) complain("more than 1024 threads per block", 0, 0);
  for (unsigned y = 0; y < grid.y; y++)
    for (unsigned x = 0; x < grid.x; x++) {
      machine.block = {x, y, 0};
      if (machine.problem[0] || !run_block()) return false;
    }
  return true;
}

// Calls a kernel as the driver does: `arguments` points to each argument in turn.
template <class... A> struct Kernel {
  void (*function)(A...);
  void **arguments;
  template <size_t... k> void call(std::index_sequence<k...>) { function(*(A *)arguments[k]...); }
  void operator()() { call(std::index_sequence_for<A...>()); }
};

template <class... A>
static const char *start(void (*function)(A...), const int *shape, int reversed, void **arguments) {
  Kernel<A...> kernel = {function, arguments};
  const Index grid = {(unsigned)shape[0], (unsigned)shape[1], 1}, threads = {(unsigned)shape[2], (unsigned)shape[3], 1};
  return launch(grid, threads, reversed != 0, kernel) ? nullptr : machine.problem;
}

template <class T> static T exchange(T value, int from, int line, unsigned mask) {
  Fiber *const me = machine.now;
  static_assert(sizeof(T) <= 8, "a shuffled value has at most 8 bytes");
  memcpy(&me->offered, &value, sizeof value);
  wait(AT_WARP, line, mask);
  T found;
  memcpy(&found, &machine.fibers[32 * me->warp + from].offered, sizeof found);
  wait(AT_WARP, line, mask);
  return found;
}
template <class T> static T shuffle_down(unsigned mask, T value, unsigned by, int line) {
  const int lane = machine.now->lane;
  return exchange(value, lane + (int)by < 32 ? lane + (int)by : lane, line, mask);
}
template <class T> static T shuffle(unsigned mask, T value, int from, int line) {
  return exchange(value, from & 31, line, mask);
}

}  // namespace emulation

#define threadIdx (emulation::machine.now->thread)
#define blockIdx (emulation::machine.block)
#define blockDim (emulation::machine.threads)
#define gridDim (emulation::machine.grid)
#define __syncthreads() emulation::wait(emulation::AT_BLOCK, __LINE__, 0)
#define __syncwarp() emulation::wait(emulation::AT_WARP, __LINE__, ~0u)
#define __shfl_down_sync(mask, value, by) emulation::shuffle_down(mask, value, by, __LINE__)
#define __shfl_sync(mask, value, from) emulation::shuffle(mask, value, from, __LINE__)

static inline unsigned long long atomicCAS(unsigned long long *p, unsigned long long old, unsigned long long made) {
  const unsigned long long before = *p;
  if (before == old) *p = made;
  return before;
}
static inline float __int_as_float(int x) { float r; memcpy(&r, &x, 4); return r; }
static inline int __float_as_int(float x) { int r; memcpy(&r, &x, 4); return r; }
static inline double __longlong_as_double(long long x) { double r; memcpy(&r, &x, 8); return r; }
static inline long long __double_as_longlong(double x) { long long r; memcpy(&r, &x, 8); return r; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
static inline double __dsqrt_rn(double a) { return __builtin_sqrt(a); }
static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
#define floorf __builtin_floorf
#define floor __builtin_floor
#define ceilf __builtin_ceilf
#define ceil __builtin_ceil
#define truncf __builtin_truncf
#define trunc __builtin_trunc
#define rintf __builtin_rintf
#define rint __builtin_rint
