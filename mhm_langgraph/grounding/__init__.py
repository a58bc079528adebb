"""Grounded writes: what a reply asserts is looked up in what the reader was shown. No model call."""

from mhm_langgraph.grounding.replies import grounded
from mhm_langgraph.grounding.rules import (
    RULES,
    Evidence,
    Grounded,
    GroundingRule,
    ground,
    names,
    resolve_rule,
    verbatim,
)

__all__ = [
    "RULES",
    "Evidence",
    "Grounded",
    "GroundingRule",
    "ground",
    "grounded",
    "names",
    "resolve_rule",
    "verbatim",
]
