"""Run the command line by `python -m stimpute.cli`."""

from stimpute.cli import main

main()
