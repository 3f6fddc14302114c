"""`python -m regrow`."""

import sys

from regrow_companion.cli import main

if __name__ == "__main__":
    sys.exit(main())
