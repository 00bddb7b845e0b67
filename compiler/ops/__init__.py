"""The primitive ops, one class each, grouped in files by family. Importing this package fills the
registry."""

from intaglio.compiler.ops import (  # noqa: F401  # each defines, and so registers, its ops
    compare,
    control,
    convert,
    convolution,
    create,
    debug,
    elementwise,
    fused,
    index,
    linalg_factor,
    linalg_ldl,
    linalg_solve,
    matmul,
    movement,
    order,
    prefix,
    reduce,
    search,
    slicing,
    strided,
    transcendental,
    update,
    window,
    window_sums,
)
