"""Files with every digest right and something wrong: refused with the field's name."""

import hashlib
import os
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import boolean, float32
from intaglio.compiler.ir import Program, State
from intaglio.compiler.op import OPS, Builder
from intaglio.compiler.types import TensorType
from intaglio.runtime.file import limits, read, write
from intaglio.runtime.file.header import SIZE
from intaglio.schemas import program_pb2 as pb
from tests.runtime.file import samples
from tests.runtime.file.forge import forged, program_of, refusal, sections_of, with_program

Change = Callable[[pb.Program], object]
Quotient, Polynomial = pb.Quotient, pb.Polynomial


def sizes(*more: int | Quotient | Polynomial) -> Change:
    """Append these to the table of sizes."""

    def change(message: pb.Program) -> None:
        for size in more:
            if isinstance(size, int):
                message.sizes.add(constant=size)
            elif isinstance(size, Quotient):
                message.sizes.add(quotient=size)
            else:
                message.sizes.add(polynomial=size)

    return change


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder, found = tmp_path_factory.mktemp("files"), {}
    for name, make in samples.ALL.items():
        program = make()
        write(folder / name, program, samples.filled(program), {"a": 1})
        found[name] = (folder / name).read_bytes()
    return found


def grow(message: pb.Program, **more: int) -> None:
    """Append a node with this op and otherwise nothing to the first graph."""
    graph = message.graphs[-1]
    graph.ops.append(more.get("op", 0))
    graph.attributes.append(more.get("attributes", 0))
    graph.wheres.append(more.get("where", 0))
    graph.operand_counts.append(more.get("operands", 0))
    graph.result_counts.append(more.get("results", 0))


def set_attribute(message: pb.Program, name: str, value: pb.Attribute) -> None:
    """Give every attribute of this name another value."""
    number = list(message.strings).index(name)
    found = False
    for made in message.attribute_sets:
        for k, n in enumerate(made.names):
            if n == number:
                made.values[k].CopyFrom(value)
                found = True
    assert found


def last(message: pb.Program) -> pb.Graph:
    return message.graphs[-1]


def tuple_of(*values: int) -> pb.Attribute:
    return pb.Attribute(integers=pb.Integers(values=values))


def deep_items(depth: int) -> pb.Attribute:
    made = pb.Attribute(none=True)
    for _ in range(depth):
        made = pb.Attribute(items=pb.Items(values=[made]))
    return made


def deep_structure(depth: int) -> pb.Structure:
    made = pb.Structure()
    for _ in range(depth):
        made = pb.Structure(kind=pb.Structure.TUPLE, parts=[made])
    return made


def huge(message: pb.Program) -> None:
    message.types[0].shape[:] = [1 << 40, 1 << 40]


# What is changed in the file of `convolution`, and what the refusal names.
PROGRAMS: dict[str, tuple[Change, str]] = {
    "overflowing shape": (huge, r"types\[0\]: the shape .* overflows"),
    "most negative size": (lambda m: m.types[0].shape.append(-(1 << 63)), r"types\[0\].shape"),
    "size out of the table": (
        lambda m: m.types[0].shape.append(-9),
        r"types\[0\].shape\[1\]: 8 is",
    ),
    "rank": (lambda m: m.types[0].shape.extend([1] * 40), r"types\[0\].shape: dimensions"),
    "state is longer": (
        lambda m: m.types[0].shape.__setitem__(0, 40),
        r"state: takes|program:|node",
    ),
    "dtype": (lambda m: m.types[0].__setattr__("dtype", 1), r"types\[0\].dtype: no dtype"),
    "dtype out of the table": (lambda m: m.types[0].__setattr__("dtype", 999), r"types\[0\].dtype"),
    "unknown op": (
        lambda m: m.strings.__setitem__(list(m.strings).index("pad"), "os.system"),
        "no op called 'os.system'",
    ),
    "op out of the table": (lambda m: last(m).ops.__setitem__(0, 99), "node 0: op: 99"),
    "newer op": (
        lambda m: m.op_versions.__setitem__(0, 7),
        "version 7, this intaglio knows it up to version 1",
    ),
    "older op": (lambda m: m.op_versions.__setitem__(0, 0), "version 0"),
    "missing version": (lambda m: m.op_versions.pop(), "op_versions: not one for each op"),
    "self loop": (
        lambda m: last(m).operands.__setitem__(0, 2),
        r"node 0: operand 0: the value 2 is read before",
    ),
    "cycle": (
        lambda m: last(m).operands.__setitem__(0, 20),
        r"node 0: operand 0: the value 20 is read before",
    ),
    "dangling": (
        lambda m: last(m).operands.__setitem__(0, 4294967295),
        "operand 0: the value 4294967295",
    ),
    "dangling output": (lambda m: last(m).outputs.__setitem__(0, 5000), "outputs: 5000 is outside"),
    "no output": (lambda m: last(m).outputs.pop(), "results: 1 with the states, its graph has 0"),
    "dangling place": (lambda m: last(m).wheres.__setitem__(0, 44), "node 0: where: 44"),
    "place out of the table": (lambda m: m.where_places.__setitem__(0, 44), "where_places: 44"),
    "lengths of places": (lambda m: m.where_lengths.__setitem__(0, 4000000000), "where_lengths"),
    "file out of the table": (lambda m: m.place_files.__setitem__(0, 999), "place_files: 999"),
    "columns of places": (lambda m: m.place_lines.append(1), "place_lines"),
    "dangling attributes": (
        lambda m: last(m).attributes.__setitem__(0, 44),
        "node 0: attributes: 44",
    ),
    "missing column": (lambda m: last(m).wheres.pop(), r"graphs\[0\].wheres: \d+ entries"),
    "operand counts": (
        lambda m: last(m).operand_counts.__setitem__(0, 4000000000),
        "operand_counts",
    ),
    "operand sums": (lambda m: last(m).operand_counts.__setitem__(0, 2), "operand_counts: add up"),
    "result sums": (lambda m: last(m).result_counts.__setitem__(0, 2), "result_counts: add up"),
    "empty node": (lambda m: grow(m), "node 2[0-9]"),
    "negative pad": (lambda m: set_attribute(m, "low", tuple_of(0, -1)), "node 0: pad"),
    "huge pad": (lambda m: set_attribute(m, "low", tuple_of(1 << 62, 1 << 62)), "node 0: pad"),
    "pad of another rank": (lambda m: set_attribute(m, "low", tuple_of(1)), "node 0: pad"),
    "attribute of another kind": (
        lambda m: set_attribute(m, "low", pb.Attribute(text=0)),
        "node 0: pad",
    ),
    "tuples in tuples": (lambda m: set_attribute(m, "low", deep_items(2)), "node 0: pad"),
    "nothing as attribute": (lambda m: set_attribute(m, "low", pb.Attribute()), "has no value"),
    "deep tuples": (lambda m: set_attribute(m, "low", deep_items(25)), "nest"),
    "very deep tuples": (lambda m: set_attribute(m, "low", deep_items(45)), "nest"),
    "graph in itself": (
        lambda m: set_attribute(m, "low", pb.Attribute(graph=0)),
        "graph: 0 is outside",
    ),
    "zero step": (lambda m: set_attribute(m, "steps", tuple_of(0, 0)), "slice"),
    "negative step": (lambda m: set_attribute(m, "steps", tuple_of(-1, -1)), "slice"),
    "axis out of range": (lambda m: set_attribute(m, "axes", tuple_of(7)), "node"),
    "axis twice": (lambda m: set_attribute(m, "axes", tuple_of(0, 0)), "node"),
    "attribute twice": (
        lambda m: m.attribute_sets[0].names.__setitem__(0, m.attribute_sets[0].names[1]),
        "names: not sorted, or one",
    ),
    "attribute without value": (
        lambda m: m.attribute_sets[0].names.append(0),
        "not one for each value",
    ),
    "unknown attribute": (
        lambda m: m.strings.__setitem__(list(m.strings).index("low"), "lox"),
        "node 0: pad|names",
    ),
    "bounds of a symbol": (lambda m: m.sizes[0].symbol.__setattr__("low", 1 << 63), r"sizes\[0\]"),
    "name of a symbol": (
        lambda m: m.strings.__setitem__(m.sizes[0].symbol.name, "n;"),
        r"sizes\[0\]",
    ),
    "size of no kind": (lambda m: m.sizes.add(), r"sizes\[1\]: has no kind"),
    "size from later": (
        lambda m: m.sizes.add().quotient.__setattr__("left", 5),
        r"sizes\[1\].quotient|sizes\[1\].left",
    ),
    "division by zero": (sizes(0, Quotient(left=0, right=1)), r"sizes\[2\].right: the divisor 0"),
    "unknown quotient": (sizes(Quotient(kind=9)), r"sizes\[1\].kind"),
    "quotient not in normal form": (sizes(1, Quotient(left=0, right=1)), "normal form"),
    "polynomial not in normal form": (
        sizes(Polynomial(coefficients=[1, 1], degrees=[1, 1], atoms=[0, 0])),
        "normal form",
    ),
    "degrees": (sizes(Polynomial(coefficients=[1], degrees=[2], atoms=[0])), "degrees"),
    "state twice": (lambda m: m.state.append(m.state[0]), "stands twice"),
    "state without names": (lambda m: m.state[0].ClearField("names"), "needs a name"),
    "kind of state": (lambda m: m.state[0].__setattr__("kind", 0), r"state\[0\].kind"),
    "type of state": (lambda m: m.state[0].__setattr__("type", 99), r"state\[0\].type"),
    "symbolic state": (lambda m: m.types[0].shape.__setitem__(0, -1), "node|program|state"),
    "state read twice": (lambda m: m.functions[0].reads.append(0), "reads: a state stands twice"),
    "unknown state": (lambda m: m.functions[0].reads.__setitem__(0, 3), "reads: 3 is outside"),
    "function twice": (
        lambda m: m.functions.append(m.functions[0]),
        "name: 'forward' stands twice",
    ),
    "unknown graph": (lambda m: m.functions[0].__setattr__("graph", 6), r"functions\[0\].graph: 6"),
    "no structure": (
        lambda m: m.functions[0].ClearField("input_structure"),
        "input_structure: is missing",
    ),
    "leaves": (
        lambda m: m.functions[0].output_structure.CopyFrom(pb.Structure(kind=pb.Structure.NONE)),
        "0 leaves for 1",
    ),
    "deep structure": (
        lambda m: m.functions[0].output_structure.CopyFrom(deep_structure(40)),
        "nest",
    ),
    "kind of structure": (
        lambda m: m.functions[0].output_structure.__setattr__("kind", 77),
        "there is no kind 77",
    ),
    "training flags": (lambda m: m.functions[0].training_flags.append(True), "training_flags"),
    "long name": (lambda m: m.strings.append("x" * 1_000_000), "strings"),
    "unused string": (lambda m: m.strings.append("x"), "canonical"),
    "unused type": (lambda m: m.types.append(m.types[0]), "canonical"),
    "unused attributes": (lambda m: m.attribute_sets.append(m.attribute_sets[0]), "canonical"),
    "unused graph": (lambda m: m.graphs.append(m.graphs[0]), "canonical"),
    "unused op": (
        lambda m: (m.op_names.append(m.op_names[0]), m.op_versions.append(1)),
        "canonical",
    ),
    "unused place": (lambda m: m.where_lengths.append(0), "canonical"),
    "literal without bytes": (lambda m: m.literals.add(digest=bytes(32)), "literals"),
    "missing constraint relation": (lambda m: last(m).constraints.add(relation=5), "no relation 5"),
    "needless constraint": (
        lambda m: last(m).constraints.add(left=0, right=0, where=99),
        r"constraints\[0\].where",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_wrong_programs(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    change, reason = PROGRAMS[name]
    message = program_of(files["convolution"])
    change(message)
    found = refusal(tmp_path / "a.ig", with_program(files["convolution"], message))
    assert found, "was loaded"
    assert re.search(reason, found), found
    assert "a.ig" in found


def encoded(number: int, wire: int, payload: bytes = b"") -> bytes:
    tag = number << 3 | wire
    head = b""
    while tag > 127:
        head, tag = head + bytes([tag & 127 | 128]), tag >> 7
    return head + bytes([tag]) + payload


def test_other_encodings(files: dict[str, bytes], tmp_path: Path) -> None:
    data = files["training"]
    program = sections_of(data)[1]
    strings = program_of(data).strings
    first = encoded(1, 2, bytes([len(strings[0])])) + strings[0].encode()
    assert program.startswith(first)
    longer = encoded(1, 2, bytes([len(strings[0]) | 128, 0])) + strings[0].encode()
    for changed, reason in (
        (program + encoded(99, 0, b"\1"), "unknown field 99"),
        (program + encoded(5, 0, b"\1"), "canonical"),  # a packed column, continued unpacked
        (program[len(first) :] + first, "canonical"),  # fields in another order
        (program.replace(first, longer, 1), "canonical"),
        (program + encoded(16, 3) + encoded(16, 4), "wire type 3"),
        (program + encoded(3, 2, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), "too long"),
        (program + encoded(3, 2, b"\x7f"), "longer than what contains it"),
        (program + encoded(1, 2, b"\2\xff\xff"), "not a protobuf message"),
        (program + encoded(1, 5, b"\0\0\0\0"), "canonical|not a protobuf message|unknown"),
        (program[:-1], "contains it|cut off|protobuf|canonical|structure"),
        (b"", "state: takes 0"),
    ):
        found = refusal(tmp_path / "a.ig", with_program(data, changed))
        assert re.search(reason, found), found


COLUMNS = ("ops", "attributes", "wheres", "operand_counts", "result_counts")
BOMBS = {
    "empty messages": lambda: encoded(14, 2, b"\0") * 5_000_000,
    "empty sets": lambda: encoded(13, 2, b"\0") * 500_000,
    "empty graphs": lambda: encoded(14, 2, b"\0") * 500_000,
    "empty states": lambda: encoded(15, 2, b"\0") * 60_000,
    "symbols": lambda: pb.Program(
        strings=["n"], sizes=[pb.Size(symbol=pb.Symbol(high=k)) for k in range(1, 16_000)]
    ).SerializeToString(),
    "types": lambda: pb.Program(
        strings=["f32"], types=[pb.Type(shape=[k]) for k in range(65_000)]
    ).SerializeToString(),
    "empty strings": lambda: encoded(1, 2, b"\0") * 5_000_000,
    "unpacked numbers": lambda: encoded(5, 0, b"\0") * 3_000_000,
    "empty nodes": lambda: pb.Program(
        strings=["neg"],
        op_names=[0],
        op_versions=[1],
        where_lengths=[0],
        attribute_sets=[{}],
        graphs=[pb.Graph(**{name: [0] * 500_000 for name in COLUMNS})],
    ).SerializeToString(),
    "packed zeros": lambda: pb.Program(op_names=[0] * 8_000_000).SerializeToString(),
    "more packed zeros": lambda: pb.Program(op_names=[0] * 9_000_000).SerializeToString(),
    "a longer program than the limit": lambda: bytes(limits.PROGRAM_BYTES + 1),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str, tmp_path: Path) -> None:
    data = forged(b"", BOMBS[name](), b"", b"")
    assert refusal(tmp_path / "a.ig", data, megabytes=100 + 2 * len(data) / 1e6)


def nested(depth: int) -> pb.Program:
    """Blocks that use the one before twice: 2^depth nodes when each is counted."""
    message = pb.Program(strings=["custom_vjp"], op_names=[0], op_versions=[1], where_lengths=[0])
    message.strings.extend(["a", "b"])
    message.attribute_sets.add()
    message.graphs.add()
    for k in range(depth):
        block = pb.Attribute(graph=k)
        message.attribute_sets.add(names=[1, 2], values=[block, block])
        zero = {c: [0] for c in ("ops", "wheres", "operand_counts", "result_counts")}
        message.graphs.add(attributes=[k + 1], **zero)
    return message


def test_blocks_that_multiply_or_nest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(type(OPS["custom_vjp"]), "type", lambda self, *types, **blocks: ())
    for depth, reason in ((30, "nodes with those of blocks"), (1000, "nodes with those|nesting")):
        data = forged(b"", nested(depth).SerializeToString(), b"", b"")
        found = refusal(tmp_path / "a.ig", data)
        assert re.search(reason, found), found
    message = nested(1000)
    for made in message.attribute_sets[1:]:
        del made.names[1], made.values[1]
    found = refusal(tmp_path / "a.ig", forged(b"", message.SerializeToString(), b"", b""))
    assert "nesting of blocks: 64 is more than the limit" in found


def test_sizes_that_would_multiply_out(tmp_path: Path) -> None:
    message = pb.Program(strings=[f"s{k}" for k in range(64)])
    message.strings.append("f32")
    message.sizes.extend([pb.Size(symbol=pb.Symbol(name=k, low=1, high=99)) for k in range(64)])
    total = pb.Polynomial(coefficients=[1] * 64, degrees=[1] * 64, atoms=sorted(range(64), key=str))
    message.sizes.add(polynomial=total)
    message.types.add(dtype=64, shape=[-65] * 8)
    found = refusal(tmp_path / "a.ig", forged(b"", message.SerializeToString(), b"", b""))
    assert "types[0].shape: terms of the number of elements" in found
    del message.types[:]
    for _ in range(40):  # each is the quotient of the last by itself plus one
        message.sizes.add(quotient=pb.Quotient(left=len(message.sizes) - 1, right=0))
    assert "sizes[65]" in refusal(
        tmp_path / "a.ig", forged(b"", message.SerializeToString(), b"", b"")
    )


def test_a_node_of_many_different_sizes(tmp_path: Path) -> None:
    many = 4000
    message = pb.Program(strings=["f32", "concat", "axis"], op_names=[1], op_versions=[1])
    message.strings.extend([f"s{k}" for k in range(many)])
    message.where_lengths.append(0)
    for k in range(many):
        message.sizes.add(symbol=pb.Symbol(name=3 + k, low=1, high=9))
        message.types.add(dtype=0, shape=[-1 - k])
    message.attribute_sets.add(names=[2], values=[pb.Attribute(integer=0)])
    columns = {"ops": [0], "attributes": [0], "wheres": [0]}
    columns |= {"operand_counts": [many], "operands": range(many)}
    columns |= {"result_counts": [1], "result_types": [0]}
    message.graphs.add(input_types=range(many), **columns)
    found = refusal(tmp_path / "a.ig", forged(b"", message.SerializeToString(), b"", b""))
    assert "concat: cost of the sizes of its operands" in found


def test_a_small_file_that_declares_much(tmp_path: Path) -> None:
    program = Program({}, {"s": State(("s",), TensorType(float32, (4,)))})
    write(tmp_path / "a.ig", program, {"s": np.zeros(4, np.float32)})
    data = (tmp_path / "a.ig").read_bytes()
    message = program_of(data)
    message.types[0].shape[0] = 1 << 40
    forgery = with_program(data, message)
    assert len(forgery) < 1024
    found = refusal(tmp_path / "a.ig", forgery, megabytes=50)
    assert "state: takes 4398046511104 bytes, its section has 64" in found


def test_sections_that_do_not_fit(files: dict[str, bytes], tmp_path: Path) -> None:
    about, program, literals, state = sections_of(files["attention"])
    path = tmp_path / "a.ig"
    assert not refusal(path, forged(about, program, literals, state))
    for sections, reason in (
        ((about, program, literals, state[:-64]), "state: takes"),
        ((about, program, literals, state + bytes(64)), "state: takes"),
        ((about, program, literals, state + b"\0"), "state: takes"),
        ((about, program, literals[:-64], state), "literals: take"),
        ((about, program, literals + bytes(64), state), "literals: take"),
        ((about, program, b"", state), "literals: take"),
        ((about, program, b"\1" + literals[1:], state), "canonical"),
        ((about, program, literals, state[:-1] + b"\1"), "padding is not zero"),
        ((b"", program, literals, state), ""),
        ((b"\x0a\0" + about, program, literals, state), "About"),
        ((about[:1] + b"\x99" + about[2:], program, literals, state), "About"),
    ):
        found = refusal(path, forged(*sections))
        assert reason in found and bool(found) == bool(reason), found


def test_booleans_are_zero_or_one(tmp_path: Path) -> None:
    program = Program({}, {"s": State(("s",), TensorType(boolean, (4,)), "buffer")})
    write(tmp_path / "a.ig", program, {"s": np.ones(4, bool)})
    about, message, literals, state = sections_of((tmp_path / "a.ig").read_bytes())
    found = refusal(tmp_path / "a.ig", forged(about, message, literals, b"\1\2" + state[2:]))
    assert "state[0]: a boolean is neither 0 nor 1" in found
    with pytest.raises(Exception, match="a boolean is neither"):
        write(tmp_path / "b.ig", program, {"s": np.full(4, 2, np.uint8).view(bool)})


def test_every_truncation_and_trailing_bytes(files: dict[str, bytes], tmp_path: Path) -> None:
    data, path = files["convolution"], tmp_path / "a.ig"
    for length in (*range(SIZE + 40), len(data) - 64, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(Exception, match="magic|header|length") as caught:
            read(path)
        assert type(caught.value).__name__ == "FormatError"
    for more in (b"\0", bytes(64), data):
        assert "file length" in refusal(path, data + more)


def test_header_fields(files: dict[str, bytes], tmp_path: Path) -> None:
    data, path = files["convolution"], tmp_path / "a.ig"

    def changed(at: int, kind: str, value: int) -> str:
        made = bytearray(data)
        struct.pack_into("<" + kind, made, at, value)
        return refusal(path, bytes(made))

    assert "magic" in changed(0, "B", 0)
    newer = changed(8, "I", 3)
    assert "version 3" in newer and "up to version 0" in newer and "newer intaglio" in newer
    assert "header length" in changed(12, "I", 4096)
    for at in range(16, 56, 8):
        for value in (0, 1, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1):
            if value == struct.unpack_from("<Q", data, at)[0]:
                continue
            reason = changed(at, "Q", value)
            assert "length" in reason or (at > 16 and value < 2 and "header digest" in reason)
    for at in (56, 88, 120, SIZE):
        assert "header digest" in changed(at, "B", data[at] ^ 1)
    assert "reserved" in changed(SIZE - 1, "B", 1)


def test_things_that_are_not_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(Exception, match="not a regular file"):
            read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "missing")


def chain(length: int) -> Program:
    g = Builder()
    x = g.input(TensorType(float32, (Dim("n"), 4)))
    value = x
    for k in range(length):
        samples.at(g, k % 5000)
        value = g.add(value, x)
    return Program({"f": samples.function("f", g.graph([value]), ["x"], ["y"])})


def test_a_long_chain_needs_no_stack(tmp_path: Path) -> None:
    write(tmp_path / "a.ig", chain(20_000), {})
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        loaded = read(tmp_path / "a.ig")
    finally:
        sys.setrecursionlimit(limit)
    assert len(loaded.program.functions["f"].graph.nodes) == 20_000


def test_literals_have_the_digest_that_the_program_states(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    message = program_of(files["attention"])
    assert message.literals[0].digest == hashlib.sha256(sections_of(files["attention"])[2]).digest()
    message.literals[0].digest = bytes(32)
    found = refusal(tmp_path / "a.ig", with_program(files["attention"], message))
    assert "canonical" in found
