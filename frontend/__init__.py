"""intaglio: trace a model into one file that runs, trains and explains itself."""
