"""``python -m pneumoscope`` is the command ``pneumoscope``."""

import sys

from pneumoscope.cli import main

if __name__ == "__main__":
    sys.exit(main())
