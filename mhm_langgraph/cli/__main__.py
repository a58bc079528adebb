"""`python -m mhm_langgraph.cli`."""

import sys

from mhm_langgraph.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    sys.exit(main())
