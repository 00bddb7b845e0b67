"""What a Python function can reach: its tensors with the names they get, and its plain values.

Followed are arguments' defaults, closure cells, the globals that the code names, the object of a
bound method, modules, optimizers, and the attributes and elements of the author's own objects,
lists and dicts. Plain values found on the way (numbers, texts, flags such as `training`) decide
what is traced; a compiled function remembers them and looks again at each call."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from intaglio._core import Parameter, Tensor
from intaglio.compiler.dtypes import DType

PLAIN: Final = (int, float, str, bytes, complex, type(None), DType)
_DEPTH: Final = 6
_SKIPPED: Final = {
    "_parameters", "_buffers", "_modules", "_non_persistent", "_state_hooks", "_compiled_call",
}  # fmt: skip
_OURS: Final = ("intaglio", "numpy")
MISSING: Final = object()


def _is_plain(value: Any) -> bool:
    if isinstance(value, PLAIN):
        return True
    return isinstance(value, tuple | list) and all(_is_plain(v) for v in value)


def same(now: Any, expected: Any) -> bool:
    """Whether a plain value is what it was; of lists and tuples, every element."""
    if now is expected:
        return True
    if type(now) is not type(expected):
        return False
    if isinstance(expected, tuple | list):
        return len(now) == len(expected) and all(map(same, now, expected))
    if not isinstance(expected, PLAIN):
        return False
    return bool(now == expected) or (now != now and expected != expected)


class Reached:
    """Tensors by identity with their names and kinds, modules, and plain values with where they
    were found."""

    def __init__(self, target: Any) -> None:
        self.names: dict[int, list[str]] = {}
        self.kinds: dict[int, str] = {}
        self.kept: list[Any] = []
        self.modules: list[tuple[str, Any]] = []
        self.roots: list[tuple[str, Any]] = []  # outermost modules with the prefix of their names
        self.optimizers: list[tuple[str, Any]] = []
        self.schedules: list[tuple[str, Any]] = []
        self.found: list[tuple[Any, Any, Any, str]] = []  # (dict, key, value, path)
        self.cells: list[tuple[Any, Any, str]] = []
        self._seen: set[int] = set()
        self._loose: list[tuple[str, Tensor]] = []
        self._generators: list[Any] = []
        self._visit(target, "", 0)
        self._name_modules()
        self._name_optimizers()
        self._name_schedules()
        for path, tensor in self._loose:
            self._add(tensor, path, "parameter" if isinstance(tensor, Parameter) else "constant")

    # ----------------------------------------------------------------------------------------- walk

    def _visit(self, value: Any, path: str, depth: int) -> None:
        if depth > _DEPTH or id(value) in self._seen or _is_plain(value):
            return
        self._seen.add(id(value))
        self.kept.append(value)
        if isinstance(value, Tensor):
            self._loose.append((path, value))
        elif isinstance(value, types.FunctionType):
            self._function(value, path, depth)
        elif isinstance(value, types.MethodType):
            self._visit(value.__self__, path, depth + 1)
            self._visit(value.__func__, path, depth + 1)
        elif isinstance(value, functools.partial):
            self._visit(value.func, path, depth + 1)
            for k, part in [*enumerate(value.args), *value.keywords.items()]:
                self._visit(part, _join(path, str(k)), depth + 1)
        elif hasattr(value, "named_parameters") and hasattr(value, "_modules"):
            self._module(value, path, depth)
        elif hasattr(value, "param_groups") and hasattr(value, "named_state"):
            self.optimizers.append((path, value))
        elif hasattr(value, "parts") and hasattr(value, "named_state"):
            self._schedule(value, path, depth)
        elif isinstance(value, tuple | list | set | frozenset):
            for k, part in enumerate(value):
                self._visit(part, _join(path, str(k)), depth + 1)
        elif isinstance(value, Mapping):
            for k, part in value.items():
                if isinstance(value, dict):
                    self._remember(value, k, part, f"{path}[{k!r}]")
                self._visit(part, _join(path, str(k)), depth + 1)
        else:
            self._object(value, path, depth)

    def _function(self, function: types.FunctionType, path: str, depth: int) -> None:
        inner = getattr(function, "__wrapped__", None)
        ours = str(function.__module__).split(".")[0] in _OURS
        if inner is not None:
            self._visit(inner, path, depth)
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            try:
                value = cell.cell_contents
            except ValueError:
                continue
            self.cells.append((cell, _kept(value), f"the closure's {name!r}"))
            self._visit(value, name, depth + 1)
        if ours:
            return  # what our own code looks up never changes
        for part in function.__defaults__ or ():
            self._visit(part, path, depth + 1)
        for name in _names_of(function.__code__):
            if name not in function.__globals__:
                continue
            value = function.__globals__[name]
            if _is_library(value):
                continue
            if isinstance(value, types.ModuleType):
                self._python_module(function.__code__, value, depth)
                continue
            self._remember(function.__globals__, name, value, f"the global {name!r}")
            self._visit(value, name, depth + 1)

    def _python_module(self, code: types.CodeType, module: types.ModuleType, depth: int) -> None:
        for name in _names_of(code):
            value = vars(module).get(name, MISSING)
            if value is not MISSING and not _is_library(value):
                self._remember(vars(module), name, value, f"{module.__name__}.{name}")
                self._visit(value, name, depth + 1)

    def _module(self, root: Any, path: str, depth: int) -> None:
        self.modules.append((path, root))
        for inner, module in root.named_modules():
            self._seen.add(id(module))
            place = f"{type(root).__name__}{'.' + inner if inner else ''}"
            for name, value in module.__dict__.items():
                if name in _SKIPPED:
                    continue
                self._remember(module.__dict__, name, value, f"{place}.{name}")
                if not _is_plain(value):
                    self._visit(value, _join(path, _join(inner, name)), depth + 1)
            for registry in ("_parameters", "_buffers", "_modules"):
                for name, value in module.__dict__[registry].items():
                    self._remember(module.__dict__[registry], name, value, f"{place}.{name}")
            self._visit(type(module).forward, "", depth + 1)

    def _schedule(self, schedule: Any, path: str, depth: int) -> None:
        self.schedules.append((path, schedule))
        for name, part in schedule.__dict__.items():
            if name == "_state":
                continue  # its tensors, which `named_state` names
            self._remember(schedule.__dict__, name, part, f"{type(schedule).__name__}.{name}")
            self._visit(part, _join(path, name), depth + 1)

    def _object(self, value: Any, path: str, depth: int) -> None:
        if isinstance(value, type) or _is_library(value) or _is_library(type(value)):
            if type(value).__module__.startswith("intaglio") and hasattr(value, "draw"):
                self._generators.append(value)
            return
        for name, part in getattr(value, "__dict__", {}).items():
            self._remember(value.__dict__, name, part, f"{type(value).__name__}.{name}")
            self._visit(part, _join(path, name), depth + 1)

    def _remember(self, where: Any, key: Any, value: Any, path: str) -> None:
        self.found.append((where, key, _kept(value), path))

    # ---------------------------------------------------------------------------------------- names

    def _add(self, tensor: Tensor, name: str, kind: str) -> None:
        names = self.names.setdefault(id(tensor), [])
        if name not in names:
            names.append(name)
        self.kinds.setdefault(id(tensor), kind)
        self.kept.append(tensor)

    def _name_modules(self) -> None:
        inside = {id(inner) for _, m in self.modules for name, inner in m.named_modules() if name}
        roots = [(p, m) for p, m in self.modules if id(m) not in inside and _has_state(m)]
        averages = sum(hasattr(m, "state_prefix") for _, m in roots)
        for path, root in roots:
            prefix = path if len(roots) > 1 else ""
            if len(roots) == 2 and averages == 1:  # an average of weights beside its model
                prefix = getattr(root, "state_prefix", "")
            self.roots.append((prefix, root))
            for name, p in root.named_parameters(prefix, remove_duplicate=False):
                self._add(p, name, "parameter")
            for inner, module in root.named_modules(prefix=prefix):
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        self._add(buffer, _join(inner, name), "buffer")

    def _name_optimizers(self) -> None:
        many = len(self.optimizers) > 1
        for path, optimizer in self.optimizers:
            for name, tensor, kind in optimizer.named_state():
                if many:
                    name = name.replace("optim", f"optim.{path}", 1)
                self._add(tensor, name, kind)
            for where, key, value, what in optimizer.choices():
                self._remember(where, key, value, _join(path, what))
            for group in optimizer.param_groups:
                for k, p in enumerate(group["params"]):
                    if id(p) not in self.names:
                        self._loose.append((f"{path}.params.{k}", p))

    def _name_schedules(self) -> None:
        inner = {id(part) for _, schedule in self.schedules for part in schedule.parts()}
        roots = [(path, s) for path, s in self.schedules if id(s) not in inner]
        for path, schedule in roots:
            for name, tensor, kind in schedule.named_state():
                if len(roots) > 1:
                    name = name.replace("schedule", f"schedule.{path}", 1)
                self._add(tensor, name, kind)

    def training(self) -> tuple[tuple[str, bool], ...]:
        """Which modules are in training mode: the roots, and what differs from them."""
        made = []
        for prefix, root in self.roots:
            made.append((prefix, bool(root.training)))
            for inner, module in root.named_modules(prefix=prefix):
                if module.training != root.training:
                    made.append((inner, bool(module.training)))
        return tuple(made)

    # --------------------------------------------------------------------------------------- guards

    def settle(self) -> None:
        """Take what the traced function itself decided, once for all calls, as it is now: which
        parameters of an optimizer step together."""
        owners = {id(optimizer.__dict__) for _, optimizer in self.optimizers}
        for k, (where, key, _, path) in enumerate(self.found):
            if key == "_layout" and id(where) in owners:
                self.found[k] = (where, key, where[key], path)

    def changed(self) -> Iterator[str]:
        """What is not as it was found, in words."""
        for where, key, expected, path in self.found:
            now = dict.get(where, key, MISSING)
            if now is not expected and not same(now, expected):
                yield f"{path} was {_shown(expected)} and is {_shown(now)}"
        for cell, expected, path in self.cells:
            now = cell.cell_contents
            if now is not expected and not same(now, expected):
                yield f"{path} was {_shown(expected)} and is {_shown(now)}"

    def plain(self) -> Iterator[tuple[str, Any]]:
        """The plain numbers and texts that a trace may have frozen."""
        for _, _, value, path in self.found:
            if _is_plain(value) and value is not None:
                yield path, value
        for _, value, path in self.cells:
            if _is_plain(value) and value is not None:
                yield path, value


def _kept(value: Any, depth: int = 0) -> Any:
    """A value to compare with later; lists are copied, since they change in place."""
    if type(value) is list and depth < _DEPTH:
        return [_kept(v, depth + 1) for v in value]
    return value


def _shown(value: Any) -> str:
    if value is MISSING:
        return "not there"
    return repr(value) if _is_plain(value) else f"another {type(value).__name__}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _names_of(code: types.CodeType) -> Iterator[str]:
    """The names that code and the functions inside of it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_of(constant)


def _has_state(module: Any) -> bool:
    return any(True for _ in module.parameters()) or any(True for _ in module.buffers())


_STANDARD: Final = sys.stdlib_module_names


def _is_library(value: Any) -> bool:
    """Whether a module, class, function or object comes from Python, NumPy or intaglio."""
    if isinstance(value, types.ModuleType):
        home: Any = value.__name__
    elif isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
        home = value.__module__
    elif hasattr(value, "named_parameters") or hasattr(value, "named_state"):
        return False
    else:
        return False
    top = str(home).split(".")[0]
    return top in _OURS or (top in _STANDARD and top != "__main__")
