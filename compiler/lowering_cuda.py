"""Lowers the steps of a function to CUDA kernels and the plan that launches them.

The rules are those of `lowering`; only how a kernel is printed and launched differs. A loop of
steps is a loop of launches: the host runs it, and the pointers move with its rounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from intaglio.compiler.codegen.cuda import CudaPrinter, Layout, cuda_kernel
from intaglio.compiler.codegen.indices import affine
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.dims import Size, maximum
from intaglio.compiler.errors import CompileError
from intaglio.compiler.ir import Graph, Node
from intaglio.compiler.launch import HostLaunch, Launch, LaunchLoop, Pointer, Turn
from intaglio.compiler.loop import Buffer, Kernel, symbol_of
from intaglio.compiler.lowering import NAME, numbers_of, same_places
from intaglio.compiler.lowering_order import OrderLowering
from intaglio.compiler.schedule.conv_cuda import cuda_convolution
from intaglio.compiler.schedule.convolution import group_convolution
from intaglio.compiler.schedule.matmul import joined, product_nanoseconds
from intaglio.compiler.schedule.matmul_cuda import cuda_product
from intaglio.compiler.schedule.ordering import Rows
from intaglio.compiler.schedule.ordering_cuda import cuda_order
from intaglio.compiler.schedule.products import group_product
from intaglio.compiler.schedule.storage import View
from intaglio.compiler.schedule.template import Step, TemplateResult
from intaglio.compiler.steps import Batch, Call, LoopStep
from intaglio.compiler.where import Places


@dataclass
class CudaCall(Call):
    """A call with the way it is launched."""

    layout: Layout = Layout((0, 0), (0, 0))


class CudaLowering(OrderLowering):
    """One function being lowered to CUDA."""

    parts = 64
    packs_ahead = False
    flattens = False

    def __init__(
        self, graph: Graph, size_names: Sequence[str], in_place: Mapping[int, int] | None = None
    ) -> None:
        super().__init__(graph, size_names, None, (), in_place)
        self._layout = CudaCall.layout

    def launches(self) -> tuple[Launch | HostLaunch | LaunchLoop, ...]:
        """The plan of launches."""
        return tuple(self._plan(self.timeline.items, ()))

    def _print(
        self,
        kernel: Kernel,
        far: Collection[Buffer] = (),
        dims: Mapping[str, int] | None = None,
    ) -> str:
        text, self._layout = cuda_kernel(kernel, NAME, self.dims)
        return text

    def _append(self, call: Call) -> None:
        """Remember with each call how its kernel, printed just before, is launched."""
        layout = self._layout
        self.scratch = maximum(self.scratch, layout.grid[0] * layout.scratch)
        super()._append(CudaCall(**call.__dict__, layout=layout))

    def _printer(self) -> CudaPrinter:
        return CudaPrinter(self.dims)

    def _product(self, graph: Graph, node: Node, where: Places) -> None:
        memory, results = self._memory(graph), self._results(graph)
        places = {b: self.views[v] for v, b in memory.items()} | {b: w for _, b, w in results}
        pairs = [(v, b) for v, b, _ in results]
        made = group_product(graph, node, memory, pairs, NAME, self._printer)
        for value, _, view in results:
            self.views[value] = view
        text, self._layout = cuda_product(joined(made.product), parameters(made.buffers))
        work = product_nanoseconds(made.product)
        self._launched(graph, text, work, made.buffers, places, made.same, where)

    def _convolution(self, graph: Graph, node: Node, where: Places) -> None:
        memory, results = self._memory(graph), self._results(graph)
        places = {b: self.views[v] for v, b in memory.items()} | {b: w for _, b, w in results}
        pairs = [(v, b) for v, b, _ in results]
        made = group_convolution(graph, node, memory, pairs, NAME, self._printer)
        for value, _, view in results:
            self.views[value] = view
        declared = parameters(made.buffers)
        kernels = cuda_convolution(made.problem, declared)
        work = self._workspace(kernels.workspace)
        nanoseconds = made.problem.nanoseconds
        for text, self._layout in kernels.kernels:
            self._launched(graph, text, nanoseconds, made.buffers, places, made.same, where, work)

    def _launched(
        self,
        graph: Graph,
        text: str,
        nanoseconds: Size,
        buffers: Sequence[Buffer],
        places: Mapping[Buffer, View],
        same: Sequence[tuple[Buffer, Buffer]],
        where: Places,
        work: Sequence[View] = (),
    ) -> None:
        """Append a kernel of a template, with the layout that was just set; `work` comes behind
        its buffers."""
        name = self.texts.setdefault(text, f"k{len(self.texts)}")
        reads = [places[b] for b in buffers if b.role == "input"]
        writes = [places[b] for b in buffers if b.role == "output"]
        self._append(
            Call(
                name,
                (*(places[b] for b in buffers), *work),
                numbers_of([*reads, *work]),
                numbers_of([*writes, *work]),
                self._layout.grid[0],
                nanoseconds,
                tuple(n.op for n in graph.nodes),
                where,
                same_place=same_places(same, buffers, places),
            )  # fmt: skip
        )

    def _ordering(self, rows: Rows) -> TemplateResult:
        printer = self._printer()
        row = printer.bind(symbol_of(rows.variable))
        text, self._layout = cuda_order(rows, NAME, printer, row)
        step = Step(NAME, self._layout.grid[0], rows.count * rows.length)
        return TemplateResult(text, (step,))

    # ------------------------------------------------------------------------------ the launch plan

    def _plan(
        self, items: Sequence[Batch | LoopStep], loops: tuple[LoopStep, ...]
    ) -> list[Launch | HostLaunch | LaunchLoop]:
        found: list[Launch | HostLaunch | LaunchLoop] = []
        for item in items:
            if isinstance(item, LoopStep):
                body = tuple(self._plan(item.items, (*loops, item)))
                found.append(LaunchLoop(item.length, body))
            else:
                found += [self._launch(c, loops) for call in item.calls for c in call.every]
        return found

    def _launch(self, call: Call, loops: tuple[LoopStep, ...]) -> Launch | HostLaunch:
        assert isinstance(call, CudaCall)
        layout = call.layout
        pointers = tuple(self._pointer(view, loops) for view in call.views)
        if call.host is not None:
            return HostLaunch(call.host, pointers, call.number)
        return Launch(
            call.function,
            pointers,
            layout.grid,
            layout.block,
            layout.shared,
            layout.scratch,
            call.node,
            call.number,
            call.copies,
        )

    def _pointer(self, view: View, loops: tuple[LoopStep, ...]) -> Pointer:
        size = self.memory.types[view.buffer].dtype.size
        offset = _turn(view.offset * size, loops)
        if view.other is None or view.round is None:
            return Pointer(view.buffer, offset)
        return Pointer(view.buffer, offset, view.other, _turn(view.round, loops))


def parameters(buffers: Sequence[Buffer]) -> list[str]:
    """The declarations of a kernel's buffers."""
    return [
        f"{'const ' if b.role == 'input' else ''}{C_TYPES[b.dtype.name]} *b{k}"
        for k, b in enumerate(buffers)
    ]


def _turn(size: Size, loops: Sequence[LoopStep]) -> Turn:
    """A size that depends on the rounds of the loops around."""
    steps: list[Size] = []
    for loop in loops:
        parts = affine(size, symbol_of(loop.round))
        if parts is None:
            raise CompileError("scan: memory that does not move evenly from round to round")
        size, step = parts
        steps.append(step)
    return Turn(size, tuple(steps))
