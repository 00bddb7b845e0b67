"""intaglio: trace a model into one file that runs, trains, resumes and explains itself.

The root is lazy: a name is imported from its home module on first use, since a server that imports
only `intaglio.runtime` executes this file too and should load nothing else of the front end.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what type checkers see: written from the table below by
    # pytest tests/project/test_root.py --update-golden

    from intaglio import (
        data as data,
        nn as nn,
        optim as optim,
    )
    from intaglio.compiler.dims import Dim as Dim
    from intaglio.compiler.dtypes import (
        bfloat16 as bfloat16,
        float16 as float16,
        float32 as float32,
        float64 as float64,
        int8 as int8,
        int16 as int16,
        int32 as int32,
        int64 as int64,
        uint8 as uint8,
        uint32 as uint32,
    )
    from intaglio.compiler.errors import (
        ArgumentError as ArgumentError,
        CompileError as CompileError,
        DTypeError as DTypeError,
        DeviceError as DeviceError,
        Error as Error,
        FormatError as FormatError,
        GradientError as GradientError,
        IndexError as IndexError,
        InterruptedError as InterruptedError,
        MemoryError as MemoryError,
        MissingExtra as MissingExtra,
        ShapeError as ShapeError,
        TraceError as TraceError,
        VerifyError as VerifyError,
    )
    from intaglio.runtime.version import __version__ as __version__

# Home module -> the public names that it gives to the root.
_NAMES: dict[str, str] = {
    "intaglio.compiler.dims": "Dim",
    "intaglio.compiler.dtypes": """
        bfloat16 float16 float32 float64 int8 int16 int32 int64 uint8 uint32""",
    "intaglio.compiler.errors": """
        ArgumentError CompileError DTypeError DeviceError Error FormatError GradientError IndexError
        InterruptedError MemoryError MissingExtra ShapeError TraceError VerifyError""",
    "intaglio.runtime.version": "__version__",
}
_SUBMODULES = ("data", "nn", "optim")

_HOME = {name: home for home, names in _NAMES.items() for name in names.split()}


if not TYPE_CHECKING:  # type checkers would take it as a promise that any name exists

    def __getattr__(name: str) -> object:
        """Import a public name or submodule on first use, and keep it: this runs once for each."""
        if name in _HOME:
            value = getattr(import_module(_HOME[name]), name)
        elif name in _SUBMODULES:
            value = import_module(f"intaglio.{name}")
        else:
            raise AttributeError(f"module 'intaglio' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """All public names, whether or not they are imported yet."""
    return sorted({*_HOME, *_SUBMODULES})
