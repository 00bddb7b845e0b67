"""Graphs in, graphs or text out: the IR, the ops, the passes and the code printers."""
