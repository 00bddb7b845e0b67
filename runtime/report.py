"""What can be asked about a function: how much memory a call takes and who holds it, what the
compiler made of the graph and why, and where the time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from intaglio.compiler.dims import Size, evaluate
from intaglio.compiler.errors import ArgumentError, CompileError
from intaglio.compiler.text import printable
from intaglio.compiler.where import Places, describe
from intaglio.runtime.settings import num_threads, show_bytes
from intaglio.runtime.toolchain import REMEDY

if TYPE_CHECKING:
    from intaglio.compiler.lowered import StepInfo
    from intaglio.runtime.executor import Executable
    from intaglio.runtime.layout import Planner
    from intaglio.runtime.signature import Sizes


@dataclass(frozen=True, slots=True)
class Holder:
    """Something that lies in the arena when it is fullest."""

    bytes: int
    type: str
    where: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The memory of a call with given sizes, in bytes; the states' own memory is apart from it."""

    function: str
    sizes: Mapping[str, int]
    arena_bytes: int
    scratch_bytes: int
    output_bytes: int
    constant_bytes: int
    packed_bytes: int
    state_bytes: int
    holders: tuple[Holder, ...]

    @property
    def peak_bytes(self) -> int:
        """All that a call takes: arena, per-thread scratch, outputs, constants, and packed
        copies of weights, which are kept from call to call."""
        own = self.arena_bytes + self.scratch_bytes + self.output_bytes + self.constant_bytes
        return own + self.packed_bytes

    def __str__(self) -> str:
        bound = ", ".join(f"{k}={v}" for k, v in self.sizes.items())
        lines = [f"{printable(self.function)}({bound}): {show_bytes(self.peak_bytes)}"]
        for name in ("arena", "scratch", "output", "constant", "packed"):
            lines.append(f"  {name:<9}{show_bytes(getattr(self, f'{name}_bytes'))}")
        lines.append(f"  (state    {show_bytes(self.state_bytes)}, apart from it)")
        if self.holders:
            lines.append("  alive when the arena is fullest:")
        for h in self.holders:
            lines.append(f"    {show_bytes(h.bytes):<10} {h.type}  {printable(h.where)}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from intaglio.runtime.markup import plan_html

        return plan_html(self)


def sizes_of(executable: Executable, given: Mapping[str, int]) -> Sizes:
    """The sizes of a call from their names; every one must be given, within its bounds."""
    from intaglio.runtime.signature import Sizes

    known = {s.name: s for s in executable.signature.symbols}
    missing, unknown = known.keys() - given.keys(), given.keys() - known.keys()
    if missing or unknown:
        head = f"{executable.label}: the sizes are {', '.join(known) or 'all fixed'}"
        told = f"missing: {', '.join(sorted(missing))}" if missing else ""
        told = told or f"unknown: {', '.join(sorted(unknown))}"
        raise ArgumentError(f"{head}; {told}")
    for name, symbol in known.items():
        if not symbol.low <= given[name] <= symbol.high:
            raise ArgumentError(
                f"{executable.label}: {name} = {given[name]} is outside {symbol.low} to "
                f"{symbol.high}"
            )
    return Sizes({name: given[name] for name in known})


def plan_of(executable: Executable, given: Mapping[str, int]) -> Plan:
    """The memory that a call with these sizes takes. Nothing is compiled or allocated."""
    sizes = sizes_of(executable, given)
    planner = executable.planner(sizes)
    parts = planner.memory(sizes, executable.threads)
    holders = []
    for bytes, spec in planner.holders(sizes):
        shape = ",".join(str(evaluate(size, sizes.by_name)) for size in spec.shape)
        slot = planner.lowered.buffers.index(spec)
        makers = [s.where for s in planner.lowered.steps if slot in s.writes]
        where = describe(makers[0]) if makers else ""
        holders.append(Holder(bytes, f"{spec.dtype}[{shape}]", where))
    states = executable.graph.inputs[len(executable.signature.types) :]
    return Plan(
        executable.label,
        dict(sizes.by_name),
        parts["arena"],
        parts["scratch"],
        parts["outputs"],
        parts["constants"],
        parts["packed weights"],
        sum(evaluate(v.type.bytes, sizes.by_name) for v in states),
        tuple(holders),
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a function: its kernels run side by side. `seconds` is measured where a profile
    was taken, else a rough guess; None where it depends on sizes."""

    number: int
    ops: tuple[str, ...]
    where: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of a function: its steps, why neighbours were not fused, which values are not
    stored row-major and why convolutions are, the peak of memory."""

    function: str
    forms: str
    steps: tuple[Step, ...]
    apart: tuple[str, ...]
    storages: tuple[str, ...]
    memory: Plan | None

    def __str__(self) -> str:
        lines = [f"{printable(self.function)}: {self.forms}", f"{len(self.steps)} kernels:"]
        for step in self.steps:
            lines.append(f"  {step.number:3d}  {' '.join(step.ops)}  {printable(step.where)}")
        if self.apart:
            lines.append("not fused:")
        lines += [f"  {printable(reason)}" for reason in self.apart]
        if self.storages:
            lines.append("storage:")
        lines += [f"  {printable(line)}" for line in self.storages]
        if self.memory is not None:
            lines.append(str(self.memory))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from intaglio.runtime.markup import explanation_html

        return explanation_html(self)


def explain(executable: Executable, given: Mapping[str, int]) -> Explanation:
    """What the compiler makes of a function: for given sizes, or without any for all sizes."""
    from intaglio.compiler.lower import lower
    from intaglio.compiler.passes.fuse import Refusal
    from intaglio.compiler.passes.layout import layout
    from intaglio.runtime.compile import optimised

    fixed = not executable.signature.symbols
    sizes = sizes_of(executable, given) if given or fixed else None
    refusals: list[Refusal] = []
    bound = sizes.by_name if sizes is not None and sizes.by_name else None
    graph = optimised(executable.graph, bound, refusals=refusals)
    lowered = lower(graph, in_place=executable.updates, packable=executable.packable)
    names = sizes.by_name if sizes is not None else {}
    steps = tuple(
        Step(s.number, _ops(s), describe(s.where), _guess(s.nanoseconds, names))
        for s in lowered.steps
    )
    return Explanation(
        executable.label,
        executable.forms(),
        steps,
        tuple(map(str, refusals)),
        layout(graph).lines if executable.device is None else (),
        None if sizes is None else plan_of(executable, given),
    )


def _ops(info: StepInfo) -> tuple[str, ...]:
    """The ops of a kernel, and for how many groups of them it runs."""
    return info.ops if info.count == 1 else (f"{info.count} times:", *info.ops)


def _guess(nanoseconds: Size, sizes: Mapping[str, int]) -> float | None:
    try:
        return evaluate(nanoseconds, sizes) * 1e-9
    except KeyError:
        return None


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of a call goes, in seconds, as the median over several calls. `outside` is
    what passes around the steps: checks, pointers, results."""

    function: str
    calls: int
    threads: int
    seconds: float
    steps: tuple[Step, ...]

    @property
    def outside(self) -> float:
        """Seconds that belong to no step."""
        return max(self.seconds - sum(s.seconds or 0.0 for s in self.steps), 0.0)

    def __str__(self) -> str:
        lines = [
            f"{printable(self.function)}: {self.seconds * 1e6:.1f} us on {self.threads} threads, "
            f"median of {self.calls} calls"
        ]
        for step in sorted(self.steps, key=lambda s: -(s.seconds or 0.0)):
            share = (step.seconds or 0.0) / self.seconds if self.seconds else 0.0
            time = f"{(step.seconds or 0.0) * 1e6:10.1f} us {share:5.0%}"
            lines.append(f"{time}  {' '.join(step.ops)}  {printable(step.where)}".rstrip())
        lines.append(f"{self.outside * 1e6:10.1f} us        outside the steps")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from intaglio.runtime.markup import profile_html

        return profile_html(self)


def profile(executable: Executable, arrays: Sequence[object], calls: int) -> Profile:
    """Time calls with these arrays, and their steps; the updates go into the arrays given."""
    sizes = executable.signature.bind(
        executable.signature.admit(arrays[: len(executable.signature.types)])
    )
    form = executable.form(sizes)
    if not form.native:
        raise CompileError(f"{executable.label}: a profile needs native code, and {REMEDY}")
    executable(arrays)
    totals: list[float] = []
    for _ in range(calls):
        started = perf_counter()
        executable(arrays)
        totals.append(perf_counter() - started)
    with form.timed() as runs:
        for _ in range(calls):
            executable(arrays)
    times = [median(column) for column in zip(*runs, strict=False)]
    threads = executable.threads or num_threads()
    steps = _steps(form.planner, times)
    return Profile(executable.label, calls, threads, median(totals), steps)


def _steps(planner: Planner, seconds: Sequence[float]) -> tuple[Step, ...]:
    """The measured steps with their ops and places; one entry for all where a loop repeats
    steps."""
    by_number: dict[int, tuple[list[str], list[Places]]] = {}
    for info in planner.lowered.steps:
        ops, places = by_number.setdefault(info.number, ([], []))
        ops += _ops(info)
        places.append(info.where)
    if len(by_number) != len(seconds):
        return (Step(0, (f"{len(seconds)} steps, some in loops",), "", sum(seconds)),)
    return tuple(
        Step(number, tuple(ops), describe(tuple(dict.fromkeys(p for w in places for p in w))), t)
        for (number, (ops, places)), t in zip(sorted(by_number.items()), seconds, strict=True)
    )
