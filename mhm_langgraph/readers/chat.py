"""The chat model reader: any LangChain chat model, with prompts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langgraph.constants import TAG_NOSTREAM

from mhm_langgraph.errors import BudgetError
from mhm_langgraph.readers.base import (
    AnswerRequest,
    Load,
    Patience,
    Pick,
    PickRequest,
    Reader,
    Reply,
    UpdateRequest,
)
from mhm_langgraph.readers.causes import FILTERED, classify
from mhm_langgraph.readers.gates import Gate, Gates, read_gates
from mhm_langgraph.readers.prompts import Prompts
from mhm_langgraph.readers.replies import (
    clean,
    head_number,
    usage_of,
    was_cut,
    was_filtered,
    without_reasoning,
)
from mhm_langgraph.readers.retry import aattempt, attempt
from mhm_langgraph.state import Usage, add_usage, no_usage
from mhm_langgraph.text import trim
from mhm_langgraph.tokens import TokenCounter, counting, utf8_tokens

__all__ = ["ChatReader"]

# What providers call the limit of a reply; the first that the model's class declares is passed.
_LIMIT_NAMES = ("max_tokens", "max_output_tokens", "num_predict", "max_new_tokens")
_PICK_TOKENS = 16
_WORDS_PER_TOKEN = 0.75

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Call:
    """One model call: the generators below ask for it, the sync and async drivers make it."""

    messages: Sequence[BaseMessage]
    limit: int
    name: str
    tags: tuple[str, ...] = ()
    stream: bool = False


@dataclass(frozen=True)
class _Said:
    """What came of a call."""

    message: AIMessage
    retries: int


Calls = Generator[_Call, _Said, Result]


class ChatReader(Reader):
    """Reads with a chat model.

    A call that fails is made again where the failure passes by itself (`readers.causes` has the table),
    with growing pauses. A model object of the caller's keeps its own time-outs and its own retries:
    those come first and these around them, so set its `max_retries=0` to have these alone. In an async
    graph `call_timeout` holds for it too; a sync call inside somebody else's client can not be broken
    off, so there its own time-out is the only one. Sync, a client counts the seconds without a byte.

    Args:
        model: The chat model.
        ours: Whether the model is an OpenAI client that this package has built: each call then tells it
            its time-out, and to send the reply in one piece where nobody sees it being written.

    Example:
        >>> from mhm_langgraph.testing import ScriptedChatModel
        >>> reader = ChatReader(ScriptedChatModel(replies=["<think>...</think>Ahab lost a leg."]))
        >>> reader.update(UpdateRequest(
        ...     question="Who?", heads=["", ""], head=0, chunk="...", head_tokens=50)).text
        'Ahab lost a leg.'
    """

    def __init__(self, model: BaseChatModel, *, ours: bool = False, preset: str | None = None) -> None:
        self.model, self._ours, self.preset = model, ours, preset
        self.description = str(getattr(model, "model_name", None) or type(model).__name__)
        declared = type(model).model_fields
        self._limit_name = next((name for name in _LIMIT_NAMES if name in declared), None)
        profile: dict[str, Any] = dict(model.profile or {})
        self.window: int | None = profile.get("max_input_tokens")
        # Such a model's limit counts its reasoning too: capped at a head's size it would say nothing.
        self._reasons = bool(profile.get("reasoning_output"))

    def update(self, request: UpdateRequest) -> Reply:
        """Rewrite one head, as `Reader.update`."""
        return _fitted(self._run(_update(request), request.patience), request.head_tokens, request.count)

    async def aupdate(self, request: UpdateRequest) -> Reply:
        """Rewrite one head, as `Reader.aupdate`."""
        reply = await self._arun(_update(request), request.patience)
        return await counting(request.count, partial(_fitted, reply, request.head_tokens, request.count))

    def answer(self, request: AnswerRequest) -> Reply:
        """Answer from memory, as `Reader.answer`."""
        return _fitted(self._run(_answer(request), request.patience), request.answer_tokens, request.count)

    async def aanswer(self, request: AnswerRequest) -> Reply:
        """Answer from memory, as `Reader.aanswer`."""
        reply = await self._arun(_answer(request), request.patience)
        return await counting(request.count, partial(_fitted, reply, request.answer_tokens, request.count))

    def pick(self, request: PickRequest) -> Pick:
        """Pick a head, as `Reader.pick`."""
        return self._run(_pick(request), request.patience)

    async def apick(self, request: PickRequest) -> Pick:
        """Pick a head, as `Reader.apick`."""
        return await self._arun(_pick(request), request.patience)

    async def aask(
        self,
        messages: Sequence[BaseMessage],
        *,
        limit: int,
        name: str,
        read: Callable[[str], str] = clean,
        held: str = "",
        count: TokenCounter = utf8_tokens,
        patience: Patience = Patience(),  # noqa: B008  # frozen
    ) -> Reply:
        """Make a call with a prompt of one's own, as this reader makes its own: retried, limited, cleaned.

        Args:
            messages: The prompt.
            limit: Greatest size of the reply, in tokens.
            name: What a trace calls it.
            read: From the reply to the text that counts.
            held: The text whose place the reply takes: half a reply must not.
            count: The token counter.
            patience: What to put up with from the model.

        Returns:
            The reply, held to its limit; empty where the model twice said nothing of use.
        """
        call = _Call(messages, limit, name)
        reply = await self._arun(_ask(call, lambda text: ("", read(text)), held), patience)
        return await counting(count, partial(_fitted, reply, limit, count))

    def check(self, load: Load) -> None:
        """Compare the largest prompts with the model's window, where its profile tells it.

        Raises:
            BudgetError: States the sum.
        """
        if self.window is None:
            return
        rows = [] if load.question is None else [("the answer", 0, load.answer_tokens)]
        if load.chunk_tokens:
            rows.append(("an update", load.chunk_tokens, load.head_tokens))
        for what, chunk, reply in rows:
            template = _template_tokens(load, update=chunk > 0)
            memory = load.heads * load.head_tokens
            recalled = load.recall_tokens if load.recall_updates or not chunk else 0
            total = template + memory + chunk + reply + recalled
            if total > self.window:
                shown = f"{recalled} for recalled texts + " if recalled else ""
                raise BudgetError(
                    f"The prompt of {what} can not fit the model's window of {self.window} tokens: "
                    f"{template} for the instructions and the question + {load.heads} heads x "
                    f"{load.head_tokens} + {chunk} for the chunk + {shown}{reply} for the reply = {total}. "
                    "Lower chunk_tokens, heads or head_tokens, or use a model with a larger window."
                )

    def _run(self, calls: Calls[Result], patience: Patience) -> Result:
        """Make the calls a generator asks for; it is told of a failure too."""
        try:
            call = next(calls)
            while True:
                ask = partial(self.model.invoke, call.messages, **self._options(call, patience))
                try:
                    said = _Said(*attempt(ask, patience.max_retries))
                except Exception as error:
                    call = calls.throw(error)
                else:
                    call = calls.send(said)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    async def _arun(self, calls: Calls[Result], patience: Patience) -> Result:
        """As `_run`, async."""
        try:
            call = next(calls)
            while True:
                ask = partial(self.model.ainvoke, call.messages, **self._options(call, patience))
                try:
                    limits = patience.max_retries, patience.call_timeout, patience.turn
                    said = _Said(*await aattempt(ask, *limits))
                except Exception as error:
                    call = calls.throw(error)
                else:
                    call = calls.send(said)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    def _options(self, call: _Call, patience: Patience) -> dict[str, Any]:
        """The reply's limit, and how the call is named in a trace.

        Its tokens are not a host's chat, unless it is an answer that the settings let stream.
        """
        hidden = [] if call.stream else [TAG_NOSTREAM]
        options: dict[str, Any] = {
            "config": RunnableConfig(run_name=call.name, tags=[*hidden, "mhm", *call.tags])
        }
        if self._limit_name is not None and not self._reasons:
            options[self._limit_name] = call.limit
        if self._ours:
            options["timeout"] = patience.call_timeout
            if not call.stream:
                options["stream"] = False  # a host's messages stream would turn it on, for tokens unseen
        return options


def update_messages(request: UpdateRequest) -> list[BaseMessage]:
    """The prompt of one update: the question, all heads, the chunk.

    Args:
        request: The update.

    Returns:
        Chat messages.
    """
    prompts = request.prompts.with_gates(request.gates).with_recalled(request.recalled)
    template = prompts.read if request.question is None else prompts.update
    others = [text for index, text in enumerate(request.heads) if index != request.head]
    memory = {"heads": prompts.labelled(request.heads), "other_heads": prompts.plain(others)}
    messages = template.format_messages(
        question=prompts.shield(request.question or ""),
        **_with_recalled(template, memory, prompts.recalled(request.recalled)),
        head=prompts.shield(request.heads[request.head]),
        head_index=request.head,
        head_count=len(request.heads),
        head_tokens=request.head_tokens,
        head_words=max(1, int(request.head_tokens * _WORDS_PER_TOKEN)),
        chunk=prompts.shield(request.chunk),
    )
    return prompts.gated(messages, request.gates)


def answer_messages(request: AnswerRequest) -> list[BaseMessage]:
    """The prompt of the answer: the question and all heads.

    Args:
        request: The question.

    Returns:
        Chat messages.
    """
    prompts = request.prompts.with_recalled(request.recalled)
    memory = {"heads": prompts.labelled(request.heads), "memory": prompts.plain(request.heads)}
    return prompts.answer.format_messages(
        question=prompts.shield(request.question),
        **_with_recalled(prompts.answer, memory, prompts.recalled(request.recalled)),
        answer_tokens=request.answer_tokens,
    )


def _with_recalled(template: ChatPromptTemplate, memory: dict[str, str], part: str) -> dict[str, str]:
    """The variables that show the memory; recalled texts stand where the template has them, else after it."""
    used = template.input_variables
    if part and "recalled" not in used:
        name = next(name for name in memory if name in used)
        memory = {**memory, name: "\n\n".join(filter(None, (memory[name], part)))}
    return {**memory, "recalled": part}


def pick_messages(request: PickRequest) -> list[BaseMessage]:
    """The prompt that picks a head: the question, all heads, the chunk.

    Args:
        request: The choice.

    Returns:
        Chat messages.
    """
    prompts = request.prompts
    return prompts.pick.format_messages(
        question=prompts.shield(request.question or "What does the text say?"),
        heads=prompts.labelled(request.heads),
        chunk=prompts.shield(request.chunk),
        last_index=len(request.heads) - 1,
    )


def _update(request: UpdateRequest) -> Calls[Reply]:
    head = request.head
    call = _Call(
        update_messages(request),
        request.head_tokens,
        f"rewrite head {head} at step {request.step}",
        (f"mhm:head:{head}",),
    )
    read = partial(_read_update, head=head, gates=request.gates)
    return (yield from _ask(call, read, request.heads[head]))


def _read_update(text: str, head: int, gates: Gates) -> tuple[Gate, str]:
    """A reply to an update. A marker may stand within the labels around the text, or before them."""
    for said in (clean(text, head), without_reasoning(text)) if gates else ():
        gate, rest = read_gates(said, gates)
        if gate:
            return gate, clean(rest, head)
    return "", clean(text, head)


def _answer(request: AnswerRequest) -> Calls[Reply]:
    call = _Call(answer_messages(request), request.answer_tokens, "answer from heads", stream=request.stream)
    return (yield from _ask(call, lambda text: ("", clean(text)), ""))


@dataclass(frozen=True)
class _Told:
    """One reply as read: its text without what is not text, empty where it is of no use."""

    text: str
    usage: Usage
    cut: bool = False
    retries: int = 0
    gate: Gate = ""


Read = Callable[[str], tuple[Gate, str]]
"""What a reply says of the gates, and its text without what is not text."""


def _fitted(reply: Reply, limit: int, count: TokenCounter) -> Reply:
    """A reply held to its budget."""
    kept = trim(reply.text, limit, count)
    return reply if kept == reply.text else replace(reply, text=kept, cut=True)


def _ask(call: _Call, read: Read, held: str) -> Calls[Reply]:
    """Ask; where the reply is of no use, ask once more."""
    told = yield from _tell(call, read, held)
    usage, retries, retried = told.usage, told.retries, not told.text and not told.gate
    if retried:
        told = yield from _tell(call, read, held)
        usage, retries = add_usage(usage, told.usage), retries + told.retries
    return Reply(text=told.text, usage=usage, cut=told.cut, retried=retried, retries=retries, gate=told.gate)


def _tell(call: _Call, read: Read, held: str) -> Calls[_Told]:
    """Make a call and read its reply. What a content filter stops is as good as an empty reply."""
    try:
        said = yield call
    except Exception as error:
        if classify(error) is not FILTERED:
            raise
        return _Told("", no_usage())
    (gate, text), cut = read(said.message.text), was_cut(said.message)
    # A window that is full cuts a reply after a few words, which would take the place of a whole head.
    filtered = was_filtered(said.message)
    useless = filtered or (cut and len(text) < len(held) / 2)
    told = "" if useless else text
    return _Told(told, usage_of(said.message), cut, said.retries, "" if filtered else gate)


def _pick(request: PickRequest) -> Calls[Pick]:
    call = _Call(pick_messages(request), _PICK_TOKENS, f"pick a head at step {request.step}")
    told = yield from _tell(call, lambda text: ("", without_reasoning(text)), "")
    return Pick(head=head_number(told.text, len(request.heads)), usage=told.usage)


def _template_tokens(load: Load, *, update: bool) -> int:
    """Tokens of the largest prompt without its memory and chunk."""
    prompts: Prompts = load.prompts
    heads, recalled = [""] * load.heads, [""] * load.recalled
    if update:
        messages = update_messages(
            UpdateRequest(
                question=load.question,
                heads=heads,
                head=load.heads - 1,
                chunk="",
                head_tokens=load.head_tokens,
                recalled=recalled if load.recall_updates else (),
                prompts=prompts,
                gates=load.gates,
            )
        )
    else:
        messages = answer_messages(
            AnswerRequest(
                question=load.question or "",
                heads=heads,
                answer_tokens=load.answer_tokens,
                recalled=recalled,
                prompts=prompts,
            )
        )
    return sum(load.count(message.text) for message in messages)
