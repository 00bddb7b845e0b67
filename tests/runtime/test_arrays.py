"""Arrays at the border: what is taken as it is, what is copied, what is refused, and how."""

import ml_dtypes
import numpy as np
import pytest

from intaglio.compiler.dims import Constraint, Dim
from intaglio.compiler.dtypes import bfloat16, boolean, float32, float64, int32, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import _fast_address, _slow_address, address, as_operand, is_dense
from intaglio.runtime.signature import Signature

X = TensorType(float32, (2, 3))


def test_addresses() -> None:
    for array in (np.zeros(5)[2:], np.zeros(()), np.zeros(0), np.zeros(3, ml_dtypes.bfloat16)):
        assert address(array) == _slow_address(array) == _fast_address(array)


def test_a_fitting_array_is_taken_as_it_is() -> None:
    x = np.zeros((2, 3), np.float32)
    assert as_operand(x, X, "x") is x
    x.flags.writeable = False
    assert as_operand(x, X, "x") is x


@pytest.mark.parametrize(
    "kind", ["transposed", "strided", "unaligned", "swapped", "expanded", "flipped"]
)
def test_other_layouts_are_copied_with_equal_values(kind: str) -> None:
    base = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = {
        "transposed": np.asfortranarray(base),
        "strided": np.repeat(base, 2, axis=1)[:, ::2],
        "unaligned": np.frombuffer(b"\0" + base.tobytes(), np.float32, offset=1).reshape(2, 3),
        "swapped": base.astype(">f4"),
        "expanded": np.broadcast_to(np.float32(4), (2, 3)),
        "flipped": base[::-1, ::-1],
    }[kind]
    made = as_operand(x, X, "x")
    assert is_dense(made)
    assert made.dtype == np.float32
    assert np.array_equal(made, x)
    assert not np.may_share_memory(made, x)


class HasArray:
    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.ones((2, 3), np.float32)


class HasDlpack:
    def __init__(self) -> None:
        self.array = np.ones((2, 3), np.float32)

    def __dlpack__(self, **options: object) -> object:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


@pytest.mark.parametrize(
    "value", [HasArray(), HasDlpack(), np.ones((2, 3), np.float32).view(np.matrix)]
)
def test_foreign_arrays(value: object) -> None:
    made = as_operand(value, X, "x")
    assert made.__class__ is np.ndarray
    assert np.array_equal(made, np.ones((2, 3)))


def test_memory_on_a_device_is_refused() -> None:
    value = HasDlpack()
    value.__class__ = type("OnDevice", (HasDlpack,), {"__dlpack_device__": lambda s: (2, 0)})
    with pytest.raises(Exception, match="lies on a device"):
        as_operand(value, X, "x")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.zeros((2, 3)), r"x is f64\[2,3\], and f32\[2,3\] is wanted.*x.astype\(np.float32\)"),
        (np.zeros((2, 3), np.complex64), "x is complex64"),
        (np.zeros((2, 3), object), "x is object"),
        ([[1.0, 2.0]], "x is a Python list.*np.asarray"),
        (None, "x is a Python NoneType"),
        (1.0, "x is the number 1.0"),
    ],
)
def test_other_dtypes_are_refused(value: object, told: str) -> None:
    with pytest.raises(DTypeError, match=told):
        as_operand(value, X, "x")


def test_rank_is_checked() -> None:
    with pytest.raises(ShapeError, match=r"x is f32\[6\], and f32\[2,3\] is wanted"):
        as_operand(np.zeros(6, np.float32), X, "x")


@pytest.mark.parametrize(
    ("value", "dtype"), [(1, float32), (2.5, float64), (3, int32), (True, boolean), (1.5, bfloat16)]
)
def test_numbers_for_scalars(value: float, dtype: object) -> None:
    made = as_operand(value, TensorType(dtype, ()), "x")
    assert made == value
    assert made.shape == ()


@pytest.mark.parametrize(
    ("value", "dtype"), [(1.5, int64), (True, int64), (2, boolean), (1 << 40, int32)]
)
def test_numbers_that_do_not_fit(value: float, dtype: object) -> None:
    with pytest.raises(DTypeError):
        as_operand(value, TensorType(dtype, ()), "x")


N, M = Dim("n", max=100), Dim("m")


def signature() -> Signature:
    types = [
        TensorType(float32, (N, 3)),
        TensorType(float32, (2 * N + 1, M)),
        TensorType(int64, (N + M,)),
    ]
    return Signature(types, ("a", "b", "c"), [Constraint(M, "<=", N, "net.py:3")], "f")


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    kinds = (np.float32, np.float32, np.int64)
    return [np.zeros(s, k) for s, k in zip(shapes, kinds, strict=True)]


def test_sizes_are_solved() -> None:
    found = signature().bind(arrays((4, 3), (9, 2), (6,)))
    assert found.by_name == {"n": 4, "m": 2}


def test_known_shapes_are_remembered_and_bounded() -> None:
    s = Signature([TensorType(float32, (Dim("k"),))], ("x",))
    first = s.bind([np.zeros(1, np.float32)])
    assert s.bind([np.ones(1, np.float32)]) is first
    for k in range(1, 1000):
        assert s.bind([np.zeros(k, np.float32)]).key == (k,)
    assert len(s._known) == 256


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        (((4, 2), (9, 2), (6,)), r"f: a must be f32\[n,3\], but dim 1 must be 3, not 2"),
        (((4, 3), (8, 2), (6,)), r"f: b must be .* dim 0 must be 2\*n\+1 = 9, not 8"),
        (((4, 3), (9, 2), (7,)), r"f: c must be .* not 7"),
        (((101, 3), (203, 2), (103,)), "n = 101 is not within 1 to 100"),
        (((4, 3), (9, 5), (9,)), r"f: m <= n does not hold for n = 4, m = 5 \(net.py:3\)"),
    ],
)
def test_broken_sizes(shapes: tuple[tuple[int, ...], ...], told: str) -> None:
    with pytest.raises(ShapeError, match=told):
        signature().bind(arrays(*shapes))


def test_the_number_of_arrays() -> None:
    with pytest.raises(ArgumentError, match="takes 3 arrays"):
        signature().admit([])
