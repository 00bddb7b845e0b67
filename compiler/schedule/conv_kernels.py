"""Which kernels a convolution gets in C."""

from __future__ import annotations

from typing import Final

from intaglio.compiler.schedule.conv_gather import gather_kernels
from intaglio.compiler.schedule.conv_loops import loops_kernel
from intaglio.compiler.schedule.conv_weight import weight_kernels
from intaglio.compiler.schedule.convolution import Convolution
from intaglio.compiler.schedule.matmul_tile import C_TYPES
from intaglio.compiler.schedule.template import Step, TemplateResult

MOST_PHASES: Final = 256
"""Phases of the results that get a piece of text each; taps, which are shorter, 16 for each."""
MOST_PAIRS: Final = 1 << 17
"""Pairs of a tap and a phase of the results up to which they are matched."""


def convolution_kernels(problem: Convolution) -> TemplateResult:
    """The C text of a convolution with its steps and the memory they need."""
    if 0 in (problem.outer, problem.columns):
        return _nothing(problem)
    if problem.dtype.name not in C_TYPES or _is_endless(problem):
        return loops_kernel(problem)
    return weight_kernels(problem) if problem.kind == "conv_weight" else gather_kernels(problem)


def _is_endless(problem: Convolution) -> bool:
    """Whether the fast kernels' text, which names every tap and every phase, would be too long."""
    phases = problem.phases
    return max(phases, problem.taps // 16) > MOST_PHASES or phases * problem.taps > MOST_PAIRS


def _nothing(problem: Convolution) -> TemplateResult:
    """The kernel of a result without elements."""
    parameters = "const ig_worker *w, const void *args, int64_t lo, int64_t hi"
    body = "(void)w, (void)args, (void)lo, (void)hi;"
    text = f"static void {problem.name}({parameters}) {{ {body} }}\n"
    return TemplateResult(text=text, steps=(Step(problem.name, 0, 0),))
