"""``python -m pneumoscope`` is the command ``pneumoscope``."""

from pneumoscope.cli import command

if __name__ == "__main__":
    command()
