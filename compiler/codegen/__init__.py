"""Printers that spell the loop IR in C and in CUDA."""
