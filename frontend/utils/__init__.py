"""Helpers under torch's names: `utils.data` is `intaglio.data`."""
