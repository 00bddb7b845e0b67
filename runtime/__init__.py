"""Files, builds, devices and loaded models: everything needed to run a saved program."""

from intaglio.runtime.model import LoadedFunction, Model, load
from intaglio.runtime.settings import num_threads, set_num_threads

__all__ = ["LoadedFunction", "Model", "load", "num_threads", "set_num_threads"]
