"""`mhm forget --db FILE --thread ID`."""

from __future__ import annotations

import sys
from typing import Annotated

from typer import Option

from mhm_langgraph.cli.ask import MISTAKE, fail
from mhm_langgraph.errors import MHMError
from mhm_langgraph.forget import forget_thread

__all__ = ["forget"]


def forget(
    db: Annotated[str, Option(metavar="FILE", help="SQLite file that keeps threads.")],
    thread: Annotated[str, Option(metavar="ID", help="The memory to forget.")],
) -> int:
    """Delete a thread for good: its rows, and its text from the file."""
    try:
        freed = forget_thread(db, thread)
    except MHMError as error:
        return fail(MISTAKE, str(error))
    print(f"mhm: forgot thread {thread}; {db} is {freed:,} bytes smaller.", file=sys.stderr)
    return 0
