"""The command line: `mhm ask SOURCE -q QUESTION`, `mhm inspect --db FILE`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_MISTAKE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments, None for those of the process.

    Returns:
        The exit code: 0; 1, the reader failed; 2, the user's mistake; 130, interrupted. A reading that
        is interrupted ends the process itself.
    """
    try:
        from mhm_langgraph.cli.program import run
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print('mhm: the command line needs its extra: pip install "mhm-langgraph[cli]"', file=sys.stderr)
        return _MISTAKE
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")  # a narrow encoding must not lose the answer
    return run(argv)
