"""The base of the optimizers and the hooks of all of them, under torch's module name."""

from intaglio.optim._hooks import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from intaglio.optim._optimizer import Optimizer

__all__ = [
    "Optimizer",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
]
