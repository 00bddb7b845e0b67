"""Datasets, samplers and loaders, under torch's names."""
