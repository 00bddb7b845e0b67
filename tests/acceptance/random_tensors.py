"""Random programs over tensors: Python text drawn from a seed, for intaglio and torch alike.

A program is drawn while it runs: a step that the library refuses is dropped, so that what is left
fits the shapes and types that are there. Values are small multiples of 1/4, so that most steps have
one right result to the bit; what comes out of steps that add in an order of their own is marked as
near, and no step that jumps at values reads it. Every program ends in the derivative of a weighted
sum of its results."""

from __future__ import annotations

import functools
import random
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np

from tests.acceptance.random_tensor_steps import DYNAMIC, NEW, PLACES, VIEWS

Array = np.ndarray[Any, Any]
FLOATS = ("float64", "float32", "bfloat16", "float16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
DTYPES = (*FLOATS, *INTEGERS, "bool")
SIZES = (0, 1, 1, 2, 2, 3, 3, 4, 5, 7)
NUMBERS = ("0", "1", "2", "-1", "3", "-3", "0.5", "-2.5", "True", "7", "-0.0", "float('nan')")
LARGEST = 400
"""Elements that a value may have."""
TAME = 1e3
"""The largest magnitude of values whose last bits may differ."""


@dataclass(frozen=True, slots=True)
class Line:
    """A statement, the name it makes if it makes one, and its template."""

    text: str
    name: str | None
    template: str

    @property
    def code(self) -> Any:
        """The statement, compiled."""
        return _compiled(self.text)


@functools.lru_cache(4096)
def _compiled(text: str) -> Any:
    return compile(text, "program", "exec")


@dataclass(slots=True)
class Program:
    """Inputs and statements; names of values that are right to the last digits only."""

    seed: int
    inputs: list[Array]
    needs: list[bool]
    """Which inputs ask for a derivative."""
    lines: list[Line] = field(default_factory=list)
    near: set[str] = field(default_factory=set)
    floats: list[str] = field(default_factory=list)
    """The values whose weighted sum is differentiated."""
    refused: list[tuple[int, Line]] = field(default_factory=list)
    """Statements that the library refused, and before which line."""

    @property
    def given(self) -> list[str]:
        """The names of the inputs."""
        return [f"t{k}" for k in range(len(self.inputs))]

    def source(self, *, gradients: bool = True) -> str:
        """The program as a function of the library and the inputs: its values by name."""
        made = list(dict.fromkeys([*self.given, *(x.name for x in self.lines if x.name)]))
        leaves = [name for name, need in zip(self.given, self.needs, strict=True) if need]
        text = [f"def program(T, {', '.join(self.given)}):"]
        text += [f"    {name}_leaf = {name}" for name in leaves]
        text += [f"    {x.text}" for x in self.lines]
        results = [f"{x!r}: {x}" for x in made]
        there = [x for x in self.floats if x in made]
        if gradients and leaves and there:
            parts = " + ".join(
                f"({x}.double() * (T.arange({x}.numel()).reshape({x}.shape) % 7 - 3.5)).sum()"
                for x in there
            )
            text.append(f"    loss = {parts}")
            listed = ", ".join(f"{x}_leaf" for x in leaves)
            text.append(f"    grads = T.autograd.grad(loss, [{listed}], allow_unused=True)")
            results.append("**{'grad%d' % k: g for k, g in enumerate(grads) if g is not None}")
        text.append("    return {" + ", ".join(results) + "}")
        return "\n".join(text)

    def function(self, lib: Any, *, gradients: bool = True) -> Callable[..., dict[str, Any]]:
        """The program as a function of tensors of `lib`."""
        scope: dict[str, Any] = {}
        exec(self.source(gradients=gradients), scope)  # noqa: S102  # our own text
        program = scope["program"]

        def run(*given: Any) -> dict[str, Any]:
            asking = [
                x.detach().requires_grad_(True) if need and not x.requires_grad else x
                for x, need in zip(given, self.needs, strict=True)
            ]
            return program(lib, *asking)  # type: ignore[no-any-return]  # made by exec

        return run

    def tensors(self, lib: Any, *, ask: bool = True) -> list[Any]:
        """The inputs as tensors of `lib`; without `ask` none requires grad, so that the program
        itself asks for it (as a file does, which is given arrays)."""
        made = [tensor(lib, x) for x in self.inputs]
        for x, need in zip(made, self.needs, strict=True):
            if need and ask:
                x.requires_grad_(True)
        return made

    def __str__(self) -> str:
        inputs = [
            f"# t{k}: {x.dtype} {x.shape}{' requires grad' if need else ''} = {x.tolist()}"
            for k, (x, need) in enumerate(zip(self.inputs, self.needs, strict=True))
        ]
        return "\n".join([f"# seed {self.seed}", *inputs, self.source()])


def tensor(lib: Any, x: Array) -> Any:
    """The array's copy as a tensor of `lib`; torch reads no bf16 of NumPy's."""
    if x.dtype == ml_dtypes.bfloat16 and lib.__name__ == "torch":
        return lib.from_numpy(x.astype(np.float32)).to(lib.bfloat16)
    return lib.from_numpy(x.copy())


def array(x: Any) -> Array:
    """The values of a tensor of either library; bf16 as f32, which holds every one."""
    x = x.detach()
    if str(x.dtype).removeprefix("torch.") in ("bfloat16", "bf16"):
        x = x.float()
    return np.array(x.numpy())


def dtype_name(x: Any) -> str:
    """The name of a tensor's type that both libraries know."""
    name = str(x.dtype).removeprefix("torch.")
    return re.sub(r"^([fiu])(\d+)$", lambda m: KINDS[m[1]] + m[2], name.replace("bf16", "bfloat16"))


KINDS = {"f": "float", "i": "int", "u": "uint"}


class Draw:
    """Draws one program for `lib`, in which every step runs."""

    def __init__(self, seed: int, lib: Any, *, static: bool, length: int | None = None) -> None:
        self.dice, self.lib, self.static = random.Random(seed), lib, static
        self.program = Program(seed, [], [])
        self.groups: dict[str, int] = {}
        self.near: set[int] = set()
        self.dim, self.size = 0, 1
        self.places: list[int] = []
        self._inputs()
        self.scope = self._run()
        wanted = length or self.dice.randint(5, 25)
        for _ in range(wanted * 4):
            if len(self.program.lines) < wanted:
                self._step()
        self.program.near = {name for name, group in self.groups.items() if group in self.near}
        self.program.floats = [
            name
            for name in sorted(self.groups, key=lambda x: int(x[1:]) + 1000 * (x[0] == "v"))
            if self.scope[name].requires_grad
        ][-6:]

    def _inputs(self) -> None:
        base = [self.dice.choice(SIZES) for _ in range(self.dice.randint(1, 3))]
        if self.dice.random() < 0.8:
            base = [max(n, 2) for n in base]
        for k in range(self.dice.randint(2, 5)):
            shape = base[self.dice.choice((0, 0, 0, 0, len(base) // 2, len(base))) :]
            shape = [1 if self.dice.random() < 0.1 else n for n in shape]
            dtype = self.dice.choice((*DTYPES, "float32", "float64"))
            values, need = self._values(dtype, shape)
            self.program.inputs.append(values)
            self.program.needs.append(need)
            self.groups[f"t{k}"] = k

    def _values(self, dtype: str, shape: list[int]) -> tuple[Array, bool]:
        count = int(np.prod(shape))
        special = self.dice.random() < 0.12
        if dtype == "bool":
            return np.array([self.dice.random() < 0.5 for _ in range(count)]).reshape(shape), False
        if dtype in FLOATS:
            xs = [self.dice.randint(-12, 12) / 4 for _ in range(count)]
            if special:
                odd = (float("nan"), float("inf"), float("-inf"), -0.0)
                xs = [self.dice.choice(odd) if self.dice.random() < 0.3 else x for x in xs]
            real = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
            return np.array(xs, real).reshape(shape), not special and self.dice.random() < 0.7
        info = np.iinfo(dtype)
        low = max(-9, int(info.min))
        ns = [self.dice.randint(low, 9) for _ in range(count)]
        if special:
            ends = (int(info.min), int(info.max), int(info.max) - 1)
            ns = [self.dice.choice(ends) if self.dice.random() < 0.3 else n for n in ns]
        return np.array(ns, dtype).reshape(shape), False

    def _run(self) -> dict[str, Any]:
        """Every value, made anew."""
        scope: dict[str, Any] = {"T": self.lib}
        scope |= dict(zip(self.program.given, self.program.tensors(self.lib), strict=True))
        for line in self.program.lines:
            exec(line.code, scope)  # noqa: S102  # our own text
        return scope

    # ------------------------------------------------------------------------ one step

    def _step(self) -> None:
        """Try a step; keep it if it runs and its values stay small."""
        kind = self.dice.choice(("new", "new", "new", "view", "view", "place", "place"))
        if kind == "view":
            rounding, template = "same", self.dice.choice(VIEWS)
        else:
            table = NEW if kind == "new" else PLACES
            rounding = self.dice.choice(("same", "same", "same", "near", "cut"))
            template = self.dice.choice(table[rounding])
        if self.static and any(part in template for part in DYNAMIC):
            return
        try:
            text, used = self._fill(template, exact=rounding == "cut")
        except LookupError:
            return
        name = None if kind == "place" else f"v{len(self.program.lines)}"
        line = Line(text if name is None else f"{name} = {text}", name, template)
        before = len(self.program.lines)
        try:
            exec(line.code, self.scope)  # noqa: S102  # our own text
            subject = self.scope[name or used[0]]
            if kind == "new" and name and not subject.is_contiguous():
                line = Line(f"{name} = ({text}).contiguous()", name, template)
                exec(line.code, self.scope)  # noqa: S102  # our own text
                subject = self.scope[name]
            if not isinstance(subject, self.lib.Tensor) or subject.numel() > LARGEST:
                raise OverflowError
        except OverflowError:
            self._undo(name)
            return
        except Exception:  # the library refuses the step
            self.program.refused.append((before, line))
            self._undo(name)
            return
        self._mark(name, used, kind, near=rounding == "near")
        if self._wild(self.groups[name or used[0]]):
            self._undo(name)
            return
        self.program.lines.append(line)

    def _mark(self, name: str | None, used: list[str], kind: str, *, near: bool) -> None:
        rounded = near or any(self.groups[x] in self.near for x in used)
        if name is not None:
            self.groups[name] = (
                self.groups[used[0]] if kind == "view" else 1000 + len(self.program.lines)
            )
        if rounded:
            self.near.add(self.groups[name or used[0]])

    def _wild(self, changed: int) -> bool:
        """Whether values that are near only grew large, where roundings tell nothing."""
        for name, group in self.groups.items():
            x = self.scope[name]
            if group == changed and group in self.near and x.numel() and x.is_floating_point():
                y = np.abs(array(x).astype(np.float64))
                if not np.isfinite(y).all() or y.max() > TAME:
                    return True
        return False

    def _undo(self, name: str | None) -> None:
        if name is None:
            self.scope = self._run()
        else:
            self.groups.pop(name, None)
            self.scope.pop(name, None)

    # ----------------------------------------------------------------- templates' words

    def _pick(self, fits: Callable[[Any], bool], *, exact: bool) -> str:
        names = [
            name
            for name, group in self.groups.items()
            if fits(self.scope[name]) and not (exact and group in self.near)
        ]
        if not names:
            raise LookupError
        return self.dice.choice(names if self.dice.random() < 0.5 else names[-4:])

    def _fill(self, template: str, *, exact: bool) -> tuple[str, list[str]]:
        """The text, and the names it uses, the subject first."""
        used: list[str] = []
        word = next(w for w in re.findall(r"\$(\w+?)\b", template) if w in SUBJECTS)
        subject = self._pick(SUBJECTS[word], exact=exact)
        used.append(subject)
        self.x = self.scope[subject]
        self.dim, self.size, self.places = 0, 1, []
        if self.x.ndim:
            self._draw_dim()

        def put(match: re.Match[str]) -> str:
            name = match[1]
            if name == word:
                return subject
            if name in OPERANDS:
                fits, same = OPERANDS[name], name == "s"
                used.append(self._pick(lambda y: fits(y) and self._matches(y, same), exact=exact))
                return used[-1]
            if name in ("m", "m2"):
                y = self._pick(lambda y: self._matches(y, name == "m2"), exact=True)
                if self.scope[y].dtype == self.lib.bool:
                    return y
                return f"({y} > {self.dice.choice(('0', '1', '-1.5'))})"
            return str(getattr(self, f"_{name}")())

        return re.sub(r"\$([a-z_]+[02]?)", put, template), used

    def _matches(self, y: Any, same: bool) -> bool:
        if same:
            return bool(tuple(y.shape) == tuple(self.x.shape))
        try:
            np.broadcast_shapes(tuple(self.x.shape), tuple(y.shape))
        except ValueError:
            return False
        return True

    def _draw_dim(self) -> None:
        rank = self.x.ndim
        self.dim = self.dice.randrange(rank)
        self.size = self.x.shape[self.dim]

    def _dim(self) -> int:
        return self.dim - (self.x.ndim if self.dice.random() < 0.4 else 0)

    def _dims(self) -> str:
        rank = self.x.ndim
        return str(tuple(self.dice.sample(range(rank), self.dice.randint(min(rank, 1), rank))))

    def _keep(self) -> bool:
        return self.dice.random() < 0.4

    def _places(self, size: int, count: int, *, distinct: bool) -> list[int]:
        if not size:
            return []
        if distinct:
            return self.dice.sample(range(size), min(count, size))
        return [self.dice.randrange(size) for _ in range(count)]

    def _at(self) -> int:
        return self.dice.randrange(max(self.size, 1))

    def _ats(self) -> str:
        return f"T.tensor({self._places(self.size, 3, distinct=False)}, dtype=T.int64)"

    def _ats0(self) -> str:
        first = self.x.shape[0] if self.x.ndim else 0
        places = self._places(first, 3, distinct=True)
        places = [p - first if self.dice.random() < 0.3 else p for p in places]
        return f"T.tensor({places}, dtype=T.int64)"

    def _distinct(self) -> str:
        places = self.places = self.places or self._places(
            self.size, self.dice.randint(1, 3), distinct=True
        )
        return f"T.tensor({places}, dtype=T.int64)"

    def _slots(self) -> str:
        return f"T.tensor({self._places(self.x.numel(), 2, distinct=True)}, dtype=T.int64)"

    def _count(self) -> int:
        return min(2, self.x.numel())

    def _size(self) -> int:
        return int(self.size)

    def _num(self) -> str:
        return self.dice.choice(NUMBERS)

    def _int(self) -> int:
        return self.dice.choice((-2, -1, 0, 1, 2, 3))

    def _pos(self) -> int:
        return self.dice.choice((1, 2, 3))

    def _dtype(self) -> str:
        return f"T.{self.dice.choice(DTYPES)}"

    def _float(self) -> str:
        return f"T.{self.dice.choice(FLOATS)}"

    def _int_dtype(self) -> str:
        return f"T.{self.dice.choice(INTEGERS[:4])}"

    def _slice(self, size: int) -> str:
        start, stop = self.dice.randint(-size - 1, size + 1), self.dice.randint(-size, size + 2)
        step = self.dice.choice(("", "", ":2", ":3"))
        return self.dice.choice(
            (f"{start}:{step}", f":{stop}{step}", "::2", f"{start}:{stop}{step}")
        )

    def _basic(self) -> str:
        parts: list[str] = []
        for n in self.x.shape[: self.dice.randint(0, self.x.ndim)]:
            roll = self.dice.random()
            if roll < 0.3 and n:
                parts.append(str(self.dice.randrange(-n, n)))
            else:
                parts.append(self._slice(n) if roll < 0.8 else ":")
        if self.dice.random() < 0.2:
            parts.insert(self.dice.randint(0, len(parts)), "None")
        if self.dice.random() < 0.2 or not parts:
            parts.append("...")
        return ", ".join(parts).replace("::2:", "::2")

    def _fancy(self) -> str:
        """Lists of places, slices and ones among them; no element twice."""
        parts, lists = [], 0
        length = self.dice.randint(1, 2)
        if not self.x.ndim or not self.x.numel():
            raise LookupError
        length = min(length, *self.x.shape)
        for n in self.x.shape[: self.dice.randint(1, self.x.ndim)]:
            roll = self.dice.random()
            if roll < 0.5:
                places = str(self._places(n, length, distinct=True))
                parts.append(f"T.tensor({places})" if roll < 0.25 else places)
                lists += 1
            elif roll < 0.6:
                parts.append(str(self.dice.randrange(-n, n)))
            elif roll < 0.7:
                parts.append(f"None, {self._slice(n)}")
            else:
                parts.append(self._slice(n) if roll < 0.9 else ":")
        if not lists:
            parts[0] = str(self._places(self.x.shape[0], length, distinct=True))
        return ", ".join(parts)

    def _perm(self) -> str:
        return ", ".join(map(str, self.dice.sample(range(self.x.ndim), self.x.ndim))) or "()"

    def _shape(self) -> str:
        """Another shape of as many elements."""
        sizes, rest = [], int(self.x.numel())
        while rest > 1 and len(sizes) < 3:
            n = self.dice.choice([k for k in range(1, rest + 1) if rest % k == 0])
            sizes.append(n)
            rest //= n
        sizes.append(rest)
        self.dice.shuffle(sizes)
        if self.x.numel() and self.dice.random() < 0.4:
            sizes[self.dice.randrange(len(sizes))] = -1
        return str(tuple(sizes))

    def _expand(self) -> str:
        sizes = [
            self.dice.choice((2, 3)) if n == 1 else self.dice.choice((n, -1)) for n in self.x.shape
        ]
        return str(tuple(sizes))

    def _pad(self) -> str:
        return str(tuple(self.dice.randint(-1, 2) for _ in range(2 * self.dice.randint(1, 2))))

    def _reps(self) -> str:
        return (
            ", ".join(str(self.dice.randint(1, 2)) for _ in range(self.x.ndim + self._keep()))
            or "2"
        )


def _is_float(x: Any) -> bool:
    return bool(x.is_floating_point())


def _is_bool(x: Any) -> bool:
    return str(x.dtype).endswith("bool")


def _is_integer(x: Any) -> bool:
    return not _is_float(x) and not _is_bool(x)


SUBJECTS: dict[str, Callable[[Any], bool]] = {
    "x": lambda x: True,
    "n": lambda x: not _is_bool(x),
    "f": _is_float,
    "i": _is_integer,
    "b": _is_bool,
}
OPERANDS = {**SUBJECTS, "y": SUBJECTS["x"], "g": _is_float, "j": _is_integer, "s": SUBJECTS["x"]}


def draw(seed: int, lib: Any, *, static: bool = False, length: int | None = None) -> Program:
    """The program of this seed, whose steps `lib` takes; `static`: no shape depends on data."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return Draw(seed, lib, static=static, length=length).program


def shrink(program: Program, fails: Callable[[Program], bool]) -> Program:
    """A program with fewer lines that still fails."""
    for step in (8, 4, 2, 1, 1, 1):
        k = 0
        while k < len(program.lines):
            fewer = replace(program, lines=program.lines[:k] + program.lines[k + step :])
            if fails(fewer):
                program = fewer
            else:
                k += step
    for name in list(program.floats):
        fewer = replace(program, floats=[x for x in program.floats if x != name])
        if fails(fewer):
            program = fewer
    return program


TOLERANCE = {"float64": 1e-9, "float32": 2e-4, "bfloat16": 4e-2, "float16": 6e-3}


def roundings(results: dict[str, Any]) -> float:
    """The relative error that the values of a program may have: that of its shortest floats."""
    kinds = {dtype_name(x) for x in results.values()}
    return max([TOLERANCE["float64"], *(TOLERANCE[k] for k in kinds if k in TOLERANCE)])


def difference(ours: Any, theirs: Any, bound: float) -> str:
    """What differs between a tensor of ours and one of torch; empty if nothing does. A bound of 0
    asks for the same values."""
    if tuple(ours.shape) != tuple(theirs.shape):
        return f"shape {tuple(ours.shape)}, torch has {tuple(theirs.shape)}"
    if dtype_name(ours) != dtype_name(theirs):
        return f"dtype {dtype_name(ours)}, torch has {dtype_name(theirs)}"
    a, b = array(ours), array(theirs)
    if not bound or a.dtype.kind != "f":
        if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            return ""
        return f"values {a.tolist()}, torch has {b.tolist()}"
    finite = np.isfinite(b)
    scale = max(1.0, float(np.abs(b[finite]).max(initial=0)))
    if np.allclose(a, b, rtol=bound, atol=bound * scale, equal_nan=True):
        return ""
    return f"values {a.tolist()}, torch has {b.tolist()}"


def bits(results: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """The types and bytes of results, to be compared as a whole."""
    made = {}
    for name, x in results.items():
        y = np.array(x if isinstance(x, np.ndarray) else x.detach().numpy())
        y[y != y] = np.nan  # whose sign the processor chooses
        made[name] = (str(y.dtype), y.shape, np.ascontiguousarray(y).tobytes())
    return made
