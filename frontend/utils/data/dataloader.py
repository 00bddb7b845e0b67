"""The loader and collate, at the place where torch has them."""

from intaglio.data import (
    DataLoader as DataLoader,
    default_collate as default_collate,
    default_convert as default_convert,
    get_worker_info as get_worker_info,
)
