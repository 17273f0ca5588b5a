"""`python -m arctl` is `arctl`."""

import sys

from arctl.cli import main

if __name__ == "__main__":
    sys.exit(main())
