"""Processes that share the memory of tensors, under torch's names: Python's `multiprocessing`,
whose queues, pipes and arguments of processes carry tensors without copying them."""

from multiprocessing import *  # noqa: F403  # all of it, as in torch

from intaglio.multiprocessing._reductions import register as _register
from intaglio.multiprocessing._sharing import share_memory as share_memory
from intaglio.multiprocessing._spawn import (
    ProcessContext as ProcessContext,
    ProcessException as ProcessException,
    ProcessExitedException as ProcessExitedException,
    ProcessRaisedException as ProcessRaisedException,
    SpawnContext as SpawnContext,
    spawn as spawn,
    start_processes as start_processes,
)
from intaglio.multiprocessing._strategy import (
    get_all_sharing_strategies as get_all_sharing_strategies,
    get_sharing_strategy as get_sharing_strategy,
    set_sharing_strategy as set_sharing_strategy,
)

_register()
