"""Optimizers and learning-rate schedules, under torch's names."""
