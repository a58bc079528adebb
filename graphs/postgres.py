"""Threads of the server in PostgreSQL: named in langgraph.json as `checkpointer.path`.

    "checkpointer": {"path": "./graphs/postgres.py:checkpointer"}

The address is read from MHM_CHECKPOINTS (`postgresql://USER@HOST/DATABASE`).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from mhm_langgraph import SettingsError

__all__ = ["checkpointer"]


@asynccontextmanager
async def checkpointer() -> AsyncIterator[AsyncPostgresSaver]:
    """The checkpointer, for as long as the server runs.

    Raises:
        SettingsError: No address is given.
    """
    address = os.environ.get("MHM_CHECKPOINTS")
    if not address:
        raise SettingsError("MHM_CHECKPOINTS is not set: give postgresql://USER@HOST/DATABASE.")
    async with AsyncPostgresSaver.from_conn_string(address) as saver:
        await saver.setup()
        yield saver
