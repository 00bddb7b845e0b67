"""Files, builds, devices and loaded models: everything needed to run a saved program."""
