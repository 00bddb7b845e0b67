"""`intaglio.data` at the place where torch has it."""

from intaglio.data import *  # noqa: F403  # it is the same module's names, whichever they are
