"""The command line: thin wrappers that parse arguments, call and print."""
