"""From messages to text: which belong together, which may be read, and how they look in a chunk. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from mhm_langgraph.sources import Budget
from mhm_langgraph.tokens import TokenCounter

__all__ = ["Portion", "blocks", "message_text", "portions", "readable"]


@dataclass(frozen=True)
class Portion:
    """A chunk of conversation.

    Args:
        text: The messages as text.
        span: `[first, end]` of their numbers; messages are numbered in the order of their reading.
        messages: Those whose text is complete with it: the rest of a split message is still to come.
    """

    text: str
    span: list[int]
    messages: tuple[BaseMessage, ...]


def blocks(messages: Sequence[BaseMessage]) -> list[range]:
    """The smallest runs of messages between which a conversation may be cut.

    A tool call and its results are in one run, whatever stands between them, and so are parallel calls.
    Results that nobody asked for go with what is before them. Calls that are still waiting for a result
    reach past the end, since their results will come.

    Args:
        messages: The conversation.

    Returns:
        Ranges of indices that cover it in order; the last may reach past the end.

    Example:
        >>> call = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}])
        >>> found = ToolMessage("a ship", tool_call_id="1")
        >>> blocks([HumanMessage("Look!"), call, found, AIMessage("A ship.")])
        [range(0, 1), range(1, 3), range(3, 4)]
    """
    ends = _ends(messages)
    found: list[range] = []
    start = 0
    while start < len(messages):
        end, at = ends[start], start + 1
        while at < len(messages) and (at < end or _follows(messages, at)):
            end = max(end, ends[at])
            at += 1
        found.append(range(start, end))
        start = end
    return found


def _follows(messages: Sequence[BaseMessage], index: int) -> bool:
    """Whether a message is a result that goes with what is before it, unless that is an instruction."""
    return isinstance(messages[index], ToolMessage) and not isinstance(messages[index - 1], SystemMessage)


def _ends(messages: Sequence[BaseMessage]) -> list[int]:
    """For each message, where what belongs with it ends."""
    ends = list(range(1, len(messages) + 1))
    caller: dict[str, int] = {}  # who called last under an id: some providers use ids again
    waiting: dict[int, set[str]] = {}
    for index, message in enumerate(messages):
        if isinstance(message, AIMessage):
            waiting[index] = _call_ids(message)
            caller |= dict.fromkeys(waiting[index], index)
        elif isinstance(message, ToolMessage) and message.tool_call_id in caller:
            owner = caller[message.tool_call_id]
            ends[owner] = index + 1
            waiting[owner].discard(message.tool_call_id)
    last = len(messages) - 1
    while last > 0 and isinstance(messages[last], ToolMessage):
        last -= 1
    if waiting.get(last):  # older calls without a result were given up
        ends[last] = len(messages) + 1
    return ends


def _call_ids(message: AIMessage) -> set[str]:
    return {call["id"] for call in [*message.tool_calls, *message.invalid_tool_calls] if call["id"]}


def readable(messages: Sequence[BaseMessage], cut: int, *, pin_first: bool = False) -> list[range]:
    """What may be read, and so leave the conversation, where all from `cut` on is to stay.

    What stays besides: system messages at the beginning; the user's message of the turn that is under
    way, however long its tool loop has become; the user's first message, where it is pinned. And no
    more than needed is read, so that what stays goes on beginning with a user's message, as some models
    demand.

    Args:
        messages: The conversation.
        cut: Index from which on every message stays.
        pin_first: Whether the user's first message stays.

    Returns:
        Ranges of indices, in order.

    Example:
        >>> talk = [HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("Bye"), AIMessage("Bye")]
        >>> readable(talk, 3), readable(talk, 3, pin_first=True)
        ([range(0, 1), range(1, 2)], [range(1, 2)])
    """
    runs = blocks(messages)
    cut = max((run.start for run in runs if run.start <= cut), default=0)
    users = [index for index, message in enumerate(messages) if isinstance(message, HumanMessage)]
    stays = set(range(_instructions(messages)))
    if pin_first:
        stays.update(users[:1])
    opening = max((index for index in users if index <= cut), default=cut)
    if opening == cut or opening != users[-1]:
        cut = opening
    else:
        stays.add(opening)
    return [run for run in runs if run.stop <= cut and stays.isdisjoint(run)]


def _instructions(messages: Sequence[BaseMessage]) -> int:
    """How many system messages stand at the beginning."""
    others = (index for index, message in enumerate(messages) if not isinstance(message, SystemMessage))
    return next(others, len(messages))


def portions(
    runs: Sequence[Sequence[BaseMessage]], first: int, limit: int, count: TokenCounter
) -> Iterator[Portion]:
    """Messages packed into chunks: in order, each message's text exactly once, whatever its size.

    Args:
        runs: Runs of messages that belong together; one is split only where it fits no chunk.
        first: Number of the first message.
        limit: Size of a chunk, in tokens.
        count: The token counter.

    Yields:
        The chunks.

    Example:
        >>> talk = [[HumanMessage("I live in Lisbon.")], [AIMessage("Noted.")]]
        >>> for portion in portions(talk, 7, 100, len):
        ...     print(portion.span, portion.text)
        [7, 9] #7 user: I live in Lisbon.
        <BLANKLINE>
        #8 assistant: Noted.
    """
    filled: list[_Said] = []
    for run in _numbered(runs, first, count):
        whole = sum(said.tokens for said in run) <= limit
        for group in [run] if whole else [[said] for said in run]:
            tokens = sum(said.tokens for said in group)
            if filled and sum(said.tokens for said in filled) + tokens > limit:
                yield _portion(filled)
                filled = []
            if tokens > limit:
                yield from _split(group[0], limit, count)
            else:
                filled += group
    if filled:
        yield _portion(filled)


@dataclass(frozen=True)
class _Said:
    """A message as a chunk shows it."""

    message: BaseMessage
    number: int
    text: str
    tokens: int


def _numbered(
    runs: Sequence[Sequence[BaseMessage]], first: int, count: TokenCounter
) -> Iterator[list[_Said]]:
    for run in runs:
        said = [(message, number, _line(message, number)) for number, message in enumerate(run, first)]
        yield [_Said(*parts, count(parts[2]) + 1) for parts in said]  # and the blank line after it
        first += len(run)


def _portion(said: Sequence[_Said]) -> Portion:
    span = [said[0].number, said[-1].number + 1]
    return Portion("\n\n".join(part.text for part in said), span, tuple(part.message for part in said))


def _split(said: _Said, limit: int, count: TokenCounter) -> Iterator[Portion]:
    """One message over several chunks, each of which says whose words it holds."""
    rest, mark = message_text(said.message), ""
    span = [said.number, said.number + 1]
    while rest:
        room = max(1, limit - count(_line(said.message, said.number, "", mark)) - 1)
        end, text = _part_of(said, rest, mark, room, count)
        while count(text) > limit and room > 1:  # lines are indented, which takes room too
            room = max(1, min(room - 1, room * limit // count(text)))
            end, text = _part_of(said, rest, mark, room, count)
        rest, mark = rest[end:], " (continued)"
        yield Portion(text, span, () if rest else (said.message,))


def _part_of(said: _Said, rest: str, mark: str, room: int, count: TokenCounter) -> tuple[int, str]:
    """The next part of a message: how many characters of the rest it takes, and how it looks."""
    end = Budget(room, count).cut(rest, more=False)
    return end, _line(said.message, said.number, rest[:end], mark)


def _line(message: BaseMessage, number: int, text: str | None = None, mark: str = "") -> str:
    """A message under its number and role. Further lines are indented: none can pass for a message."""
    lines = (message_text(message) if text is None else text).splitlines()
    return f"#{number} {_role(message)}{mark}: " + "\n  ".join(lines)


def _role(message: BaseMessage) -> str:
    if isinstance(message, ToolMessage):
        failed = " (failed)" if message.status == "error" else ""
        return f"tool {_one_line(message.name or '')}".rstrip() + failed
    known = {"human": "user", "ai": "assistant"}
    role = str(getattr(message, "role", known.get(message.type, message.type)))
    return _one_line(f"{role} {message.name}" if message.name else role)


def message_text(message: BaseMessage) -> str:
    r"""What a message says, as text.

    Text as it is; tool calls with their arguments; images, sound and files by kind, name or address.
    A model's reasoning is left out: nobody was told it.

    Args:
        message: Any message.

    Returns:
        The text, never empty.

    Example:
        >>> call = {"name": "look", "args": {"to": "sea"}, "id": "1"}
        >>> message_text(AIMessage("Looking.", tool_calls=[call]))
        'Looking.\ncalls look({"to": "sea"})'
    """
    parts = [message.content] if isinstance(message.content, str) else map(_part, message.content_blocks)
    calls: list[Any] = []
    if isinstance(message, AIMessage):
        calls = [*message.tool_calls, *message.invalid_tool_calls]
    return "\n".join(filter(None, [*parts, *map(_call, calls)])) or "(nothing)"


def _part(part: Any) -> str:
    """One part of a message's content."""
    kind = part.get("type", "part")
    if kind in ("reasoning", "tool_call", "invalid_tool_call", "tool_call_chunk"):
        return ""  # calls are told from the message's own list
    if kind in ("text", "text-plain"):
        return str(part.get("text") or "")
    if kind == "non_standard":
        return f"[{_json(_without_data(part['value']))}]"
    if kind.startswith("server_tool"):
        return f"[{_json(_without_data(part))}]"
    named = [part.get(key) for key in ("filename", "title", "url", "file_id", "mime_type")]
    shown = (_one_line(name).split(";base64,")[0] for name in named if name)  # a URL may be the data itself
    return f"[{' '.join([kind, *shown])}]"


def _call(call: Any) -> str:
    arguments = call["args"] if isinstance(call["args"], str) else _json(call["args"])
    return f"calls {call['name']}({arguments})"


_LONGEST_VALUE = 2000  # characters; longer ones in parts of no known kind are data, not words


def _without_data(value: Any) -> Any:
    """A part of no known kind without what is only bytes."""
    if isinstance(value, dict):
        return {key: _without_data(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_without_data(held) for held in value]
    if isinstance(value, str) and len(value) > _LONGEST_VALUE and " " not in value:
        return f"{len(value)} characters of data"
    return value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())
