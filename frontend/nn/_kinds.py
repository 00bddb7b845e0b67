"""The error for an argument of the wrong Python type, where torch raises a `TypeError`."""

from __future__ import annotations

from intaglio.compiler.errors import Error


class KindError(Error, TypeError):
    """An argument whose Python type is not taken."""


def check_kind(where: str, value: object, kind: type, wanted: str) -> None:
    """Refuse a value that is no instance of `kind`."""
    if not isinstance(value, kind):
        many = where == "Sequential" and isinstance(value, list)
        remedy = ": write Sequential(*modules)" if many else ""
        raise KindError(f"{where} takes {wanted}, not {type(value).__name__}{remedy}")
