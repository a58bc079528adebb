"""What a bench was run with, and where: all that is needed to repeat it."""

from __future__ import annotations

import os
import platform
from dataclasses import fields
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from langchain_core.prompts import ChatPromptTemplate

from mhm_langgraph.errors import redact
from mhm_langgraph.evaluation.methods.prompts import (
    CLOSED_BOOK,
    CONCUR,
    RECALL_ANSWER,
    RECALL_UPDATE,
    WHOLE,
)
from mhm_langgraph.readers.prompts import PRESETS

__all__ = ["prompts_hash", "this_start"]

_PACKAGES = ("mhm-langgraph", "langgraph", "langchain-core", "langchain-openai")


def prompts_hash(preset: str) -> str:
    """A short name for all prompts that a bench may use: 16 hexadecimal digits.

    Args:
        preset: Their name, such as `standard`.

    Returns:
        The same name for the same words.
    """
    prompts = PRESETS[preset]
    parts = [getattr(prompts, field.name) for field in fields(prompts)]
    parts += [RECALL_UPDATE, RECALL_ANSWER, CONCUR, WHOLE[preset], CLOSED_BOOK]
    text = "\0".join(
        part.pretty_repr() if isinstance(part, ChatPromptTemplate) else str(part) for part in parts
    )
    return blake2b(text.encode(), digest_size=8).hexdigest()


def this_start(command: str, base_url: str | None, concurrency: int) -> dict[str, Any]:
    """When, where and with what the bench was started. Secrets are hidden.

    Args:
        command: The command line.
        base_url: Address of the model's server.
        concurrency: How many runs are under way at once.

    Returns:
        Plain values.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": redact(command),
        "base_url": None if base_url is None else redact(base_url),
        "concurrency": concurrency,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout
        return None
