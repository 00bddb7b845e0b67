"""`python -m intaglio`: the command line, where the `intaglio` script is not on the path."""

from intaglio.tools.cli import main

if __name__ == "__main__":
    main()
