"""Tensors eagerly: creation, promotion, printing, sharing of memory, exports."""

import copy
import pickle

import numpy as np
import pytest

import intaglio as ig


def test_creation_follows_the_data() -> None:
    assert ig.tensor([1, 2]).dtype is ig.int64
    assert ig.tensor([1.0, 2]).dtype is ig.float32
    assert ig.tensor(True).dtype is ig.bool
    assert ig.tensor(np.ones(2)).dtype is ig.float64
    assert ig.tensor([[1, 2], [3, 4]], dtype=ig.float16).tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert ig.tensor([ig.tensor(1.0), 2.0]).tolist() == [1.0, 2.0]
    assert ig.zeros(2, 3).shape == (2, 3)
    assert ig.full((2,), 7).dtype is ig.int64
    np.testing.assert_array_equal(ig.arange(1, 10, 3).numpy(), np.arange(1, 10, 3))
    np.testing.assert_array_equal(
        ig.linspace(0, 1, 5).numpy(), np.linspace(0, 1, 5, dtype=np.float32)
    )
    np.testing.assert_array_equal(ig.eye(2, 3).numpy(), np.eye(2, 3))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (ig.float32, ig.float64, "float64"),
        (ig.float16, ig.bfloat16, "float32"),
        (ig.int64, ig.float16, "float16"),
        (ig.uint8, ig.int8, "int16"),
        (ig.uint8, ig.int32, "int32"),
        (ig.bool, ig.uint8, "uint8"),
    ],
)
def test_promotion_of_dimensioned(a: ig.dtype, b: ig.dtype, expected: str) -> None:
    assert ig.promote_types(a, b).long_name == expected
    assert (ig.ones(2, dtype=a) * ig.ones(2, dtype=b)).dtype.long_name == expected


def test_promotion_by_category() -> None:
    whole, single = ig.ones(2, dtype=ig.int32), ig.ones(2, dtype=ig.float32)
    assert (whole + 1).dtype is ig.int32
    assert (whole + 1.0).dtype is ig.float32
    assert (single + ig.tensor(1.0, dtype=ig.float64)).dtype is ig.float32
    assert (whole + ig.tensor(1.0, dtype=ig.float64)).dtype is ig.float64
    assert (ig.tensor(1, dtype=ig.int8) + ig.tensor(1, dtype=ig.int16)).dtype is ig.int16
    assert (whole / 2).dtype is ig.float32
    assert (True + ig.ones(2, dtype=ig.bool)).dtype is ig.bool
    assert ig.ones(2, dtype=ig.bool).sum().dtype is ig.int64


def test_broadcasting_and_its_error() -> None:
    a, b = ig.arange(3).reshape(3, 1), ig.arange(2)
    np.testing.assert_array_equal((a * b).numpy(), a.numpy() * b.numpy())
    with pytest.raises(ig.ShapeError, match=r"add: i64\[3\], i64\[2\].*test_tensor\.py:\d+"):
        ig.arange(3) + ig.arange(2)


def test_errors_name_the_authors_line() -> None:
    with pytest.raises(ig.ShapeError, match=r"matmul: .*inner sizes 3 and 2.*test_tensor\.py:\d+"):
        ig.ones(2, 3) @ ig.ones(2, 3)
    with pytest.raises(ig.IndexError, match="out of range"):
        ig.ones(2).sum(3)


def test_number_operands_are_not_mixed_up() -> None:
    x = ig.tensor([1.0, -1.0])
    assert np.signbit((x * 0.0).numpy()).tolist() == [False, True]
    assert np.signbit((x * -0.0).numpy()).tolist() == [True, False]
    assert ig.ones(2, dtype=ig.float64)[0].item() + 0 == 1
    third = ig.ones(1, dtype=ig.float64) / 3
    assert third.item() == 1 / 3


def test_sharing_with_numpy() -> None:
    array = np.zeros(3, np.float32)
    x = ig.from_numpy(array)
    array[0] = 5
    assert x[0].item() == 5
    x[1] = 7
    assert array[1] == 7
    assert np.shares_memory(x.numpy(), array)
    assert np.shares_memory(np.from_dlpack(x), array)
    assert np.shares_memory(ig.from_dlpack(array).numpy(), array)
    with pytest.raises(ig.ArgumentError, match="byte order"):
        ig.from_numpy(np.zeros(2, ">f4"))
    with pytest.raises(ig.GradientError, match="detach"):
        ig.ones(2, requires_grad=True).numpy()


def test_numpy_functions_come_to_us() -> None:
    x = ig.ones(3, requires_grad=True)
    y = np.add(x, 1.0)
    assert isinstance(y, ig.Tensor) and y.requires_grad
    assert isinstance(np.sum(x), ig.Tensor)
    assert isinstance(np.ones(3, np.float32) * x, ig.Tensor)
    assert np.concatenate([x, x]).shape == (6,)
    assert np.var(ig.tensor([1.0, 2.0])).item() == 0.25


def test_printing() -> None:
    assert repr(ig.tensor([1.0, 2.5])) == "tensor([1.0000, 2.5000])"
    assert repr(ig.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(ig.tensor([1.0])) == "tensor([1.])"
    assert repr(ig.tensor(1.5, dtype=ig.float64)) == "tensor(1.5000, dtype=intaglio.float64)"
    x = ig.ones(1, requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * x) == "tensor([1.], grad_fn=<MulBackward0>)"
    assert f"{ig.tensor(0.25):.3f}" == "0.250"


def test_conversions_and_copies() -> None:
    x = ig.tensor([[1.5, -2.5]])
    assert x.to(ig.int64).tolist() == [[1, -2]]
    assert x.double().dtype is ig.float64
    assert x.to("cpu") is x
    with pytest.raises(ig.DeviceError, match="cuda"):
        x.to("cuda")
    again = pickle.loads(pickle.dumps(x))  # noqa: S301  # our own bytes
    assert again.tolist() == x.tolist()
    p = ig.Parameter(x)
    twin = copy.deepcopy(p)
    assert isinstance(twin, ig.Parameter) and twin.requires_grad
    assert not np.shares_memory(twin.detach().numpy(), p.detach().numpy())
    assert bool(ig.tensor([1])) and int(ig.tensor(3)) == 3 and [0, 1][ig.tensor(1)] == 1
    with pytest.raises(ig.ArgumentError, match="ambiguous"):
        bool(ig.ones(2))


def test_reductions_match_numpy() -> None:
    a = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    x = ig.from_numpy(a)
    for dim in (0, -1, (0, 2), None):
        np.testing.assert_allclose(x.sum(dim).numpy(), a.sum(dim))
        np.testing.assert_allclose(
            x.mean(axis=dim, keepdims=True).numpy(), a.mean(dim, keepdims=True)
        )
        np.testing.assert_allclose(x.var(dim).numpy(), a.var(dim, ddof=1))
        np.testing.assert_allclose(x.amax(dim).numpy(), a.max(dim))
    values, indices = x.max(1)
    np.testing.assert_array_equal(values.numpy(), a.max(1))
    np.testing.assert_array_equal(indices.numpy(), a.argmax(1))
    assert x.argmin().item() == 0
    np.testing.assert_array_equal(x.cumsum(1).numpy(), a.cumsum(1))
    with pytest.raises(ig.DTypeError, match="float32"):
        ig.arange(3).mean()


def test_movement_matches_numpy() -> None:
    a = np.arange(24).reshape(2, 3, 4)
    x = ig.from_numpy(a)
    cases = [
        (x.permute(2, 0, 1), a.transpose(2, 0, 1)),
        (x.mT, a.swapaxes(-1, -2)),
        (x.flatten(1), a.reshape(2, 12)),
        (x.flip(0, 2), np.flip(a, (0, 2))),
        (x.roll(1, 1), np.roll(a, 1, 1)),
        (ig.cat([x, x], 1), np.concatenate([a, a], 1)),
        (ig.stack([x, x], -1), np.stack([a, a], -1)),
        (x.repeat(1, 2, 1), np.tile(a, (1, 2, 1))),
        (x.unsqueeze(1).expand(2, 5, 3, 4), np.broadcast_to(a[:, None], (2, 5, 3, 4))),
        (x.tril(-1), np.tril(a, -1)),
        (ig.constant_pad(x, (1, 2, 0, 1), 9), np.pad(a, ((0, 0), (0, 1), (1, 2)),
        constant_values=9)), (x.diagonal(1, 1, 2), a.diagonal(1, 1, 2)),
        (x.movedim(0, 2), np.moveaxis(a, 0, 2)),
        (ig.where(x > 5, x, -x), np.where(a > 5, a, -a)),
    ]  # fmt: skip
    for ours, expected in cases:
        np.testing.assert_array_equal(ours.numpy(), expected)
    assert [p.shape for p in x.split(2, 1)] == [(2, 2, 4), (2, 1, 4)]
    assert [p.shape for p in x.chunk(2, 2)] == [(2, 3, 2), (2, 3, 2)]
    with pytest.raises(ig.ShapeError, match="24 elements"):
        x.reshape(5, -1)


def test_products_match_numpy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 5))
    x, y = ig.from_numpy(a), ig.from_numpy(b)
    np.testing.assert_allclose((x @ y).numpy(), a @ b, rtol=1e-12)
    np.testing.assert_allclose((x[0, 0] @ y).numpy(), a[0, 0] @ b, rtol=1e-12)
    np.testing.assert_allclose(
        ig.einsum("bij,jk,bk->i", x, y, ig.ones(2, 5, dtype=ig.float64)).numpy(),
        np.einsum("bij,jk,bk->i", a, b, np.ones((2, 5))),
        rtol=1e-12,
    )
    np.testing.assert_allclose(ig.einsum("bii->b", x @ x.mT).numpy(), np.einsum("bij,bij->b", a, a))
    np.testing.assert_allclose(ig.tensordot(x, y, 1).numpy(), np.tensordot(a, b, 1), rtol=1e-12)
    np.testing.assert_allclose(ig.kron(y, y[:2, :2]).numpy(), np.kron(b, b[:2, :2]))
    with pytest.raises(ig.DTypeError, match="dtypes differ"):
        x @ y.float()


def test_sorting() -> None:
    a = np.array([3.0, np.nan, 1.0, 3.0, -np.inf])
    x = ig.from_numpy(a)
    values, order = x.sort()
    np.testing.assert_array_equal(values.numpy(), np.sort(a))
    assert order.tolist() == [4, 2, 0, 3, 1]
    assert x.sort(descending=True).indices.tolist() == [1, 0, 3, 2, 4]
    assert x.topk(2, largest=False).values.tolist() == [-np.inf, 1.0]
    assert ig.tensor([4.0, 1.0, 3.0, 2.0]).median().item() == 2.0
    assert ig.searchsorted(ig.tensor([1, 3, 5]), ig.tensor([0, 3, 9])).tolist() == [0, 1, 3]


def test_named_numbers() -> None:
    assert ig.inf > 1e308 and ig.nan != ig.nan and ig.newaxis is None
    assert abs(ig.pi - 4 * ig.tensor(1.0, dtype=ig.float64).atan().item()) < 1e-15
    assert abs(ig.tensor(ig.e).log().item() - 1) < 1e-6
    assert ig.ones(2)[ig.newaxis].shape == (1, 2)
