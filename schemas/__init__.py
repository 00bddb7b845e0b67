"""The file format's protobuf schema and the Python module generated from it."""
