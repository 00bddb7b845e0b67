"""Datasets, samplers and loaders, under torch's names."""

from intaglio.data._collate import (
    default_collate as default_collate,
    default_convert as default_convert,
)
from intaglio.data._datasets import (
    ChainDataset as ChainDataset,
    ConcatDataset as ConcatDataset,
    Dataset as Dataset,
    IterableDataset as IterableDataset,
    StackDataset as StackDataset,
    Subset as Subset,
    TensorDataset as TensorDataset,
    random_split as random_split,
)
from intaglio.data._loader import DataLoader as DataLoader
from intaglio.data._samplers import (
    BatchSampler as BatchSampler,
    DistributedSampler as DistributedSampler,
    RandomSampler as RandomSampler,
    Sampler as Sampler,
    SequentialSampler as SequentialSampler,
    SubsetRandomSampler as SubsetRandomSampler,
    WeightedRandomSampler as WeightedRandomSampler,
)
from intaglio.data._workers import (
    WorkerInfo as WorkerInfo,
    get_worker_info as get_worker_info,
)
from intaglio.runtime.loading import LoadingError as LoadingError
