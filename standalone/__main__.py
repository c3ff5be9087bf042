"""The command line of the installed package, in which the root of the repository has no place."""

import sys

from .model_files.cli import main

if __name__ == "__main__":
    sys.exit(main())
