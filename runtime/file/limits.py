"""What a program in a file may at most hold: caps that no real model meets, so that a small file
can't ask for much memory or time."""

from __future__ import annotations

from typing import Final

ABOUT_BYTES: Final = 16 << 20
PROGRAM_BYTES: Final = 32 << 20
FIELDS: Final = 1 << 20
"""Encoded fields of a message, nested ones included; a packed list is one."""
MESSAGES: Final = 1 << 19
"""Encoded submessages: the parser takes about 110 bytes for each, however empty."""
PACKED_BYTES: Final = 8 << 20
TEXT_BYTES: Final = 1 << 16
METADATA_TEXT_BYTES: Final = 1 << 20

TABLES: Final = {
    "strings": 1 << 18,
    "sizes": 1 << 14,
    "types": 1 << 16,
    "literals": 1 << 16,
    "graphs": 1 << 14,
    "state": 1 << 16,
    "functions": 1 << 10,
}
"""Entries of the tables that are read whole."""
NODES: Final = 1 << 19
"""Nodes of all functions, blocks counted as often as they are used, and nodes with many different
sizes as what they cost."""
OPERANDS: Final = 1 << 12
"""Operands, and results, of one node."""
CONSTRAINTS: Final = 1 << 10
"""Relations between sizes of one graph; those its types rest on are looked for among them."""
BLOCK_DEPTH: Final = 64
STRUCTURE_DEPTH: Final = 32
ATTRIBUTE_DEPTH: Final = 16

RANK: Final = 32
"""The dimensions that every supported NumPy can hold."""
INLINE_LITERAL_BYTES: Final = 64
SIZE_TEXT: Final = 1 << 10
"""Characters of one size as dumps print it; bounds what arithmetic on it can cost."""
SIZE_TERMS: Final = 64
SIZE_ATOMS: Final = 64
ALL_SIZE_TERMS: Final = 1 << 14
SHAPE_TERMS: Final = 1 << 8
"""Terms of the product of a shape's sizes."""
