"""The tables that a program's graphs and functions refer to, read and checked before them."""

from __future__ import annotations

from intaglio.compiler.dtypes import dtype_named
from intaglio.compiler.errors import DTypeError, FormatError
from intaglio.compiler.ir import Literal
from intaglio.compiler.op import OPS, Op
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places, Where
from intaglio.runtime.file import limits
from intaglio.runtime.file.errors import at_most, entry, shown
from intaglio.runtime.file.literals import Array, static_bytes, tensors
from intaglio.runtime.file.sizes import SizeReader, check_bytes
from intaglio.schemas import program_pb2 as pb


class Tables:
    """Strings, sizes, types, large literals, ops and places of a program, by index.

    `raw` (u8[n]) is the literal section. An op of an older version has it in `versions`; its
    attributes are upgraded when its nodes are read."""

    def __init__(self, table: pb.Program, raw: Array) -> None:
        self.strings = _strings(table)
        self.sizes = SizeReader(table, self.strings)
        self.types = [self._type(made, f"types[{k}]") for k, made in enumerate(table.types)]
        self.literals = self._literals(table, raw)
        self.ops, self.versions = self._ops(table)
        self.wheres = self._wheres(table, self._places(table))

    @property
    def upgraded(self) -> bool:
        """Whether an op is of an older version than the one that is written today."""
        return any(op.version != v for op, v in zip(self.ops, self.versions, strict=True))

    def string(self, index: int, field: str) -> str:
        """The text of this index."""
        return entry(self.strings, index, field)

    def type(self, index: int, field: str) -> TensorType:
        """The type of this index."""
        return entry(self.types, index, field)

    def _type(self, made: pb.Type, field: str) -> TensorType:
        name = self.string(made.dtype, f"{field}.dtype")
        try:
            dtype = dtype_named(name)
        except DTypeError as error:
            raise FormatError(f"{field}.dtype: {error}") from None
        shape = self.sizes.shape(list(made.shape), f"{field}.shape")
        check_bytes(shape, dtype.size, field)
        return TensorType(dtype, shape)

    def _literals(self, table: pb.Program, raw: Array) -> list[Literal]:
        types = [self.type(m.type, f"literals[{k}].type") for k, m in enumerate(table.literals)]
        for k, type in enumerate(types):
            length = static_bytes(type, f"literals[{k}]")
            if length <= limits.INLINE_LITERAL_BYTES:
                raise FormatError(f"literals[{k}]: its {length} bytes belong to the node")
        return [Literal(array) for array in tensors(raw, types, "literals")]

    def _ops(self, table: pb.Program) -> tuple[list[Op], list[int]]:
        if len(table.op_names) != len(table.op_versions):
            raise FormatError("op_versions: not one for each op")
        found = []
        for k, (index, version) in enumerate(zip(table.op_names, table.op_versions, strict=True)):
            name = self.string(index, f"op_names[{k}]")
            op = OPS.get(name)
            if op is None and "::" in name:
                raise FormatError(
                    f"op_names[{k}]: the model uses the op {shown(name)}, version {version}, which"
                    " is its author's own: import the code that defines it before loading, and"
                    " pass it: load(path, ops=[...]); on the command line: --ops FILE.py"
                )
            if op is None:
                raise FormatError(f"op_names[{k}]: there is no op called {shown(name)} here")
            if version > op.version and "::" in name:
                raise FormatError(
                    f"op_versions[{k}]: {shown(name)} is of version {version}, the code imported"
                    f" here defines version {op.version}"
                )
            if version > op.version:
                raise FormatError(
                    f"op_versions[{k}]: {name} is of version {version}, this intaglio knows it up"
                    f" to version {op.version}; install a newer intaglio"
                )
            found.append(op)
        return found, list(table.op_versions)

    def _places(self, table: pb.Program) -> list[Where]:
        columns = (table.place_files, table.place_lines, table.place_scopes, table.place_gradients)
        if len({len(column) for column in columns}) != 1:
            raise FormatError("place_lines: the columns of places differ in length")
        if columns[0]:
            self.string(max(table.place_files), "place_files")
            self.string(max(table.place_scopes), "place_scopes")
        strings = self.strings
        return [
            Where(strings[file], line, strings[scope], gradient)
            for file, line, scope, gradient in zip(*columns, strict=True)
        ]

    def _wheres(self, table: pb.Program, places: list[Where]) -> list[Places]:
        flat = list(table.where_places)
        if sum(table.where_lengths) != len(flat):
            raise FormatError("where_lengths: do not add up to the number of where_places")
        if flat:
            entry(places, max(flat), "where_places")
        found, at = [], 0
        for length in table.where_lengths:
            found.append(tuple([places[k] for k in flat[at : at + length]]))
            at += length
        return found


def _strings(table: pb.Program) -> list[str]:
    strings = list(table.strings)
    for k, text in enumerate(strings):
        at_most(len(text.encode()), limits.TEXT_BYTES, f"strings[{k}]: bytes")
    return strings
