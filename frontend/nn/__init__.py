"""Modules and functions from which models are built, under torch's names."""
