"""Run the command line: ``python -m onnxtop``."""

from onnxtop.cli import main

main()
