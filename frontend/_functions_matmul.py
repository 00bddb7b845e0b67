"""Products of matrices and tensors, all made of reshape, permute and matmul."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from intaglio._apply import apply, binary, full, one
from intaglio._core import Tensor
from intaglio._functions_diagonal import diagonal
from intaglio._functions_elementwise import mul
from intaglio._functions_movement import permute, reshape
from intaglio._functions_reduce import sum as total
from intaglio._halves import rounded_once
from intaglio._kind import kind_of
from intaglio._promote import broadcast_shapes, cast, expand_to, result_type
from intaglio.compiler.dims import Dim, product
from intaglio.compiler.dtypes import boolean
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError


def _differs(a: Any, b: Any) -> bool:
    return isinstance(a, int) and isinstance(b, int) and a != b


def _fail(name: str, a: Tensor, b: Tensor, rule: str) -> ShapeError:
    from intaglio._scope import spot, where_of

    return ShapeError(f"{name}: {a._kind} @ {b._kind}: {rule} ({where_of(spot())})")


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product over the last two dimensions, broadcasting the others; vectors act as a
    row on the left and as a column on the right. a: [..., m, k], b: [..., k, n] -> [..., m, n]."""
    a, b = input, other
    if not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        raise DTypeError(
            f"matmul: two tensors are wanted, not {type(a).__name__} @ {type(b).__name__}"
        )
    if not a.ndim or not b.ndim:
        raise _fail("matmul", a, b, "both need at least one dimension")
    if a.dtype is not b.dtype:
        raise DTypeError(
            f"matmul: {a._kind} @ {b._kind}: the dtypes differ; cast one of them: x.float(), or"
            " model.double()"
        )
    if a.dtype is boolean:
        raise DTypeError(f"matmul: {a._kind} @ {b._kind}: bools are not multiplied and added")
    k, rows = a.shape[-1], b.shape[-2 if b.ndim > 1 else 0]
    if _differs(k, rows):
        raise _fail("matmul", a, b, f"the inner sizes {k} and {rows} differ")
    row, column = a.ndim == 1, b.ndim == 1
    if row:
        a = reshape(a, 1, k)
    if column:
        b = reshape(b, rows, 1)
    made = binary("matmul", a, b) if a._kind.rank == b._kind.rank == 2 else _batched(a, b)
    if row or column:
        shape = list(made.shape)
        if column:
            del shape[-1]
        if row:
            del shape[-1 if column else -2]
        made = reshape(made, *shape) if shape else one("reshape", made, shape=())
    return made


def _batched(a: Tensor, b: Tensor) -> Tensor:
    if b._kind.rank == 2:  # one matrix for all: the batch joins the rows
        rows = product(tuple(a.shape[:-1]))
        flat = apply("matmul", (reshape(a, rows, a.shape[-1]), b))[0]
        return reshape(flat, *a.shape[:-1], b.shape[-1])
    try:
        batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ShapeError:
        raise _fail("matmul", a, b, "the batch dimensions differ") from None
    a = expand_to(a, (*batch, *a.shape[-2:]))
    b = expand_to(b, (*batch, *b.shape[-2:]))
    return apply("matmul", (a, b))[0]


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices."""
    if input.ndim != 2 or mat2.ndim != 2:
        raise _fail("mm", input, mat2, "both must be matrices")
    return matmul(input, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices of one length."""
    if input.ndim != 3 or mat2.ndim != 3 or _differs(input.shape[0], mat2.shape[0]):
        raise _fail("bmm", input, mat2, "both must be batches of matrices of the same length")
    return matmul(input, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix and a vector."""
    if input.ndim != 2 or vec.ndim != 1:
        raise _fail("mv", input, vec, "a matrix and a vector are wanted")
    return matmul(input, vec)


def dot(input: Tensor, other: Tensor) -> Tensor:
    """The sum of the products of two vectors' elements."""
    if input.ndim != 1 or other.ndim != 1 or _differs(input.shape[0], other.shape[0]):
        raise _fail("dot", input, other, "two vectors of the same length are wanted")
    if input.dtype is not other.dtype:
        raise DTypeError(f"dot: {input._kind} and {other._kind}: the dtypes differ")
    return matmul(input, other)


vdot = dot


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimensions of both."""
    if not input.ndim or not other.ndim:
        return mul(input, other)
    return tensordot(input, other, ([-1], [-1]))


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors' elements: [n, m]."""
    if input.ndim != 1 or vec2.ndim != 1:
        raise _fail("outer", input, vec2, "two vectors are wanted")
    return mul(reshape(input, input.numel(), 1), vec2)


ger = outer


@rounded_once
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2)."""
    return _added(input, mm(mat1, mat2), beta, alpha)


@rounded_once
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat @ vec)."""
    return _added(input, mv(mat, vec), beta, alpha)


@rounded_once
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2)."""
    if input.dtype.kind != "f" and any(isinstance(x, float) for x in (beta, alpha)):
        raise ArgumentError(
            f"addr: {input._kind} with beta={beta}, alpha={alpha}: integers want whole numbers"
        )
    return _added(input, outer(vec1, vec2), beta, alpha)


@rounded_once
def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2)."""
    return _added(input, bmm(batch1, batch2), beta, alpha)


def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta * input + alpha * the sum of the batch's products. Short floats are rounded after each
    product that is added."""
    if input.dtype.is_half and isinstance(batch1.shape[0], int) and batch1.ndim == 3:
        for a, b in zip(batch1.unbind(0), batch2.unbind(0), strict=True):
            input, beta = addmm(input, a, b, beta=beta, alpha=alpha), 1
        return input
    return _added(input, total(bmm(batch1, batch2), 0, dtype=input.dtype), beta, alpha)


def _added(input: Tensor, made: Tensor, beta: Any, alpha: Any) -> Tensor:
    """beta * input + alpha * made; of integers by whole factors, as torch cuts them."""
    if made.dtype.kind != "f":
        factor = bool if made.dtype is boolean else int
        beta, alpha = (x if isinstance(x, Tensor) else factor(x) for x in (beta, alpha))
    made = made if alpha == 1 else made * alpha
    if beta == 0:
        return expand_to(made, broadcast_shapes(input.shape, made.shape))
    return (input if beta == 1 else input * beta) + made


def matrix_power(input: Tensor, n: int) -> Tensor:
    """Square matrices multiplied with themselves n times, by squaring; with n < 0, their
    inverses."""
    from intaglio._functions_linalg import check_matrix, identity_like, inv

    if input.dtype.kind == "f":
        check_matrix("matrix_power", input, square=True)
    elif input.ndim < 2 or _differs(*input.shape[-2:]):
        raise ShapeError(f"matrix_power: {input._kind} is no square matrix")
    if not isinstance(n, int):
        raise ArgumentError(f"matrix_power: n is an integer, not {n!r}")
    if n == 0:  # still a function of the operand, whose derivative is zero
        always = expand_to(full(True, kind_of(boolean, ())), tuple(input.shape))
        return apply("where", (always, identity_like(input), input))[0]
    if n < 0:
        input, n = inv(input), -n
    result: Tensor | None = None
    while n:
        if n & 1:
            result = input if result is None else matmul(result, input)
        n >>= 1
        input = matmul(input, input) if n else input
    assert result is not None
    return result


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of several matrices, from the left."""
    made = matrices[0]
    for m in matrices[1:]:
        made = matmul(made, m)
    return made


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sums of products over pairs of dimensions: the last `dims` of a with the first of b, or two
    lists of dimensions."""
    if isinstance(dims, int):
        left = list(range(a.ndim - dims, a.ndim))
        right = list(range(dims))
    else:
        left = [d % a.ndim for d in (dims[0] if not isinstance(dims[0], int) else [dims[0]])]
        right = [d % b.ndim for d in (dims[1] if not isinstance(dims[1], int) else [dims[1]])]
    a, b = _alike(a, left, b, right), _alike(b, right, a, left)
    for i, j in zip(left, right, strict=True):
        if _differs(a.shape[i], b.shape[j]):
            raise _fail("tensordot", a, b, f"sizes {a.shape[i]} and {b.shape[j]} differ")
    free_a = [k for k in range(a.ndim) if k not in left]
    free_b = [k for k in range(b.ndim) if k not in right]
    joined = product(tuple(a.shape[k] for k in left))
    rows, columns = (product(tuple(x.shape[k] for k in f)) for x, f in ((a, free_a), (b, free_b)))
    x = reshape(permute(a, *free_a, *left), rows, joined)
    y = reshape(permute(b, *right, *free_b), joined, columns)
    shape = [a.shape[k] for k in free_a] + [b.shape[k] for k in free_b]
    return one("reshape", matmul(x, y), shape=tuple(shape))


def _alike(a: Tensor, dims: Sequence[int], b: Tensor, others: Sequence[int]) -> Tensor:
    """a summed over those of its dims whose partner in b has size 1: b counts as repeated there."""
    alone = [i for i, j in zip(dims, others, strict=True) if b.shape[j] == 1 and a.shape[i] != 1]
    return total(a, alone, True, dtype=a.dtype) if alone else a


def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product."""
    rank = builtins.max(input.ndim, other.ndim)
    a = reshape(input, *(1,) * (rank - input.ndim), *input.shape)
    b = reshape(other, *(1,) * (rank - other.ndim), *other.shape)
    wide_a = reshape(a, *(s for n in a.shape for s in (n, 1)))
    wide_b = reshape(b, *(s for n in b.shape for s in (1, n)))
    made = mul(wide_a, wide_b)
    return reshape(made, *(n * m for n, m in zip(a.shape, b.shape, strict=True)))


# ------------------------------------------------------------------------------------------- einsum


def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products named by letters: `einsum("bij,bjk->bik", a, b)`. Operands are joined two at
    a time from the left, each pair by one matmul."""
    if not isinstance(equation, str):
        raise ArgumentError('einsum: the equation comes first: einsum("ij,jk->ik", a, b)')
    tensors = (
        list(operands[0])
        if len(operands) == 1 and isinstance(operands[0], list | tuple)
        else list(operands)
    )
    terms, result = _parse(equation, tensors)
    dtype = result_type(*tensors)
    parts = [_distinct(cast(x, dtype), term) for x, term in zip(tensors, terms, strict=True)]
    while len(parts) > 1:
        (a, left), (b, right) = parts[0], parts[1]
        later = set(result).union(*(term for _, term in parts[2:]))
        parts[:2] = [_contract(a, left, b, right, later)]
    x, term = parts[0]
    gone = [k for k, letter in enumerate(term) if letter not in result]
    if gone:
        x, term = total(x, gone), [c for c in term if c in result]
    return permute(x, *(term.index(c) for c in result)) if term != result else x


def _parse(equation: str, tensors: Sequence[Tensor]) -> tuple[list[list[str]], list[str]]:
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    if len(texts) != len(tensors):
        raise ArgumentError(f"einsum: {equation!r} names {len(texts)} operands, not {len(tensors)}")
    widest = 0
    for text, x in zip(texts, tensors, strict=True):
        if "..." in text:
            widest = builtins.max(widest, x.ndim - len(text) + 3)
    dots = [f"~{k}" for k in range(widest)]
    terms = [_letters(text, x, dots, equation) for text, x in zip(texts, tensors, strict=True)]
    if arrow:
        return terms, _letters(right, None, dots, equation)
    counts: dict[str, int] = {}
    for text in texts:
        for letter in text.replace("...", ""):
            counts[letter] = counts.get(letter, 0) + 1
    return terms, dots + sorted(c for c, n in counts.items() if n == 1)


def _letters(text: str, x: Tensor | None, dots: list[str], equation: str) -> list[str]:
    head, ellipsis, tail = text.partition("...")
    here = dots if ellipsis else []
    if x is not None and ellipsis:
        here = dots[len(dots) - (x.ndim - len(head) - len(tail)) :]
    letters = [*head, *here, *tail]
    if not all(c.isalpha() or c in dots for c in letters):
        raise ArgumentError(
            f"einsum: {equation!r}: only letters, commas, ... and -> are understood"
        )
    if x is not None and len(letters) != x.ndim:
        raise ShapeError(
            f"einsum: {equation!r}: {text!r} does not name the dimensions of {x._kind}"
        )
    return letters


def _distinct(x: Tensor, term: list[str]) -> tuple[Tensor, list[str]]:
    """Repeated letters of one operand become its diagonal."""
    while len(set(term)) < len(term):
        letter = next(c for c in term if term.count(c) > 1)
        i = term.index(letter)
        j = term.index(letter, i + 1)
        x = diagonal(x, 0, i, j)
        term = [c for k, c in enumerate(term) if k not in (i, j)] + [letter]
    return x, term


def _contract(
    a: Tensor, left: list[str], b: Tensor, right: list[str], later: set[str]
) -> tuple[Tensor, list[str]]:
    """Join two operands: letters of both that are wanted later are the batch, the others are
    summed."""
    for term, other, which in ((left, right, 0), (right, left, 1)):
        gone = [k for k, c in enumerate(term) if c not in other and c not in later]
        if gone:
            x = total(b if which else a, gone)
            kept = [c for k, c in enumerate(term) if k not in gone]
            a, left, b, right = (a, left, x, kept) if which else (x, kept, b, right)
    sizes = _sizes(a, left, b, right)
    batch = [c for c in left if c in right and c in later]
    summed = [c for c in left if c in right and c not in later]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    a = _arranged(a, left, (batch, rows, summed), sizes)
    b = _arranged(b, right, (batch, summed, columns), sizes)
    dtype = result_type(a, b)  # sums of integers are int64
    made = apply("matmul", (cast(a, dtype), cast(b, dtype)))[0]
    order = batch + rows + columns
    return one("reshape", made, shape=tuple(sizes[c] for c in order)), order


def _sizes(a: Tensor, left: list[str], b: Tensor, right: list[str]) -> dict[str, Any]:
    sizes: dict[str, Any] = {}
    for x, term in ((a, left), (b, right)):
        for c, s in zip(term, x.shape, strict=True):
            before = sizes.get(c, 1)
            if not isinstance(before, Dim) and before == 1:
                sizes[c] = s
            elif _differs(before, s) and s != 1:
                raise ShapeError(f"einsum: the letter {c!r} stands for sizes {before} and {s}")
    return sizes


def _arranged(
    x: Tensor, term: list[str], groups: tuple[list[str], ...], sizes: dict[str, Any]
) -> Tensor:
    """x with its dimensions in groups: the batch as they are, the two others merged into one
    each."""
    order = [c for group in groups for c in group]
    x = permute(x, *(term.index(c) for c in order)) if order != term else x
    x = expand_to(x, tuple(sizes[c] for c in order))
    batch, first, second = ([sizes[c] for c in group] for group in groups)
    return one("reshape", x, shape=(*batch, product(tuple(first)), product(tuple(second))))
