"""``python -m pneumoscope`` is the command ``pneumoscope``."""

from pneumoscope.cli import main

if __name__ == "__main__":
    main()
