"""The graph's state, its input and output, and the one reducer through which a head can change."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Annotated, Any, NotRequired

from langgraph.channels import DeltaChannel
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from mhm_langgraph.errors import HeadError, shown
from mhm_langgraph.recall.archive import Entry, keep_entries
from mhm_langgraph.text import fingerprint

# Plain dicts, lists, strings and integers only: they survive every checkpoint serializer.
# On Python < 3.12 pydantic (so Studio's JSON schemas) needs typing_extensions' TypedDict.

__all__ = [
    "Exited",
    "Head",
    "HeadRelease",
    "HeadWrite",
    "MHMInput",
    "MHMOutput",
    "MHMState",
    "Place",
    "Reading",
    "Usage",
    "add_usage",
    "empty_heads",
    "keep_document",
    "no_usage",
    "only_selected",
    "selected_head",
    "write_heads",
]

_NEVER = 1_000_000_000
"""A delta channel is then copied when LangGraph's own bound says so, every 5,000 supersteps."""

# Studio shows the line under a field as the field's description.
_described = with_config(ConfigDict(use_attribute_docstrings=True))


@_described
class Head(TypedDict):
    """One independent block of memory text."""

    text: str
    """What it holds."""
    updated_at: int
    """The step of its last turn, -1 = never. A turn whose reply was empty counts: it keeps its text."""
    span: list[int] | None
    """`[start, end]` of the chunk its text was last written from, in the source's own units."""
    source: str | None
    """Name of the source of that chunk, None for an inline document."""
    tokens: int
    """Size of its text, in tokens."""
    selected: bool
    """Whether it is the head that this step rewrites."""
    unsupported: NotRequired[list[str]]
    """Its sentences that the text did not support, where writes are checked (`grounding="flag"`)."""
    archived: NotRequired[str]
    """Key, in the archive, of the text that it held before this one, where overwritten texts are kept."""


@with_config(ConfigDict(strict=True))
class HeadWrite(TypedDict):
    """A write to the selected head. Without `text` the head keeps what it holds: its turn is over."""

    head: int
    """Index of the head."""
    step: Annotated[int, Field(ge=0)]
    """The step that writes."""
    text: NotRequired[str]
    """The new text."""
    tokens: NotRequired[Annotated[int, Field(ge=0)]]
    """Size of the new text, in tokens."""
    span: NotRequired[Annotated[list[int], Field(min_length=2, max_length=2)]]
    """`[start, end]` of the chunk it was written from."""
    source: NotRequired[str | None]
    """Name of the chunk's source."""
    unsupported: NotRequired[list[str]]
    """Sentences of the new text that the text read did not support."""
    archived: NotRequired[str]
    """Key, in the archive, of the text that is overwritten."""


class HeadRelease(TypedDict):
    """A write that gives the selected head's turn back: the next step may select it again."""

    release: int
    """Index of the head."""


@_described
class Usage(TypedDict):
    """What a run's model calls cost, as the model reports it."""

    input_tokens: int
    """Tokens of prompts."""
    output_tokens: int
    """Tokens of replies."""
    calls: int
    """Model calls."""


@_described
class Exited(TypedDict):
    """Where a run left off because memory sufficed; what lies behind it was not read."""

    read: int
    """How much of its sources it has read, in their own units."""
    total: int | None
    """Sizes of all sources, None where one does not know."""


class Reading(TypedDict):
    """Where a run stands in its sources. The text itself is never in here."""

    names: list[str | None]
    """The sources, read one after the other; None is the inline document."""
    index: int
    """Which of them is being read."""
    cursor: int
    """Where the next chunk starts, in the source's own units."""
    chunk_tokens: int
    """The budget its last chunk was read with, so that the same chunk can be read again."""
    fingerprint: str
    """Contents of the source being read and of those after it, as the run found them, one a line."""
    before: int
    """Sizes of the sources that lie behind."""
    total: int | None
    """Sizes of all sources, None where one does not know."""


class Place(TypedDict):
    """Where a chunk of a round lies: enough to read it again."""

    span: list[int]
    """`[start, end]` in its source's own units."""
    index: int
    """Which of the run's sources it is in."""
    before: int
    """Sizes of the sources before that one."""
    fingerprint: str
    """Contents of that source, as the run found them."""
    head: NotRequired[int]
    """Index of the head it is read into, once that is selected."""


def empty_heads(count: int) -> list[Head]:
    """A memory of `count` heads that hold nothing."""
    return [
        Head(text="", updated_at=-1, span=None, source=None, tokens=0, selected=False) for _ in range(count)
    ]


def selected_head(heads: Sequence[Head]) -> int:
    """Index of the head that this step rewrites.

    Raises:
        HeadError: None is selected.
    """
    for index, head in enumerate(heads):
        if head["selected"]:
            return index
    raise HeadError("No head is selected: select_head comes before update_head.")


def only_selected(heads: Sequence[Head], index: int) -> list[Head]:
    """A memory of which one head is selected and no other."""
    return [_marked(head, selected=number == index) for number, head in enumerate(heads)]


def write_heads(heads: list[Head], write: Any) -> list[Head]:
    """The one way in which a head changes: select it, then write it once.

    Selecting marks a head and writing takes the mark off, so no other head can be written, and none
    twice in a step (paper: the H - 1 unselected heads are structurally untouched). Releasing takes the
    mark off and nothing else: the head's turn is still to come.

    Args:
        heads: The memory; empty before a thread's first run.
        write: `{"select": index}` or `{"select": [indices]}`, a `HeadWrite`, `{"release": index}`, a list
            of these, or a list of new heads for an empty memory.

    Returns:
        A new memory; unselected heads are the same objects.

    Raises:
        HeadError: The write is none of these, its index is out of range, or its head is not selected.

    Example:
        >>> memory = write_heads(empty_heads(2), {"select": 1})
        >>> memory = write_heads(memory, {"head": 1, "step": 0, "text": "Ahab", "tokens": 1})
        >>> [head["text"] for head in memory]
        ['', 'Ahab']
        >>> write_heads(memory, {"head": 0, "step": 0, "text": "overwritten", "tokens": 3})
        Traceback (most recent call last):
        mhm_langgraph.errors.HeadError: Head 0 is not selected ...
    """
    if isinstance(write, list) and not heads:
        return list(_valid(_HEADS, write))
    if isinstance(write, list) and write:
        return reduce(write_heads, write, heads)
    if isinstance(write, dict) and "select" in write:
        several = write["select"] if isinstance(write["select"], list) else [write["select"]]
        marks = {_index(heads, index) for index in several}
        if not several or len(marks) < len(several):
            raise HeadError(f"A round needs heads, each once: it can not select {shown(several)}.")
        return [_marked(head, selected=index in marks) for index, head in enumerate(heads)]
    if isinstance(write, dict) and "release" in write:
        chosen = _index(heads, write["release"])
        return [*heads[:chosen], _released(heads[chosen], chosen), *heads[chosen + 1 :]]
    if isinstance(write, dict) and {"head", "step"} <= write.keys():
        chosen = _index(heads, write["head"])
        return [*heads[:chosen], _written(heads[chosen], _valid(_WRITE, write)), *heads[chosen + 1 :]]
    raise HeadError(
        f"The heads can not take {shown(write)}: select a head, then write it. To set the whole memory "
        "by hand, wrap the list of heads in langgraph.types.Overwrite."
    )


_WRITABLE = ("text", "tokens", "span", "source", "unsupported", "archived")
_HEADS = TypeAdapter(Annotated[list[Head], Field(min_length=1)])
_WRITE = TypeAdapter(HeadWrite)


def _valid(shape: TypeAdapter[Any], value: Any) -> Any:
    """A value of the right shape: a head of another would break the next step, far from here."""
    try:
        return shape.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise HeadError(
            f"The heads can not take {shown(value)}: {'.'.join(map(str, first['loc']))}: {first['msg']}. To "
            "set the whole memory by hand, wrap the list of heads in langgraph.types.Overwrite."
        ) from None


def _index(heads: list[Head], index: Any) -> int:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(heads):
        raise HeadError(f"There is no head {shown(index)}: this memory has heads 0 to {len(heads) - 1}.")
    return index


def _marked(head: Head, *, selected: bool) -> Head:
    return head if head["selected"] == selected else {**head, "selected": selected}


def _released(head: Head, index: int) -> Head:
    if not head["selected"]:
        raise HeadError(f"Head {index} is not selected: there is no turn to give back.")
    return _marked(head, selected=False)


def _written(head: Head, write: HeadWrite) -> Head:
    """The head after its turn.

    Raises:
        HeadError: It is not its turn, or its turn is over.
    """
    if not head["selected"] or write["step"] <= head["updated_at"]:
        raise HeadError(
            f"Head {write['head']} is not selected at step {write['step']}, or was written there already: a "
            "step writes the selected head only, and only once."
        )
    changed = {key: write[key] for key in _WRITABLE if key in write}  # type: ignore[literal-required]  # keys are its own
    if "text" in write:  # what was said of the old text is not true of the new one
        head = {key: value for key, value in head.items() if key != "unsupported"}  # type: ignore[assignment]  # as below
    return {**head, **changed, "updated_at": write["step"], "selected": False}  # type: ignore[typeddict-item]  # keys are Head's


def keep_document(document: dict[str, str], writes: Sequence[Any]) -> dict[str, str]:
    """Reducer of the inline document: the last write stands; None takes the document away.

    Args:
        document: `{}`, or `{"text", "fingerprint"}`.
        writes: Texts, None, or documents already in that form.

    Returns:
        The document with its fingerprint, taken once here rather than at each step.
    """
    for write in writes[-1:]:
        if isinstance(write, str):
            return {"text": write, "fingerprint": fingerprint(write)}
        return dict(write) if write else {}
    return document


def no_usage() -> Usage:
    """The usage of no call at all."""
    return Usage(input_tokens=0, output_tokens=0, calls=0)


def add_usage(usage: Usage, more: Usage) -> Usage:
    """The sum of two usages."""
    return Usage(
        input_tokens=usage["input_tokens"] + more["input_tokens"],
        output_tokens=usage["output_tokens"] + more["output_tokens"],
        calls=usage["calls"] + more["calls"],
    )


@_described
class MHMInput(TypedDict, total=False):
    """What a run is given: a question, a text (inline or by name), or both."""

    question: str
    """What to answer. Without a text it is answered from the thread's memory."""
    document: str
    """The text itself. Without a question it is read into memory and nothing is answered."""
    source: str | list[str]
    """Name of the text: a file's path or a named source; several are read one after the other."""


@_described
class MHMOutput(TypedDict, total=False):
    """What a run returns."""

    answer: str | None
    """The answer, None where no question was asked."""
    heads: list[Head]
    """The memory; head i stands at index i."""
    step: int
    """How many steps the thread has taken: the number of its next one."""
    usage: Usage
    """What this run's model calls cost."""
    exited: Exited | None
    """Where the exit gate ended the reading; absent or None where the whole text was read."""


class MHMState(TypedDict, total=False):
    """The state of a thread. Neither the document nor a chunk is written again at each step."""

    question: str | None
    """The question of the run, None between runs."""
    document: Annotated[dict[str, str], DeltaChannel(keep_document, dict)]
    """The inline document, in a delta channel: a checkpoint stores it when it is given, no more."""
    source: str | list[str | None] | Reading | None
    """What to read, until read_chunk turns it into where the run stands; None is the inline document."""
    span: list[int] | None
    """`[start, end]` of the chunk of this step, None once the text has ended."""
    # A plain channel, although a delta channel would store less: an exact memory after forks matters
    # more than bytes (langgraph issues 8443, 8551).
    heads: Annotated[list[Head], write_heads]
    """The memory."""
    # A delta channel stores an entry once, where a plain one would store the archive at every step. Its
    # faults with forks can not reach the memory: the heads tell what belongs to it (recall/archive.py).
    archive: Annotated[dict[str, Entry], DeltaChannel(keep_entries, dict, snapshot_frequency=_NEVER)]
    """With recall and without a store: what heads held and lost, by key."""
    step: int
    """The step, counted from 0 over the life of the thread."""
    answer: str | None
    """The answer of the last run, None where it asked nothing."""
    usage: Usage
    """What the run's model calls cost so far."""
    # These two are written by a gate and by rounds only: without them, no checkpoint holds them.
    round: list[Place] | None
    """The chunks of this round, where several heads are rewritten at the same time."""
    exited: Exited | None
    """Where the exit gate ended the last run's reading, None where it read to the end."""
