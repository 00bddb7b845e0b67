"""Rough costs: how finely the work of a kernel is cut."""

from intaglio.compiler.dtypes import float32
from intaglio.compiler.ir import Value
from intaglio.compiler.loop import Buffer, Kernel
from intaglio.compiler.op import Builder
from intaglio.compiler.schedule.cost import CHUNK, kernel_nanoseconds, shared_finely
from intaglio.compiler.schedule.maps import map_kernel
from intaglio.compiler.types import TensorType

ROWS, COLUMNS = 16, 256


def kernel(op: str) -> Kernel:
    """An elementwise op on rows that do not lie one behind the other."""
    b = Builder()
    x = b.input(TensorType(float32, (ROWS, COLUMNS)))
    y: Value = b.apply(op, (x,), {})[0]
    given = Buffer(float32, (ROWS, COLUMNS), (4 * COLUMNS, 1), "input")
    made = Buffer(float32, (ROWS, COLUMNS), (COLUMNS, 1), "output")
    return map_kernel(b.graph([y]), {x: given}, [(y, made)])


def test_costly_elements_make_small_chunks_and_cheap_ones_large() -> None:
    cheap, costly = kernel("neg"), kernel("tanh")
    assert cheap.body.grain == costly.body.grain == ROWS
    assert shared_finely(cheap) is cheap
    grain = shared_finely(costly).body.grain
    whole = kernel_nanoseconds(costly)
    assert isinstance(grain, int) and isinstance(whole, int)
    assert grain < ROWS and ROWS % grain == 0
    assert CHUNK / 2 <= whole * grain / ROWS <= CHUNK
    assert shared_finely(shared_finely(costly)).body.grain == grain
