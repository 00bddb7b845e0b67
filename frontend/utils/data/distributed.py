"""The sampler of several processes, at the place where torch has it."""

from intaglio.data import DistributedSampler as DistributedSampler
