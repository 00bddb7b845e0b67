"""Decisions about how a kernel is computed: tiles, vectors, threads, unrolling."""
