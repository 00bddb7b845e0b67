"""Optimizers with torch's names and arguments; every number they use is state that a saved program
keeps."""

from intaglio.optim import functional, lr_scheduler, optimizer, swa_utils
from intaglio.optim._adafactor import Adafactor
from intaglio.optim._adam import Adam, AdamW
from intaglio.optim._adam_like import Adamax, Lion, NAdam, RAdam
from intaglio.optim._adaptive import Adadelta, Adagrad, RMSprop
from intaglio.optim._averaged import ASGD, Rprop
from intaglio.optim._lbfgs import LBFGS
from intaglio.optim._muon import Muon
from intaglio.optim._optimizer import Optimizer
from intaglio.optim._sgd import SGD
from intaglio.optim._sparse import SparseAdam

__all__ = [
    "ASGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LBFGS",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "SparseAdam",
    "functional",
    "lr_scheduler",
    "optimizer",
    "swa_utils",
]
