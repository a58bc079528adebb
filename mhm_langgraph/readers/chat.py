"""The chat model reader: any LangChain chat model, with prompts."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.constants import TAG_NOSTREAM

from mhm_langgraph.errors import BudgetError
from mhm_langgraph.readers.base import (
    AnswerRequest,
    Load,
    Pick,
    PickRequest,
    Reader,
    Reply,
    UpdateRequest,
)
from mhm_langgraph.readers.prompts import Prompts
from mhm_langgraph.readers.replies import clean, head_number, usage_of, was_cut
from mhm_langgraph.state import add_usage
from mhm_langgraph.text import trim
from mhm_langgraph.tokens import TokenCounter

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


Calls = Generator[_Call, AIMessage, Result]


class ChatReader(Reader):
    """Reads with a chat model.

    Args:
        model: The chat model.

    Example:
        >>> from mhm_langgraph.testing import ScriptedChatModel
        >>> reader = ChatReader(ScriptedChatModel(replies=["<think>...</think>Ahab lost a leg."]))
        >>> reader.update(UpdateRequest(
        ...     question="Who?", heads=["", ""], head=0, chunk="...", head_tokens=50)).text
        'Ahab lost a leg.'
    """

    def __init__(self, model: BaseChatModel) -> None:
        self.model = model
        self.description = str(getattr(model, "model_name", None) or type(model).__name__)
        declared = type(model).model_fields
        self._limit_name = next((name for name in _LIMIT_NAMES if name in declared), None)
        profile: dict[str, Any] = dict(model.profile or {})
        self.window: int | None = profile.get("max_input_tokens")
        # Such a model's limit counts its reasoning too: capped at a head's size it would say nothing.
        self._reasons = bool(profile.get("reasoning_output"))

    def update(self, request: UpdateRequest) -> Reply:
        """Rewrite one head, as `Reader.update`."""
        return self._run(_update(request))

    async def aupdate(self, request: UpdateRequest) -> Reply:
        """Rewrite one head, as `Reader.aupdate`."""
        return await self._arun(_update(request))

    def answer(self, request: AnswerRequest) -> Reply:
        """Answer from memory, as `Reader.answer`."""
        return self._run(_answer(request))

    async def aanswer(self, request: AnswerRequest) -> Reply:
        """Answer from memory, as `Reader.aanswer`."""
        return await self._arun(_answer(request))

    def pick(self, request: PickRequest) -> Pick:
        """Pick a head, as `Reader.pick`."""
        return self._run(_pick(request))

    async def apick(self, request: PickRequest) -> Pick:
        """Pick a head, as `Reader.apick`."""
        return await self._arun(_pick(request))

    def check(self, load: Load) -> None:
        """Compare the largest prompts with the model's window, where its profile tells it.

        Raises:
            BudgetError: States the sum.
        """
        if self.window is None:
            return
        rows = [("the answer", 0, load.answer_tokens)]
        if load.chunk_tokens:
            rows.append(("an update", load.chunk_tokens, load.head_tokens))
        for what, chunk, reply in rows:
            template = _template_tokens(load, update=chunk > 0)
            memory = load.heads * load.head_tokens
            total = template + memory + chunk + reply
            if total > self.window:
                raise BudgetError(
                    f"The prompt of {what} can not fit the model's window of {self.window} tokens: "
                    f"{template} for the instructions and the question + {load.heads} heads x "
                    f"{load.head_tokens} + {chunk} for the chunk + {reply} for the reply = {total}. "
                    "Lower chunk_tokens, heads or head_tokens, or use a model with a larger window."
                )

    def _run(self, calls: Calls[Result]) -> Result:
        """Make the calls a generator asks for."""
        try:
            call = next(calls)
            while True:
                call = calls.send(self.model.invoke(call.messages, **self._options(call)))
        except StopIteration as stop:
            result: Result = stop.value
            return result

    async def _arun(self, calls: Calls[Result]) -> Result:
        """As `_run`, async."""
        try:
            call = next(calls)
            while True:
                call = calls.send(await self.model.ainvoke(call.messages, **self._options(call)))
        except StopIteration as stop:
            result: Result = stop.value
            return result

    def _options(self, call: _Call) -> dict[str, Any]:
        """The reply's limit, and how the call is named in a trace. Its tokens are not a host's chat."""
        config = RunnableConfig(run_name=call.name, tags=[TAG_NOSTREAM, "mhm", *call.tags])
        if self._limit_name is None or self._reasons:
            return {"config": config}
        return {"config": config, self._limit_name: call.limit}


def update_messages(request: UpdateRequest) -> list[BaseMessage]:
    """The prompt of one update: the question, all heads, the chunk.

    Args:
        request: The update.

    Returns:
        Chat messages.
    """
    prompts = request.prompts
    template = prompts.read if request.question is None else prompts.update
    others = [text for index, text in enumerate(request.heads) if index != request.head]
    return template.format_messages(
        question=prompts.shield(request.question or ""),
        heads=prompts.labelled(request.heads),
        other_heads=prompts.plain(others),
        head=prompts.shield(request.heads[request.head]),
        head_index=request.head,
        head_count=len(request.heads),
        head_tokens=request.head_tokens,
        head_words=max(1, int(request.head_tokens * _WORDS_PER_TOKEN)),
        chunk=prompts.shield(request.chunk),
    )


def answer_messages(request: AnswerRequest) -> list[BaseMessage]:
    """The prompt of the answer: the question and all heads.

    Args:
        request: The question.

    Returns:
        Chat messages.
    """
    prompts = request.prompts
    return prompts.answer.format_messages(
        question=prompts.shield(request.question),
        heads=prompts.labelled(request.heads),
        memory=prompts.plain(request.heads),
        answer_tokens=request.answer_tokens,
    )


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
    return (yield from _ask(call, head, request.head_tokens, request.count))


def _answer(request: AnswerRequest) -> Calls[Reply]:
    call = _Call(answer_messages(request), request.answer_tokens, "answer from heads")
    return (yield from _ask(call, None, request.answer_tokens, request.count))


def _ask(call: _Call, head: int | None, limit: int, count: TokenCounter) -> Calls[Reply]:
    """Ask; where the reply is empty, ask once more; hold the text to its budget."""
    message = yield call
    usage, text = usage_of(message), clean(message.text, head)
    retried = not text
    if retried:
        message = yield call
        usage, text = add_usage(usage, usage_of(message)), clean(message.text, head)
    kept = trim(text, limit, count)
    return Reply(text=kept, usage=usage, cut=was_cut(message) or kept != text, retried=retried)


def _pick(request: PickRequest) -> Calls[Pick]:
    message = yield _Call(pick_messages(request), _PICK_TOKENS, f"pick a head at step {request.step}")
    return Pick(head=head_number(message.text, len(request.heads)), usage=usage_of(message))


def _template_tokens(load: Load, *, update: bool) -> int:
    """Tokens of the largest prompt without its memory and chunk."""
    prompts: Prompts = load.prompts
    heads = [""] * load.heads
    if update:
        messages = update_messages(
            UpdateRequest(
                question=load.question,
                heads=heads,
                head=load.heads - 1,
                chunk="",
                head_tokens=load.head_tokens,
                prompts=prompts,
            )
        )
    else:
        messages = answer_messages(
            AnswerRequest(
                question=load.question or "",
                heads=heads,
                answer_tokens=load.answer_tokens,
                prompts=prompts,
            )
        )
    return sum(load.count(message.text) for message in messages)
