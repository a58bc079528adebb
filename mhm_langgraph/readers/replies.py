"""From a model's reply to head text: what is not text goes, and the rest is held to its budget."""

from __future__ import annotations

import re

from langchain_core.messages import AIMessage

from mhm_langgraph.state import Usage

__all__ = ["clean", "head_number", "usage_of", "was_cut", "was_filtered", "without_reasoning"]

# No pattern here may take more than linear time: small models end in loops of one tag or label.
_THOUGHT = re.compile(r"(?i)<(/?)(?:think|thinking|thought|reasoning|reflection)(?:\s[^<>]*)?>")
_FENCE = re.compile(r"(`{3,}|~{3,})[^\n`]*\n")
_TAG = r"</?\s*(?:head_?\d*|answer|memory)\s*>"
_HEAD_LABEL = (
    r"[*#_ \t]*(?:(?:the\s+)?(?:new|updated|rewritten|revised)\s+)?(?:text\s+of\s+)?"
    r"(?:head[_ ]?\d+|(?:new|updated|rewritten|revised)\s+(?:head|text|memory))[*_ \t]*(?::[*_ \t]*\n?|\n)"
)
_ANSWER_LABEL = r"[*#_ \t]*(?:final\s+)?answer[*_ \t]*:[*_ \t]*"
_BEFORE_HEAD, _BEFORE_ANSWER = (
    re.compile(rf"(?i)(?:(?:{_TAG}|{label})\s*)*") for label in (_HEAD_LABEL, _ANSWER_LABEL)
)
_LAST_TAG = re.compile(f"(?i){_TAG}")
_CUT_REASONS = {"length", "max_tokens", "model_length", "max_output_tokens"}
_FILTER_REASONS = {
    *("content_filter", "content_filtered", "guardrail_intervened", "refusal", "safety", "recitation"),
    *("blocklist", "prohibited_content", "spii"),
}
# Half a surrogate pair can not be encoded, and PostgreSQL stores no NUL: either would stop the run.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def clean(text: str, head: int | None = None) -> str:
    r"""A reply without reasoning blocks, code fence, and the prompt's own labels.

    Args:
        text: The reply.
        head: Index of the head it is for; None for an answer.

    Returns:
        The text alone, empty where nothing else was in the reply.

    Example:
        >>> clean("<think>Which one?</think>```\n<head_2>\nAhab lost a leg.\n</head_2>\n```", 2)
        'Ahab lost a leg.'
    """
    text, before = _UNSTORABLE.sub("\ufffd", text), None
    while text != before:  # one wrapping may stand within another
        before = text
        text = _without_labels(_without_fence(without_reasoning(text).strip()), head)
    return text


def without_reasoning(text: str) -> str:
    """A reply without its reasoning blocks.

    A chat template may have eaten the first opening tag, or the limit the last closing one.

    Example:
        >>> without_reasoning("Or this one?</think>That one.<think>Was that")
        'That one.'
    """
    kept: list[str] = []
    start, inside = 0, False
    for tag in _THOUGHT.finditer(text):
        closes = bool(tag[1])
        if closes and not inside:
            kept.clear()
        elif not inside:
            kept.append(text[start : tag.start()])
        start, inside = tag.end(), not closes
    return "".join(kept if inside else [*kept, text[start:]])


def _without_fence(text: str) -> str:
    while (fence := _FENCE.match(text)) and text.endswith(fence[1]):
        text = text[fence.end() : -len(fence[1])].strip()
    return text


def _without_labels(text: str, head: int | None) -> str:
    """A text without the tags and labels around it, and without other heads beside the own one."""
    if head is not None:
        # A model that writes out every head meant this one's block for it.
        block = re.search(rf"(?is)(?:<head_{head}>\s*)+(.*?)(?:</?head_{head}>|\Z)", text)
        text = block[1] if block else text
    before = _BEFORE_ANSWER if head is None else _BEFORE_HEAD
    text = before.sub("", text.strip(), count=1).strip()
    while tag := _LAST_TAG.fullmatch(text, max(0, text.rfind("<"))):
        text = text[: tag.start()].rstrip()
    return text


def head_number(text: str, heads: int) -> int | None:
    """The first number in a reply that is the index of a head; None where there is none."""
    # No memory has more than 1,024 heads, and Python reads no number of more than 4,300 digits.
    numbers = map(int, re.findall(r"(?<!\d)\d{1,4}(?!\d)", without_reasoning(text)))
    return next((number for number in numbers if number < heads), None)


def was_cut(message: AIMessage) -> bool:
    """Whether the model stopped because of a limit, in any of the providers' words."""
    return not _CUT_REASONS.isdisjoint(_stop_reasons(message))


def was_filtered(message: AIMessage) -> bool:
    """Whether a content filter stopped the model, in any of the providers' words."""
    return not _FILTER_REASONS.isdisjoint(_stop_reasons(message))


def _stop_reasons(message: AIMessage) -> set[str]:
    metadata = message.response_metadata
    details = metadata.get("incomplete_details")
    reasons = [metadata.get(key) for key in ("finish_reason", "stop_reason", "stopReason", "done_reason")]
    reasons += [details.get("reason")] if isinstance(details, dict) else []
    return {str(reason).lower() for reason in reasons}


def usage_of(message: AIMessage) -> Usage:
    """What one call cost, as the model reports it; 0 tokens where it reports nothing."""
    reported = getattr(message, "usage_metadata", None)  # a reply of an unknown role has none
    return Usage(
        input_tokens=reported["input_tokens"] if reported else 0,
        output_tokens=reported["output_tokens"] if reported else 0,
        calls=1,
    )
