"""From a model's reply to head text: what is not text goes, and the rest is held to its budget."""

from __future__ import annotations

import re

from langchain_core.messages import AIMessage

from mhm_langgraph.state import Usage

__all__ = ["clean", "head_number", "usage_of", "was_cut", "was_filtered"]

_REASONING = r"think|thinking|thought|reasoning|reflection"
_THOUGHT = re.compile(rf"(?is)<({_REASONING})\b[^>]*>.*?</\1\s*>")
_THOUGHT_END = re.compile(rf"(?is)^.*</(?:{_REASONING})\s*>")
_THOUGHT_START = re.compile(rf"(?is)<(?:{_REASONING})\b[^>]*>.*$")
_FENCE = re.compile(r"(?s)^(`{3,}|~{3,})[^\n`]*\n(.*?)\n?[ \t]*\1$")
_TAG = re.compile(r"(?i)^</?\s*(?:head_?\d*|answer|memory)\s*>|</?\s*(?:head_?\d*|answer|memory)\s*>$")
_LABEL = re.compile(
    r"(?i)^[*#_ \t]*(?:(?:the\s+)?(?:new|updated|rewritten|revised)\s+)?(?:text\s+of\s+)?"
    r"(?:head[_ ]?\d+|(?:new|updated|rewritten|revised)\s+(?:head|text|memory))[*_ \t]*(?::[*_ \t]*\n?|\n)"
)
_ANSWER_LABEL = re.compile(r"(?i)^[*#_ \t]*(?:final\s+)?answer[*_ \t]*:[*_ \t]*")
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
    text = _THOUGHT.sub("", _UNSTORABLE.sub("\ufffd", text))
    # A chat template may have eaten the opening tag, or the limit the closing one.
    text = _THOUGHT_START.sub("", _THOUGHT_END.sub("", text)).strip()
    if fenced := _FENCE.match(text):
        text = fenced[2].strip()
    if head is not None:
        # A model that writes out every head meant this one's block for it.
        block = re.search(rf"(?is)<head_{head}>(.*?)(?:</head_{head}>|$)", text)
        text = block[1].strip() if block else text
    label = _ANSWER_LABEL if head is None else _LABEL
    before = None
    while text != before:
        before = text
        text = label.sub("", _TAG.sub("", text), count=1).strip()
    return text


def head_number(text: str, heads: int) -> int | None:
    """The first number in a reply that is the index of a head; None where there is none."""
    numbers = (int(number) for number in re.findall(r"\d+", clean(text)))
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
