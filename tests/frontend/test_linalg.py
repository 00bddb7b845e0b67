"""Linear algebra: eager results against NumPy, derivatives against differences, programs against
eager."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import linalg

RANDOM = np.random.default_rng(21)
SQUARE = RANDOM.standard_normal((2, 3, 3)) + 2 * np.eye(3)
POSITIVE = SQUARE @ np.swapaxes(SQUARE, -1, -2) + np.eye(3)
TALL = RANDOM.standard_normal((4, 3))
WIDE = RANDOM.standard_normal((2, 3, 5))
RIGHT = RANDOM.standard_normal((2, 3, 2))


def leaf(array: Any) -> ig.Tensor:
    return ig.tensor(array, dtype=ig.float64, requires_grad=True)


def flat(made: Any) -> list[ig.Tensor]:
    return list(made) if isinstance(made, tuple) else [made]


def symmetric(a: ig.Tensor) -> ig.Tensor:
    return (a + a.mT) / 2


# ---------------------------------------------------------------------------------- against NumPy


@pytest.mark.parametrize(
    ("name", "arrays", "options"),
    [
        ("solve", (SQUARE, RIGHT), {}),
        ("inv", (SQUARE,), {}),
        ("det", (SQUARE,), {}),
        ("slogdet", (SQUARE,), {}),
        ("cholesky", (POSITIVE,), {}),
        ("qr", (TALL,), {}),
        ("qr", (WIDE,), {"mode": "complete"}),
        ("svd", (WIDE,), {"full_matrices": False}),
        ("eigh", (POSITIVE,), {}),
        ("eigvalsh", (POSITIVE,), {"UPLO": "U"}),
        ("pinv", (WIDE,), {}),
        ("matrix_rank", (WIDE,), {}),
        ("matrix_power", (SQUARE,), {"n": -3}),
        ("matrix_power", (SQUARE,), {"n": 5}),
        ("tensorinv", (RANDOM.standard_normal((4, 6, 8, 3)),), {"ind": 2}),
        ("tensorsolve", (RANDOM.standard_normal((2, 3, 6)), RANDOM.standard_normal((2, 3))), {}),
        ("cond", (SQUARE,), {}),
        ("cond", (SQUARE,), {"p": 1}),
        ("cond", (SQUARE,), {"p": "fro"}),
        ("multi_dot", ([TALL, TALL.T, TALL, RIGHT[0]],), {}),
        ("svdvals", (WIDE,), {}),
    ],
)
def test_results_are_numpys(name, arrays, options):
    given = [[ig.tensor(x) for x in a] if isinstance(a, list) else ig.tensor(a) for a in arrays]
    found = flat(getattr(linalg, name)(*given, **options))
    expected: Any = getattr(np.linalg, name)(*arrays, **options)
    expected = list(expected) if isinstance(expected, tuple) else [expected]
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-9, atol=1e-12)
        assert tuple(a.shape) == np.shape(b)


def test_results_bear_torchs_names():
    a = ig.tensor(SQUARE)
    assert linalg.qr(a)._fields == ("Q", "R")
    assert linalg.svd(a)._fields == ("U", "S", "Vh")
    assert ig.svd(a)._fields == ("U", "S", "V")
    assert linalg.eigh(symmetric(a))._fields == ("eigenvalues", "eigenvectors")
    assert linalg.slogdet(a).logabsdet.shape == (2,)
    p, low, up = linalg.lu(a)
    np.testing.assert_allclose((p @ low @ up).numpy(), SQUARE, atol=1e-12)
    packed, pivots = ig.lu(a)
    assert pivots.dtype is ig.int32
    for x, y in zip(ig.lu_unpack(packed, pivots), (p, low, up), strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())
    for left in (True, False):
        for adjoint in (True, False):
            b = ig.tensor(RIGHT if left else np.swapaxes(RIGHT, -1, -2))
            x = linalg.lu_solve(packed, pivots, b, left=left, adjoint=adjoint)
            m = a.mT if adjoint else a
            np.testing.assert_allclose((m @ x if left else x @ m).numpy(), b.numpy(), atol=1e-11)


def test_reflections():
    a = ig.tensor(TALL)
    packed, tau = ig.geqrf(a)
    q, r = linalg.qr(a)
    np.testing.assert_allclose(ig.orgqr(packed, tau).numpy(), q.numpy(), atol=1e-12)
    np.testing.assert_allclose(packed.triu()[:3].numpy(), r.numpy(), atol=1e-12)
    whole = linalg.qr(a, "complete").Q
    c = ig.tensor(RANDOM.standard_normal((4, 2)))
    for left in (True, False):
        for transpose in (True, False):
            other = c if left else c.mT
            m = whole.mT if transpose else whole
            expected = m @ other if left else other @ m
            made = ig.ormqr(packed, tau, other, left, transpose)
            np.testing.assert_allclose(made.numpy(), expected.numpy(), atol=1e-12)


def test_least_squares():
    right = RANDOM.standard_normal((4, 2))
    expected, residuals, rank, sizes = np.linalg.lstsq(TALL, right)
    made = linalg.lstsq(ig.tensor(TALL), ig.tensor(right), driver="gelsd")
    np.testing.assert_allclose(made.solution.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(made.residuals.numpy(), residuals, atol=1e-12)
    np.testing.assert_allclose(made.singular_values.numpy(), sizes, atol=1e-12)
    assert made.rank.item() == rank
    assert linalg.lstsq(ig.tensor(TALL), ig.tensor(right)).residuals.shape == (0,)
    with pytest.raises(ig.TraceError, match="depends on data"):
        ig.jit(lambda a, b: linalg.lstsq(a, b, driver="gelsd"))(ig.tensor(TALL), ig.tensor(right))


def test_symmetric_systems_and_low_rank():
    a = ig.tensor(SQUARE + np.swapaxes(SQUARE, -1, -2))
    made, pivots = linalg.ldl_factor(a)
    x = linalg.ldl_solve(made, pivots, ig.tensor(RIGHT))
    np.testing.assert_allclose((a @ x).numpy(), RIGHT, atol=1e-10)
    ig.manual_seed(0)
    low = RANDOM.standard_normal((20, 3)) @ RANDOM.standard_normal((3, 30))
    u, s, v = ig.svd_lowrank(ig.tensor(low), 5)
    np.testing.assert_allclose((u * s @ v.mT).numpy(), low, atol=1e-9)
    u, s, v = ig.pca_lowrank(ig.tensor(low), 4)
    np.testing.assert_allclose((u * s @ v.mT).numpy(), low - low.mean(0), atol=1e-9)


def test_products_and_covariances():
    a, b = RANDOM.standard_normal((2, 4, 3))
    np.testing.assert_allclose(ig.cross(ig.tensor(a), ig.tensor(b)).numpy(), np.cross(a, b))
    np.testing.assert_allclose(
        linalg.vecdot(ig.tensor(a), ig.tensor(b)).numpy(), (a * b).sum(-1), atol=1e-12
    )
    np.testing.assert_allclose(
        linalg.vander(ig.tensor(a), N=4).numpy(), np.stack([a**k for k in range(4)], -1)
    )
    often, much = np.array([1, 2, 3]), np.array([0.2, 0.5, 0.9])
    both = {"fweights": often, "aweights": much}
    for options in ({}, {"fweights": often}, {"aweights": much}, both):
        given = {k: ig.tensor(v) for k, v in options.items()}
        np.testing.assert_allclose(ig.cov(ig.tensor(a), **given).numpy(), np.cov(a, **options))
    np.testing.assert_allclose(ig.corrcoef(ig.tensor(a)).numpy(), np.corrcoef(a))
    assert ig.cov(ig.tensor(a[0])).shape == ()


# ------------------------------------------------------------------------------------- derivatives

SMOOTH: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "solve": (linalg.solve, (SQUARE[0], RIGHT[0])),
    "solve left": (lambda a, b: linalg.solve(a, b, left=False), (SQUARE[0], RIGHT[0].T)),
    "solve vector": (linalg.solve, (SQUARE[0], RIGHT[0, :, 0])),
    "triangular": (lambda a, b: linalg.solve_triangular(a, b, upper=True), (SQUARE[0], RIGHT[0])),
    "inv": (linalg.inv, (SQUARE[0],)),
    "det": (linalg.det, (SQUARE[0],)),
    "logdet": (ig.logdet, (POSITIVE[0],)),
    "cholesky": (lambda a: linalg.cholesky(symmetric(a)), (POSITIVE[0],)),
    "cholesky upper": (lambda a: linalg.cholesky(symmetric(a), upper=True), (POSITIVE[0],)),
    "cholesky_inverse": (lambda a: ig.cholesky_inverse(a.tril()), (SQUARE[0],)),
    "lu": (lambda a: linalg.lu(a)[1:], (TALL,)),
    "qr": (linalg.qr, (TALL,)),
    "qr wide": (linalg.qr, (WIDE[0],)),
    "svd": (lambda a: linalg.svd(a, False), (TALL,)),
    "eigh": (lambda a: linalg.eigh(symmetric(a)), (POSITIVE[0],)),
    "pinv": (linalg.pinv, (TALL,)),
    "pinv wide": (linalg.pinv, (WIDE[0],)),
    "low rank": (lambda a: linalg.pinv(a @ a.mT), (TALL[:, :2],)),
    "matrix_exp": (linalg.matrix_exp, (SQUARE[0],)),
    "householder": (lambda a, t: ig.orgqr(a, t), (TALL, RIGHT[0, :, 0])),
    "lstsq": (lambda a, b: linalg.lstsq(a, b, driver="gels")[:2], (TALL, TALL[:, :1])),
}


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_derivatives(name):
    function, arrays = SMOOTH[name]
    assert ig.autograd.gradcheck(function, [leaf(a) for a in arrays])


@pytest.mark.parametrize("name", ["solve", "det", "cholesky", "qr wide", "svd", "eigh", "pinv"])
def test_second_derivatives(name):
    function, arrays = SMOOTH[name]
    assert ig.autograd.gradgradcheck(function, [leaf(a) for a in arrays], atol=1e-4)


def test_the_determinant_of_a_singular_matrix_has_a_derivative():
    a = leaf([[1.0, 2.0], [2.0, 4.0]])
    linalg.det(a).backward()
    np.testing.assert_allclose(a.grad.numpy(), [[4.0, -2.0], [-2.0, 1.0]], atol=1e-12)


def test_singular_values_that_coincide_have_a_derivative():
    a = leaf(np.eye(3))
    linalg.svdvals(a).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), np.eye(3), atol=1e-12)


# ---------------------------------------------------------------------------------------- programs


def everything(a: ig.Tensor, b: ig.Tensor) -> tuple[Any, ...]:
    """Host calls of many kinds, with native kernels between them."""
    p = a @ a.mT + ig.eye(3, dtype=a.dtype)
    q, r = linalg.qr(a * 2)
    u, s, v = linalg.svd(b, full_matrices=False)
    w, x = linalg.eigh(p)
    low = linalg.cholesky(p).exp()
    return (
        linalg.solve(p, b), linalg.inv(p) + 1, linalg.det(a), *linalg.slogdet(p), q @ r,
        u * s[:, None] @ v, x * w[:, None], low, *linalg.lu(a), linalg.pinv(b),
        linalg.matrix_rank(a),
        linalg.matrix_exp(a / 4), linalg.lstsq(p, b).solution, linalg.cond(a),
        linalg.matrix_norm(a, "nuc"),
    )  # fmt: skip


def bits(made: Any) -> list[tuple[Any, ...]]:
    return [(np.asarray(t).dtype, np.asarray(t).shape, np.asarray(t).tobytes()) for t in made]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_programs_and_files_give_what_eager_gives(tmp_path: Path, dtype):
    a, b = ig.tensor(SQUARE.astype(dtype)), ig.tensor(RIGHT.astype(dtype))
    eager = bits([t.numpy() for t in everything(a, b)])
    assert bits([t.numpy() for t in ig.jit(everything)(a, b)]) == eager
    ig.trace(everything, a, b).save(tmp_path / "m.ig")
    assert bits(ig.load(tmp_path / "m.ig")(a, b)) == eager


def test_a_traced_derivative_is_the_eager_one():
    def slope(a: ig.Tensor, b: ig.Tensor) -> Any:
        return ig.func.grad(
            lambda x: linalg.solve(x, b).square().sum() + ig.logdet(x @ x.mT).sum()
        )(a)

    a, b = ig.tensor(SQUARE), ig.tensor(RIGHT)
    assert ig.jit(slope)(a, b).numpy().tobytes() == slope(a, b).numpy().tobytes()


def test_named_results_in_programs():
    made = ig.jit(lambda a: linalg.qr(a))(ig.tensor(TALL))
    np.testing.assert_array_equal(made[0].numpy(), linalg.qr(ig.tensor(TALL)).Q.numpy())


# ------------------------------------------------------------------------------------------ errors


def test_errors():
    a = ig.tensor(SQUARE)
    with pytest.raises(ig.LinAlgError, match=r"inverse: .*singular.*test_linalg.py"):
        linalg.inv(ig.zeros(2, 2))
    with pytest.raises(ig.LinAlgError, match=r"test_linalg.py"):
        ig.jit(lambda x: linalg.inv(x) + 1)(ig.zeros(2, 2))
    with pytest.raises(ig.DTypeError, match="complex dtypes do not exist here"):
        linalg.eig(a)
    with pytest.raises(ig.DTypeError, match="f32 or f64 is wanted"):
        linalg.svd(a.half())
    with pytest.raises(ig.DTypeError, match="f32 or f64 is wanted"):
        linalg.inv(a.long())
    with pytest.raises(ig.ShapeError, match="no square matrix"):
        linalg.det(ig.zeros(2, 3))
    with pytest.raises(ig.ShapeError, match="is no matrix"):
        linalg.det(ig.zeros(2))
    with pytest.raises(ig.DTypeError, match="the dtypes differ"):
        linalg.solve(a, ig.tensor(RIGHT).float())
    with pytest.raises(ig.ArgumentError, match="mode is one of"):
        linalg.qr(a, "raw")
    with pytest.raises(ig.GradientError, match="mode='reduced'"):
        linalg.qr(leaf(TALL), "complete").Q.sum().backward()
    with pytest.raises(ig.ArgumentError, match="pivot=False"):
        linalg.lu(a, pivot=False)


def test_statuses_instead_of_errors():
    both = ig.tensor(np.stack([np.eye(2), np.zeros((2, 2))]))
    assert linalg.inv_ex(both).info.tolist() == [0, 1]
    assert linalg.cholesky_ex(both).info.tolist() == [0, 1]
    assert linalg.lu_factor_ex(both).info.tolist() == [0, 1]
    made = linalg.solve_ex(both, ig.ones(2, 2, dtype=ig.float64))
    assert made.info.tolist() == [0, 1]
    assert np.isfinite(made.result[0].numpy()).all()


def test_programs_of_any_size():
    m, n = ig.Dim("m", min=1, max=9), ig.Dim("n", min=1, max=9)

    def slope(a: ig.Tensor) -> Any:
        return ig.func.grad(lambda x: linalg.lu(x).L.square().sum() + linalg.pinv(x, 1e-9).sum())(a)

    program = ig.trace(slope, ig.spec((m, n), ig.float64))
    for shape in ((2, 4), (4, 2), (5, 5)):  # the last two by kernels for every size
        a = ig.tensor(RANDOM.standard_normal(shape))
        np.testing.assert_allclose(np.asarray(program(a)), slope(a).numpy(), rtol=1e-9, atol=1e-11)


def test_products_whose_inner_size_is_a_difference():
    n = ig.Dim("n", min=2, max=9)
    for dtype in (ig.float32, ig.int64):
        specs = ig.spec((3, n), dtype), ig.spec((n, 3), dtype)
        program = ig.trace(lambda a, b: a[:, :-1].clone() @ b[1:].clone(), *specs)
        for size in (4, 6, 9):
            a, b = RANDOM.integers(-9, 9, (3, size)), RANDOM.integers(-9, 9, (size, 3))
            made = program(ig.tensor(a, dtype=dtype), ig.tensor(b, dtype=dtype))
            np.testing.assert_array_equal(np.asarray(made), a[:, :-1] @ b[1:])
