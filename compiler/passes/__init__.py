"""Rewrites from graph to graph, one to a file."""
