"""A chat model that needs no key and no network: it quotes what it was shown. To try a memory with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from mhm_langgraph.readers import AnswerRequest, Reader, resolve_reader
from mhm_langgraph.tokens import utf8_tokens

__all__ = ["QuotingChatModel"]

_TAG_LINE = re.compile(r"^</?\w+>$")
_NOTED = "Noted. (This is the offline model: it understands nothing. Ask it a question, and it quotes.)"


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
