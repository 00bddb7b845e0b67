"""The emulation itself: it runs blocks as a device does, and shows what that leaves undefined."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.cuda.emulator import COMPILER, Array, emulate_text

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulation needs g++")
TAIL = "char *scratch, const int64_t *dims, int64_t *error, int node"


def kernel(name: str, body: str) -> str:
    """A kernel over `float *b0`, in the form that generated ones have."""
    head = f'extern "C" __global__ void __launch_bounds__(64)\n{name}(float *b0, {TAIL})'
    return f"{head} {{\n{body}\n}}\n"


KERNELS = "\n".join(
    [
        '#include "ig_prelude.h"',
        kernel("turn", """__shared__ float s[64];
s[threadIdx.x] = b0[blockIdx.x * 64 + threadIdx.x];
__syncthreads();
b0[blockIdx.x * 64 + threadIdx.x] = s[63 - threadIdx.x];"""),
        kernel("careless", """__shared__ float s[64];
s[threadIdx.x] = b0[blockIdx.x * 64 + threadIdx.x];
b0[blockIdx.x * 64 + threadIdx.x] = s[63 - threadIdx.x];"""),
        kernel("unwritten", """__shared__ float s[64];
if (threadIdx.x < 32) s[threadIdx.x] = 1;
__syncthreads();
b0[threadIdx.x] = s[threadIdx.x];"""),
        kernel("divergent", "if (threadIdx.x < 32) __syncthreads();\nb0[threadIdx.x] = 1;"),
        kernel("apart", """if (threadIdx.x < 32)
  __syncthreads();
else
  __syncthreads();"""),
        kernel("half", "if (threadIdx.x < 7) __syncwarp();"),
        kernel("warps", """float x = b0[threadIdx.x];
for (int k = 16; k > 0; k >>= 1) x += __shfl_down_sync(0xffffffffu, x, k);
b0[threadIdx.x] = __shfl_sync(0xffffffffu, x, 0);"""),
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return emulate_text(KERNELS)


def run(
    library: ctypes.CDLL, name: str, x: Array, blocks: int = 1, reverse: bool = False
) -> str | None:
    """Run a kernel over x in place, in blocks of 64 threads; the problem that was seen."""
    values = [
        ctypes.c_void_p(x.ctypes.data),
        *(ctypes.c_void_p(0) for _ in range(3)),
        ctypes.c_int(0),
    ]
    arguments = (ctypes.c_void_p * 5)(*(ctypes.addressof(v) for v in values))
    function = library[f"start_{name}"]
    function.restype = ctypes.c_char_p
    problem = function((ctypes.c_int * 4)(blocks, 1, 64, 1), int(reverse), arguments)
    return None if problem is None else problem.decode()


def numbers(count: int = 64) -> Array:
    return np.arange(count, dtype=np.float32)


@pytest.mark.parametrize("reverse", [False, True])
def test_threads_of_a_block_meet_at_a_barrier(library: ctypes.CDLL, reverse: bool) -> None:
    x = numbers(192)
    assert run(library, "turn", x, 3, reverse) is None
    np.testing.assert_array_equal(x, numbers(192).reshape(3, 64)[:, ::-1].ravel())


def test_a_missing_barrier_changes_the_results(library: ctypes.CDLL) -> None:
    x, y = numbers(), numbers()
    run(library, "careless", x)
    run(library, "careless", y, reverse=True)
    assert np.isnan(x).any() and np.isnan(y).any()
    assert x.tobytes() != y.tobytes()


def test_shared_memory_that_nobody_wrote_is_nan(library: ctypes.CDLL) -> None:
    x = numbers()
    assert run(library, "unwritten", x) is None
    assert (x[:32] == 1).all() and np.isnan(x[32:]).all()


@pytest.mark.parametrize(
    ("name", "told"),
    [("divergent", "others never reach"), ("apart", "different barriers"), ("half", "never reach")],
)
def test_divergent_barriers_are_reported(library: ctypes.CDLL, name: str, told: str) -> None:
    problem = run(library, name, numbers())
    assert problem is not None and told in problem
    assert run(library, "turn", numbers()) is None, "the next launch is not disturbed"


@pytest.mark.parametrize("reverse", [False, True])
def test_lanes_of_a_warp_exchange_values(library: ctypes.CDLL, reverse: bool) -> None:
    x = numbers()
    assert run(library, "warps", x, reverse=reverse) is None
    np.testing.assert_array_equal(x, np.repeat([496, 1520], 32))
