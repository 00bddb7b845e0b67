"""Random damage to files: bytes, and the structure of the program with every digest made to fit."""

import random
from collections.abc import Iterator

from google.protobuf.message import Message

from intaglio.runtime.file.header import SIZE
from intaglio.schemas import program_pb2 as pb
from tests.runtime.file.forge import program_of, with_program

_NUMBERS = (0, 1, 2, 3, 7, 63, 64, 1 << 16, (1 << 31) - 1, (1 << 32) - 1)


def bytes_changed(data: bytes, dice: random.Random) -> bytes:
    """The file with one to four changes: bits, bytes, runs, cuts, doubled and swapped pieces; half
    of them in the header and the table."""
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        at = dice.randrange(min(len(made), 2 * SIZE) if dice.random() < 0.5 else len(made))
        size = dice.choice((1, 2, 8, 64))
        match dice.randrange(7):
            case 0:
                made[at] ^= 1 << dice.randrange(8)
            case 1:
                made[at] = dice.randrange(256)
            case 2:
                made[at : at + size] = dice.randbytes(size)
            case 3:
                del made[at : at + size]
            case 4:
                made[at:at] = made[at : at + size]
            case 5:
                made[at : at + size] = bytes(size)
            case _:
                other = dice.randrange(len(made))
                made[at : at + size], made[other : other + size] = (
                    made[other : other + size],
                    made[at : at + size],
                )
        if not made:
            return b""
    return bytes(made)


def program_changed(data: bytes, dice: random.Random) -> bytes:
    """The file with one to three changes to numbers, texts, lists and messages of its program."""
    message = program_of(data)
    for _ in range(dice.choice((1, 1, 2, 3))):
        places = list(_places(message))
        owner, field = dice.choice(places)
        _change(owner, field, dice, message)
    return with_program(data, message)


def _places(message: Message) -> Iterator[tuple[Message, object]]:
    """Every field that is set, in every message inside."""
    for field, value in message.ListFields():
        yield message, field
        if field.message_type is not None:
            inner = [value] if isinstance(value, Message) else value
            for part in inner:
                yield from _places(part)


def _change(owner: Message, field, dice: random.Random, whole: pb.Program) -> None:
    value = getattr(owner, field.name)
    if isinstance(value, Message):
        owner.ClearField(field.name) if dice.random() < 0.5 else getattr(owner, field.name).Clear()
    elif hasattr(value, "append") or hasattr(value, "add"):
        _change_list(value, field, dice, whole)
    else:
        _set(owner, field.name, _other(value, dice, whole))


def _change_list(items, field, dice: random.Random, whole: pb.Program) -> None:
    if not len(items):
        return
    at = dice.randrange(len(items))
    match dice.randrange(4):
        case 0:
            del items[at]
        case 1:
            items.append(items[at])
        case 2 if len(items) > 1:
            other = dice.randrange(len(items))
            if field.message_type is not None:
                kept = type(items[at])()
                kept.CopyFrom(items[at])
                items[at].CopyFrom(items[other])
                items[other].CopyFrom(kept)
            else:
                items[at], items[other] = items[other], items[at]
        case _:
            if field.message_type is not None:
                items.add()
            else:
                try:
                    items[at] = _other(items[at], dice, whole)
                except (ValueError, TypeError):
                    items[at] = 0


def _other(value, dice: random.Random, whole: pb.Program):
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        texts = [*whole.strings, "", value * 2, "\x00", "__class__", "f64", "optimizer"]
        return dice.choice(texts)
    if isinstance(value, bytes):
        return dice.choice((b"", value + b"\0", value[:-1], dice.randbytes(len(value))))
    near = value + dice.choice((-2, -1, 1, 2))
    return dice.choice((near, near, -value, dice.choice(_NUMBERS), 1 << dice.randrange(64)))


def _set(owner: Message, name: str, value) -> None:
    try:
        setattr(owner, name, value)
    except (ValueError, TypeError):  # outside the field's range
        setattr(owner, name, type(value)())
