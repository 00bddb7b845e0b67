import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from intaglio.compiler.dims import Constraint, Dim, maximum, minimum
from intaglio.compiler.dtypes import DTYPES, bfloat16, float32
from intaglio.compiler.errors import FormatError, MemoryError
from intaglio.compiler.ir import Attribute, Function, Graph, Literal, Node, Program, State, Value
from intaglio.compiler.op import OPS, Builder, Op
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Where
from intaglio.runtime.file import read, write
from intaglio.runtime.file.decode import decode
from intaglio.runtime.file.encode import encode
from tests.runtime.file import samples


def described(program: Program) -> object:
    """Everything about a program but the names of its values and the order of attributes."""

    def graph(g: Graph) -> object:
        values = [*g.inputs, *(v for node in g.nodes for v in node.outputs)]
        number = {v: k for k, v in enumerate(values)}
        nodes = [
            (
                node.op,
                [number[v] for v in node.inputs],
                {k: graph(a) if isinstance(a, Graph) else a for k, a in node.attributes.items()},
                node.where,
            )
            for node in g.nodes
        ]
        return [v.type for v in values], nodes, [number[v] for v in g.outputs], g.constraints

    functions = [
        (name, [getattr(f, x.name) if x.name != "graph" else graph(f.graph) for x in fields(f)])
        for name, f in program.functions.items()
    ]
    return list(program.state.items()), functions


@pytest.mark.parametrize("name", samples.ALL)
def test_what_is_read_is_what_was_written(name: str, tmp_path: Path) -> None:
    program = samples.ALL[name]()
    values = samples.filled(program)
    metadata = {"b": 1, "a": "text\n", "c": 0.1, "d": True, "e": float("nan"), "f": -(1 << 63)}
    write(tmp_path / "a.ig", program, values, metadata)
    loaded = read(tmp_path / "a.ig")
    assert described(loaded.program) == described(program)
    assert list(loaded.values) == list(program.state)
    for key, array in loaded.values.items():
        assert array.tobytes() == values[key].tobytes() and array.dtype == values[key].dtype
        assert not array.flags.writeable
        assert array.ctypes.data % 64 == 0 or not array.size
    assert repr(loaded.metadata) == repr(dict(sorted(metadata.items())))
    write(tmp_path / "b.ig", loaded.program, loaded.values, loaded.metadata)
    assert (tmp_path / "b.ig").read_bytes() == (tmp_path / "a.ig").read_bytes()


SAVE = """
import sys
from tests.runtime.file import samples
from intaglio.runtime.file import write
for name, make in samples.ALL.items():
    program = make()
    write(f"{sys.argv[1]}/{name}.ig", program, samples.filled(program), {"z": 1, "a": 2})
"""


def test_equal_programs_make_equal_bytes_in_every_process(tmp_path: Path) -> None:
    for seed in ("0", "1", "77"):
        (tmp_path / seed).mkdir()
        env = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", SAVE, str(tmp_path / seed)]
        subprocess.run(command, check=True, env=env, cwd=Path(__file__).parents[3])
    for name in samples.ALL:
        assert len({(tmp_path / seed / f"{name}.ig").read_bytes() for seed in "01"}) == 1
        assert (tmp_path / "77" / f"{name}.ig").read_bytes() == (
            tmp_path / "0" / f"{name}.ig"
        ).read_bytes()


def test_names_of_values_do_not_matter() -> None:
    def made(hint: str) -> bytes:
        g = Builder()
        x = g.input(TensorType(float32, (2,)), hint)
        return encode(Program({"f": samples.function("f", g.graph([g.neg(x)]), ["x"], ["y"])}))[0]

    assert made("a") == made("b")


@pytest.fixture
def anything():
    """An op that takes any attributes; in the registry for one test only."""

    class Anything(Op):
        name = "filetest.anything"

        def type(self, *types: TensorType, **attributes: Attribute) -> TensorType:
            return TensorType(float32, (3,))

    yield "filetest.anything"
    del OPS["filetest.anything"]


def one_node(op: str, **attributes: Attribute) -> Program:
    g = Builder()
    g.input(TensorType(float32, (Dim("n"), Dim("m", 2, 9))))
    return Program({"f": samples.function("f", g.graph(g.apply(op, (), attributes)), ["x"], ["y"])})


N, M = Dim("n"), Dim("m", 2, 9)
ATTRIBUTES: dict[str, Attribute] = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "least": -(1 << 63),
    "negative_zero": -0.0,
    "nan": np.frombuffer(np.uint64(0x7FF8000000000123).tobytes(), np.float64)[0].item(),
    "text": 'a\n"\\\u2028\x00',
    "empty_text": "",
    "dtype": bfloat16,
    "symbol": N,
    "polynomial": 3 * N * M - 2 * N + 7,
    "quotients": (N // 3 + minimum(N, M)) * ((N + 1) % M) - maximum(N // M, 4),
    "integers": (1, 2, -3),
    "empty": (),
    "mixed": (1, True, 2.0, None, (N, (float32,)), ((),)),
    "booleans": (True, False),
    "scalar": Literal(np.float32(-0.0)),
    "inline": Literal(np.arange(8)),
    "stored": Literal(np.arange(9)),
    "bf16": Literal(np.arange(99).astype(ml_dtypes.bfloat16)),
    "bool": Literal(np.array([True, False])),
    "no_elements": Literal(np.empty((3, 0, 2), np.int8)),
}


def same(a: Attribute, b: Attribute) -> bool:
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return isinstance(b, float) and np.float64(a).tobytes() == np.float64(b).tobytes()
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_kind_of_attribute(name: str, anything: str, tmp_path: Path) -> None:
    write(tmp_path / "a.ig", one_node(anything, value=ATTRIBUTES[name]), {})
    (node,) = read(tmp_path / "a.ig").program.functions["f"].graph.nodes
    assert same(node.attributes["value"], ATTRIBUTES[name])


def test_attributes_that_are_equal_in_python_stay_apart(anything: str) -> None:
    values = (1, 1.0, True, 0.0, -0.0, 0, False)
    program = one_node(anything, **{f"v{k}": v for k, v in enumerate(values)})
    (node,) = decode(encode(program)[0]).functions["f"].graph.nodes
    assert all(map(same, node.attributes.values(), values))


@pytest.mark.parametrize(
    "value",
    [1 << 63, np.int64(3), [1], {"a": 1}, "\ud800", b"x", (lambda: 0), Literal(np.array(["a"]))],
    ids=lambda value: "function" if callable(value) else str(value),
)
def test_what_a_file_cannot_hold_is_refused(value: object, anything: str) -> None:
    with pytest.raises(FormatError, match="can't be saved|no counterpart"):
        encode(one_node(anything, value=value))  # type: ignore[arg-type]


def test_equal_blocks_and_literals_are_stored_once(anything: str) -> None:
    def block() -> Graph:
        b = Builder()
        return b.graph([b.neg(b.input(TensorType(float32, (3,))))])

    big = [Literal(np.arange(1000)) for _ in range(2)]
    program = one_node(anything, a=block(), b=block(), c=big[0], d=big[1])
    data, arrays = encode(program)
    assert len(arrays) == 1
    section = np.zeros(8000, np.uint8)
    section[:] = np.arange(1000).view(np.uint8)
    (node,) = decode(data, section).functions["f"].graph.nodes
    assert node.attributes["a"] is node.attributes["b"]
    assert node.attributes["c"] is node.attributes["d"]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_states_of_every_dtype(dtype, tmp_path: Path) -> None:
    state = State(("s",), TensorType(dtype, (5, 3)), "buffer")
    raw = np.random.default_rng(1).integers(0, 2 if dtype.kind == "b" else 256, 15 * dtype.size)
    value = raw.astype(np.uint8).view(dtype.numpy).reshape(5, 3)
    write(tmp_path / "a.ig", Program({}, {"s": state}), {"s": value})
    assert read(tmp_path / "a.ig").values["s"].tobytes() == value.tobytes()


def test_values_in_another_order_of_bytes_or_memory(tmp_path: Path) -> None:
    program = Program({}, {"s": State(("s",), TensorType(float32, (4, 6)))})
    value = np.arange(24, dtype=np.float32).reshape(4, 6)
    for k, other in enumerate((value, value.astype(">f4"), np.asfortranarray(value), value[::1])):
        write(tmp_path / f"{k}.ig", program, {"s": other})
    assert len({(tmp_path / f"{k}.ig").read_bytes() for k in range(4)}) == 1
    wide = np.repeat(value, 2, axis=1)
    write(tmp_path / "wide.ig", program, {"s": wide[:, ::2]})
    assert (tmp_path / "wide.ig").read_bytes() == (tmp_path / "0.ig").read_bytes()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "has no value"),
        ({"s": np.zeros(3, np.float64)}, r"float64\[3\], where the state is f32\[3\]"),
        ({"s": np.zeros(4, np.float32)}, r"float32\[4\]"),
        ({"s": [0.0, 0.0, 0.0]}, "no NumPy array"),
        ({"s": np.zeros(3, np.float32), "other": np.zeros(1)}, "no such state"),
    ],
)
def test_wrong_values_are_refused(values, reason: str, tmp_path: Path) -> None:
    program = Program({}, {"s": State(("s",), TensorType(float32, (3,)))})
    with pytest.raises(FormatError, match=reason):
        write(tmp_path / "a.ig", program, values)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [None, 1 << 70, [1], np.float32(1)], ids=str)
def test_remarks_of_other_kinds_are_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="metadata"):
        write(tmp_path / "a.ig", Program(), {}, {"a": value})


def test_a_program_that_breaks_the_rules_is_not_written(tmp_path: Path) -> None:
    x, wrong = Value(TensorType(float32, (3,))), Value(TensorType(float32, (4,)))
    graph = Graph((x,), (Node("neg", (x,), (wrong,)),), (wrong,))
    with pytest.raises(FormatError, match=r"node 0: neg: has results \(f32\[4\]\)"):
        write(tmp_path / "a.ig", Program({"f": samples.function("f", graph, ["x"], ["y"])}), {})
    stray = Graph((x,), (Node("neg", (wrong,), (Value(wrong.type),)),), (x,))
    with pytest.raises(FormatError, match="made by no node"):
        write(tmp_path / "a.ig", Program({"f": samples.function("f", stray, ["x"], ["y"])}), {})
    assert not list(tmp_path.iterdir())


def test_a_program_of_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.ig", Program(), {})
    loaded = read(os.fsencode(tmp_path / "a.ig"))
    assert (loaded.program.functions, loaded.program.state, loaded.values) == ({}, {}, {})


def test_constraints_survive_and_are_needed() -> None:
    n, m = Dim("n"), Dim("m")
    g = Builder()
    x, y = g.input(TensorType(float32, (n,))), g.input(TensorType(float32, (m,)))
    g.places = (Where("a.py", 3),)
    graph = g.graph([g.add(x, y)])
    assert graph.constraints == (Constraint(n, "==", m, "a.py:3"),)
    program = Program({"f": samples.function("f", graph, ["x", "y"], ["z"])})
    assert decode(encode(program)[0]).functions["f"].graph.constraints == graph.constraints
    loose = Program({"f": samples.function("f", graph.replace(constraints=()), ["x", "y"], ["z"])})
    with pytest.raises(FormatError, match="not among the graph's constraints"):
        decode(encode(loose)[0])


def test_digests_tell_program_and_weights_apart(tmp_path: Path) -> None:
    program = samples.training()
    values = samples.filled(program)
    for name, changed in (("a", values), ("b", values | {"b": values["b"] + 1})):
        write(tmp_path / f"{name}.ig", program, changed, {"name": name})
    a, b = read(tmp_path / "a.ig"), read(tmp_path / "b.ig")
    assert a.digest == b.digest and a.weights_digest != b.weights_digest
    other = samples.convolution()
    write(tmp_path / "c.ig", other, samples.filled(other))
    assert read(tmp_path / "c.ig").digest != a.digest


def test_a_cap_on_memory(tmp_path: Path) -> None:
    program = samples.training()
    write(tmp_path / "a.ig", program, samples.filled(program))
    size = (tmp_path / "a.ig").stat().st_size
    assert read(tmp_path / "a.ig", max_memory=size)
    with pytest.raises(MemoryError, match=f"takes {size} bytes, more than the {size - 1} allowed"):
        read(tmp_path / "a.ig", max_memory=size - 1)


def test_an_older_version_of_an_op_is_upgraded() -> None:
    class Scaled(Op):
        name = "filetest.scaled"
        version = 2

        def type(self, x: TensorType, *, factor: float) -> TensorType:
            return x

        def upgrade(self, version, attributes):
            assert version == 1
            return {"factor": float(attributes["by"])}

    try:
        x = Value(TensorType(float32, (3,)))
        y = Value(x.type)
        graph = Graph((x,), (Node("filetest.scaled", (x,), (y,), {"by": 3}),), (y,))
        Scaled.version = 1
        data = encode(Program({"f": samples.function("f", graph, ["x"], ["y"])}))[0]
        Scaled.version = 2
        (node,) = decode(data).functions["f"].graph.nodes
        assert dict(node.attributes) == {"factor": 3.0}
    finally:
        del OPS["filetest.scaled"]


def test_default_structures_are_flat(tmp_path: Path) -> None:
    g = Builder()
    x, y = g.input(samples.f32(2)), g.input(samples.f32(2))
    function = Function("f", g.graph([g.add(x, y), x]), ("x", "y"), ("a", "b"))
    write(tmp_path / "a.ig", Program({"f": function}), {})
    assert read(tmp_path / "a.ig").program.functions["f"].input_structure == ("tuple", ())


def test_the_format_knows_every_field() -> None:
    """A field that is added to the IR has to be added to the schema, with a new golden file."""
    known = {
        Program: "functions state",
        Function: "name graph arguments results reads updates parameters input_structure"
        " output_structure training",
        State: "names type kind",
        Graph: "inputs nodes outputs constraints",
        Constraint: "left relation right where",
        Where: "file line scope gradient",
        TensorType: "dtype shape",
    }
    for kind, names in known.items():
        assert [field.name for field in fields(kind)] == names.split(), kind
    assert sorted(Node.__slots__) == ["attributes", "inputs", "op", "outputs", "where"]
