"""`python -m triagedesk` is the command line."""

from __future__ import annotations

import sys

from triagedesk.cli import main

if __name__ == "__main__":
    sys.exit(main())
