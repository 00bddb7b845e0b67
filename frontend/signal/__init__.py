"""Signals: windows for the ends of a finite stretch. Names as in torch."""

from intaglio.signal import windows as windows
