"""A chat model and a reader that need no key and no network: they quote. To try a memory with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from mhm_langgraph.readers import AnswerRequest, Reader, Reply, UpdateRequest, resolve_reader
from mhm_langgraph.text import trim
from mhm_langgraph.tokens import utf8_tokens

__all__ = ["QuotingChatModel", "QuotingReader"]

_TAG_LINE = re.compile(r"^</?\w+>$")
_NOTED = "Noted. (This is the offline model: it understands nothing. Ask it a question, and it quotes.)"
_SAID_BY_USER = re.compile(r"^#\d+ user\b[^:]*:")
_OF_ONESELF = re.compile(r"\b(?:I|I'm|[Mm]y|[Mm]ine|[Mm]e|[Ww]e|[Oo]ur|[Uu]s)\b")


class QuotingReader(Reader):
    r"""Keeps what the user says of themselves, word for word, and of the rest what is newest. English only.

    Not a language model: it goes by words such as "my". It keeps a conversation's memory offline.

    Example:
        >>> chunk = "#0 user: My dog is called Argos.\n\n#1 assistant: Noted.\n\n#2 user: It rained."
        >>> request = UpdateRequest(question=None, heads=[""], head=0, chunk=chunk, head_tokens=12)
        >>> QuotingReader().update(request).text
        '#0 user: My dog is called Argos.'
    """

    description = "quoting: keeps what users say of themselves; it is not a language model"

    def update(self, request: UpdateRequest) -> Reply:
        """Rewrite one head with the messages that matter most of what it holds and of the chunk."""
        elsewhere = {
            line for i, text in enumerate(request.heads) if i != request.head for line in _lines(text)
        }
        lines = [*_lines(request.heads[request.head]), *_lines(request.chunk)]
        lines = [line for line in dict.fromkeys(lines) if line not in elsewhere and not line.endswith("?")]
        best = sorted(range(len(lines)), key=lambda index: (_matters(lines[index]), index), reverse=True)
        kept: list[int] = []
        for index in best:
            if request.count("\n".join(lines[i] for i in [*kept, index])) <= request.head_tokens:
                kept.append(index)
        text = "\n".join(lines[index] for index in sorted(kept))
        return Reply(text=text or trim(request.chunk, request.head_tokens, request.count))

    def answer(self, request: AnswerRequest) -> Reply:
        """Quote, as the extractive reader does."""
        return resolve_reader("extractive").answer(request)


def _lines(text: str) -> list[str]:
    """One message a line, whatever lines it had itself."""
    messages = re.split(r"\n+(?=#\d)", text)
    return [line for message in messages if (line := " ".join(message.split()))]


def _matters(line: str) -> int:
    return (2 if _OF_ONESELF.search(line) else 1) if _SAID_BY_USER.match(line) else 0


class QuotingChatModel(BaseChatModel):
    """Answers a question by quoting the sentences in its prompt that share most words with it (BM25).

    Not a language model. Where the last message is no question it says that it has taken note. Earlier
    answers of its own are not quoted.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> model = QuotingChatModel()
        >>> model.invoke("I live in Lisbon.").text.split(".")[0]
        'Noted'
        >>> talk = [HumanMessage("I live in Lisbon."), AIMessage("Noted."), HumanMessage("Where do I live?")]
        >>> model.invoke(talk).text
        '“I live in Lisbon.”'
    """

    @property
    def _llm_type(self) -> str:
        return "quoting"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """The model itself: it calls no tools."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        question = messages[-1].text if messages else ""
        reply = _answer(question, messages[:-1]) if question.rstrip().endswith("?") else _NOTED
        sent, received = sum(utf8_tokens(message.text) for message in messages), utf8_tokens(reply)
        said = AIMessage(
            reply,
            usage_metadata={
                "input_tokens": sent,
                "output_tokens": received,
                "total_tokens": sent + received,
            },
        )
        return ChatResult(generations=[ChatGeneration(message=said)])


def _answer(question: str, before: Sequence[BaseMessage]) -> str:
    reader: Reader = resolve_reader("extractive")
    texts = ["\n".join(_statements(message.text)) for message in before if not isinstance(message, AIMessage)]
    request = AnswerRequest(question=question, heads=[*filter(None, texts)] or [""], answer_tokens=256)
    return reader.answer(request).text


def _statements(text: str) -> list[str]:
    """Lines that may be quoted: no tags, and no questions."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if not _TAG_LINE.match(line) and not line.endswith("?")]
