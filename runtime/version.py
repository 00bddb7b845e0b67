"""The version of intaglio, written into files and cache keys; pyproject.toml states the same."""

__version__ = "0.0.1"
