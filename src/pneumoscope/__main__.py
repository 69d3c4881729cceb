"""Run the command line with ``python -m pneumoscope``."""

from pneumoscope.cli import command

if __name__ == "__main__":
    command()
