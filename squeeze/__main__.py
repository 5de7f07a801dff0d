"""`python -m squeeze` is the command line."""

from squeeze.cli import main

main()
