"""Processes that share the memory of tensors, under torch's names."""
