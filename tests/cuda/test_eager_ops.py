"""Every op of the registry, run by itself on a device: the bits of the CPU's eager evaluator."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.errors import Error
from intaglio.compiler.op import op_named, result_types
from intaglio.compiler.types import TensorType
from intaglio.runtime.device.device import Device
from intaglio.runtime.device.eager import device_evaluator, is_pointwise
from intaglio.runtime.eager import evaluator
from tests.samples import Case, cases

POINTWISE = {"exp", "where", "cast", "atan2"}
"""Of the ops that take each element by itself, which share all but their expression."""


def first_samples() -> list[Case]:
    """The first sample of each op that has elements."""
    found: dict[str, Case] = {}
    for case in cases():
        types = [TensorType(dtype_of(a.dtype), a.shape) for a in case.operands]
        if case.op in found or case.op == "fused" or any(not a.size for a in case.operands):
            continue
        try:
            results = result_types(op_named(case.op), types, case.attributes)
        except Error:
            continue
        alone = bool(types) and is_pointwise(op_named(case.op), types, results, case.attributes)
        if not alone or case.op in POINTWISE:
            found[case.op] = case
    return list(found.values())


SAMPLES = first_samples()


@pytest.mark.parametrize("case", SAMPLES, ids=[c.op for c in SAMPLES])
def test_an_op_has_the_bits_of_the_cpu(case: Case, device: Device) -> None:
    types = [TensorType(dtype_of(a.dtype), a.shape) for a in case.operands]
    expected = evaluator(case.op, types, case.attributes)(*case.operands)
    run = device_evaluator(device, case.op, types, case.attributes)
    for turned in (False, True):  # operands that lie densely, and the other way round
        given = []
        for array in case.operands:
            up = device.upload(np.array(array.T, order="C") if turned else array)
            given.append(up.look(up.shape[::-1], up.strides[::-1], 0) if turned else up)
        for one, other in zip(run(*given), expected, strict=True):
            found = one.to_host()
            assert found.dtype == other.dtype and found.shape == other.shape
            assert found.tobytes() == np.ascontiguousarray(other).tobytes()
