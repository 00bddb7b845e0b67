"""Which kernels a convolution gets in C."""

from __future__ import annotations

from intaglio.compiler.schedule.conv_loops import loops_kernel
from intaglio.compiler.schedule.convolution import Convolution
from intaglio.compiler.schedule.template import TemplateResult


def convolution_kernels(problem: Convolution) -> TemplateResult:
    """The C text of a convolution with its steps and the memory they need."""
    return loops_kernel(problem)
