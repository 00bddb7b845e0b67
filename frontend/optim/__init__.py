"""Optimizers with torch's names and arguments; every number they use is state that a saved program
keeps."""

from intaglio.optim import lr_scheduler, swa_utils
from intaglio.optim._adam import Adam, AdamW
from intaglio.optim._optimizer import Optimizer
from intaglio.optim._sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler", "swa_utils"]
