"""Replies of a reader, held to the grounding rule in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mhm_langgraph.grounding.rules import RULES, Evidence, GroundingRule, ground, without
from mhm_langgraph.readers.base import Reply, UpdateRequest
from mhm_langgraph.recall import Recalled
from mhm_langgraph.settings import Settings
from mhm_langgraph.state import Head

__all__ = ["grounded"]


def grounded(
    request: UpdateRequest,
    reply: Reply,
    heads: Sequence[Head],
    settings: Settings,
    own: GroundingRule | None,
    recalled: Sequence[Recalled] | None = None,
) -> Reply:
    """A reply with its unsupported sentences told, or taken out.

    Args:
        request: What the reader was asked: what it was shown is what its reply may draw on.
        reply: What it gave back.
        heads: The memory as the reader saw it; sentences flagged there count for nothing.
        settings: The settings in force.
        own: The user's own rule, which stands unless a run's context names another.
        recalled: What the reader saw of what heads held before; sentences flagged then count for nothing.

    Returns:
        The reply as it was with `grounding="off"`; else with `unsupported`, and with `reject` without
        those sentences. Where nothing is left its text is empty, so that the head keeps its own.
    """
    if settings.grounding == "off" or not reply.text:
        return reply
    named = own is None or "grounding_rule" in settings.model_fields_set
    rule = RULES[settings.grounding_rule] if named or own is None else own
    memory = [without(head["text"], head.get("unsupported", ())) for head in heads]
    memory += [without(found["text"], found.get("unsupported", ())) for found in recalled or ()]
    found = ground(reply.text, Evidence(request.chunk, memory, request.question or ""), rule)
    if settings.grounding == "flag":
        return replace(reply, unsupported=found.unsupported)
    return replace(reply, text=found.kept, unsupported=found.unsupported, rejected=True)
