"""Argument and result structures as messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from intaglio.compiler.errors import FormatError
from intaglio.compiler.ir import Structure
from intaglio.runtime.file import limits
from intaglio.runtime.file.errors import at_most, entry
from intaglio.schemas import program_pb2 as pb

_LEAF: Final = "*"
_NONE: Final = "None"


def encode(structure: Structure, string: Callable[[str], int], depth: int = 0) -> pb.Structure:
    """The message of a structure; `string` puts a text into the table."""
    at_most(depth, limits.STRUCTURE_DEPTH, "structure: nesting")
    match structure:
        case "*":
            return pb.Structure(kind=pb.Structure.LEAF)
        case "None":
            return pb.Structure(kind=pb.Structure.NONE)
        case ("tuple" | "list" as kind, parts):
            made = pb.Structure(kind=pb.Structure.TUPLE if kind == "tuple" else pb.Structure.LIST)
        case ("dict", keys, parts):
            made = pb.Structure(kind=pb.Structure.DICT, keys=[string(k) for k in keys])
        case _:
            raise FormatError(f"structure: {structure!r} can't be saved")
    made.parts.extend([encode(part, string, depth + 1) for part in parts])
    return made


def decode(
    made: pb.Structure, strings: list[str], field: str, depth: int = 0
) -> tuple[Structure, int]:
    """The structure that a message holds, and the number of its leaves."""
    at_most(depth, limits.STRUCTURE_DEPTH, f"{field}: nesting")
    kind = made.kind
    if made.parts and kind in (pb.Structure.LEAF, pb.Structure.NONE):
        raise FormatError(f"{field}: a leaf has parts")
    if len(made.keys) != (len(made.parts) if kind == pb.Structure.DICT else 0):
        raise FormatError(f"{field}.keys: {len(made.keys)} do not fit {len(made.parts)} parts")
    if kind == pb.Structure.LEAF:
        return _LEAF, 1
    if kind == pb.Structure.NONE:
        return _NONE, 0
    inner = [decode(part, strings, field, depth + 1) for part in made.parts]
    parts, leaves = tuple(part for part, _ in inner), sum(count for _, count in inner)
    if kind == pb.Structure.TUPLE:
        return ("tuple", parts), leaves
    if kind == pb.Structure.LIST:
        return ("list", parts), leaves
    if kind != pb.Structure.DICT:
        raise FormatError(f"{field}.kind: there is no kind {kind}")
    keys = tuple(entry(strings, k, f"{field}.keys") for k in made.keys)
    if len(set(keys)) != len(keys):
        raise FormatError(f"{field}.keys: a key stands twice")
    return ("dict", keys, parts), leaves
