"""Every layer and loss beside torch in f64, over the table of constructor arguments: text, state,
outputs, derivatives, buffers; and compiled, with equal bits. One test for each class, so that all
its rows are compiled as one function."""

import warnings

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn
from tests.frontend.layer_judge import (
    TABLE,
    build,
    draw_inputs,
    draw_state,
    evaluate,
    leaves,
)

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore"),  # torch's about former arguments and fast paths
]


def close(ours, theirs, tolerance, what):
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    assert (a.dtype, a.shape) == (b.dtype, b.shape), what
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance / 10, err_msg=what)


class Row:
    """A row of the table in both libraries, from the same numbers."""

    def __init__(self, name, number):
        self.case = TABLE[name][number]
        self.title = f"{name}[{number}] {self.case.args} {self.case.kwargs}"
        theirs = build(torch.nn, name, self.case)
        self.text, self.theirs = repr(theirs), theirs.double()
        self.state = draw_state(theirs, number)
        theirs.load_state_dict({k: torch.tensor(v) for k, v in self.state.items()})
        self.values = draw_inputs(name, self.case)
        self.arrays = leaves(self.values, self.case.options)
        self.name = name

    def ours(self):
        """Our layer with torch's numbers."""
        made = build(nn, self.name, self.case).double()
        made.load_state_dict(self.state)
        return made

    def run(self, lib, module):
        given = [lib.tensor(a) for a in self.arrays]
        return evaluate(lib, module, self.case, self.values, given)


@pytest.mark.parametrize("name", TABLE)
def test_layer(name):
    rows = [Row(name, k) for k in range(len(TABLE[name]))]
    eager, layers = [], [row.ours() for row in rows]
    for row in rows:
        title, tolerance = row.title, row.case.tolerance
        assert repr(build(nn, name, row.case)) == row.text, title
        layer = row.ours()
        shapes = {k: tuple(v.shape) for k, v in layer.state_dict().items()}
        assert list(shapes.items()) == [(k, v.shape) for k, v in row.state.items()], title
        made, wanted = row.run(ig, layer), row.run(torch, row.theirs)
        for part, ours, theirs in zip(("output", "derivative"), made, wanted, strict=True):
            assert len(ours) == len(theirs), title
            for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
                close(a, b, tolerance, f"{part} {k} of {title}")
        for key, value in layer.state_dict().items():
            close(value, row.theirs.state_dict()[key], tolerance, f"{key} after {title}")
        eager.append((made, layer.state_dict()))

    def everything(arrays):
        return [
            evaluate(ig, layer, row.case, row.values, given)
            for row, layer, given in zip(rows, layers, arrays, strict=True)
        ]

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        compiled = ig.jit(everything)([[ig.tensor(a) for a in row.arrays] for row in rows])
    for row, layer, made, (before, state) in zip(rows, layers, compiled, eager, strict=True):
        for part, ours, kept in zip(("output", "derivative"), made, before, strict=True):
            for k, (a, b) in enumerate(zip(ours, kept, strict=True)):
                message = f"compiled {part} {k} of {row.title}"
                np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=message)
        for key, value in layer.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), state[key].numpy(), err_msg=row.title)
