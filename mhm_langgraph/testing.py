"""Scripted reader and chat model, for tests of graphs that hold this memory. No network, no key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import ConfigDict, Field, PrivateAttr

from mhm_langgraph.readers.base import (
    AnswerRequest,
    Pick,
    PickRequest,
    Reader,
    Reply,
    UpdateRequest,
)
from mhm_langgraph.state import Usage
from mhm_langgraph.tokens import utf8_tokens

__all__ = ["ScriptedChatModel", "ScriptedReader"]

Scripted = str | AIMessage | Exception


class ScriptedChatModel(BaseChatModel):
    """A chat model that says what it is told to say, and remembers what it was asked.

    Args:
        replies: Replies in order, the last one again and again; an exception is raised; or a function
            from the prompt's text to a reply.
        profile: What it tells of itself, such as `{"max_input_tokens": 8192}`.

    Example:
        >>> model = ScriptedChatModel(replies=["first", "second"])
        >>> [model.invoke("?").content for _ in range(3)], len(model.prompts)
        (['first', 'second', 'second'], 3)
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    replies: Sequence[Any] | Callable[[str], Any] = Field(default_factory=lambda: [""])
    """What to reply."""
    max_tokens: int | None = None
    """The limit of a reply in tokens; recorded with each prompt, not enforced."""

    _prompts: list[str] = PrivateAttr(default_factory=list)
    _limits: list[int | None] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=Lock)

    @property
    def prompts(self) -> list[str]:
        """The prompts so far, each as one text."""
        return self._prompts

    @property
    def limits(self) -> list[int | None]:
        """The reply limits that came with them, in tokens."""
        return self._limits

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """The model itself: whether a tool is called stands in its replies."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prompt = "\n".join(message.text for message in messages)
        with self._lock:
            number = len(self._prompts)
            self._prompts.append(prompt)
            self._limits.append(kwargs.get("max_tokens", self.max_tokens))
        if callable(self.replies):
            reply = self.replies(prompt)
        else:
            reply = self.replies[min(number, len(self.replies) - 1)]
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, str):
            reply = AIMessage(reply, usage_metadata=_usage(prompt, reply))
        return ChatResult(generations=[ChatGeneration(message=reply)])


def _usage(prompt: str, reply: str) -> Any:
    sent, received = utf8_tokens(prompt), utf8_tokens(reply)
    return {"input_tokens": sent, "output_tokens": received, "total_tokens": sent + received}


class ScriptedReader(Reader):
    """A reader that writes what it is told to write, and remembers its requests.

    Args:
        update: New text of a head: from the request, or the same text each time. The default notes
            the step and the span.
        answer: The answer: from the request, or the same text each time.
        pick: The head to pick for the relevance selector, from the request.

    Example:
        >>> from mhm_langgraph import create_mhm_agent
        >>> reader = ScriptedReader(answer="42")
        >>> create_mhm_agent(reader).invoke({"question": "?", "document": "Some text."})["answer"]
        '42'
        >>> reader.updates[0].chunk
        'Some text.'
    """

    description = "scripted"

    def __init__(
        self,
        update: str | Callable[[UpdateRequest], str] | None = None,
        answer: str | Callable[[AnswerRequest], str] = "an answer",
        pick: Callable[[PickRequest], int | None] = lambda request: 0,
    ) -> None:
        self._update = _noted if update is None else update
        self._answer, self._pick = answer, pick
        self.updates: list[UpdateRequest] = []
        self.answers: list[AnswerRequest] = []

    def update(self, request: UpdateRequest) -> Reply:
        """Record the request, and give the scripted text."""
        self.updates.append(request)
        text = self._update if isinstance(self._update, str) else self._update(request)
        return Reply(text=text, usage=_ONE_CALL)

    def answer(self, request: AnswerRequest) -> Reply:
        """Record the request, and give the scripted answer."""
        self.answers.append(request)
        text = self._answer if isinstance(self._answer, str) else self._answer(request)
        return Reply(text=text, usage=_ONE_CALL)

    def pick(self, request: PickRequest) -> Pick:
        """Give the scripted head."""
        return Pick(head=self._pick(request), usage=_ONE_CALL)


_ONE_CALL = Usage(input_tokens=0, output_tokens=0, calls=1)


def _noted(request: UpdateRequest) -> str:
    return f"step {request.step} span {list(request.span)}"
