"""The model file: its layout, its encoding, its validation."""
