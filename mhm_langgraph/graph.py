"""The compiled graph: LangGraph's own, which also checks what a caller sends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig, ensure_config
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.constants import CONFIG_KEY_CHECKPOINTER
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from mhm_langgraph.errors import SettingsError, SourceError, shown
from mhm_langgraph.rounds import SPARE, check_width
from mhm_langgraph.settings import Settings
from mhm_langgraph.sources import join_documents
from mhm_langgraph.state import MHMInput, MHMOutput, MHMState

__all__ = ["MHMGraph"]

_UNSEEN = ("document", "archive")
"""Channels that grow with what is read: what is streamed and shown of a state leaves them out."""
_NO_LIMIT = 1_000_000_000
"""The loop ends with its text, so the limit that guards against endless loops is out of the way."""
_MOST_THREADS = 1024
"""As many updates at once as a memory may have heads; threads are made as they are needed."""
_HOST_DURABILITY = "__pregel_durability"
"""Where a host graph leaves the durability that its caller chose; LangGraph has no public name for it."""


class MHMGraph(CompiledStateGraph[MHMState, Settings, MHMInput, MHMOutput]):
    """A `CompiledStateGraph` whose runs take any number of steps, start from checked input, and last.

    Every way of running a graph (invoke, batch, stream, events, a host graph, a server) goes through
    `stream` or `astream`, so what a caller sends is checked there, before LangGraph stores any of it.

    Args:
        settings: The factory's settings.
        attributes: Those of a `CompiledStateGraph`.
    """

    def __init__(self, *, settings: Settings, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.settings = settings

    @classmethod
    def of(cls, compiled: CompiledStateGraph[Any, Any, Any, Any], settings: Settings) -> MHMGraph:
        """The same graph as an `MHMGraph`, made as LangGraph's own `copy` makes one.

        What it streams and shows of its state leaves the inline document out: with `stream_mode="values"`,
        a server's default, it would go out at every step.
        """
        shown = [channel for channel in compiled.stream_channels_list if channel not in _UNSEEN]
        return cls(**{**vars(compiled), "stream_channels": shown, "settings": settings})

    def stream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Iterator[Any]:
        """Run the graph and yield its progress, as `CompiledStateGraph.stream`.

        Raises:
            MHMError: The input or the context is wrong; nothing has been stored.
        """
        options = self._saved_at_once(config, self._checked(options))
        return super().stream(checked_input(input), _unlimited(config, _MOST_THREADS), **options)

    def astream(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> AsyncIterator[Any]:
        """Run the graph and yield its progress, as `CompiledStateGraph.astream`.

        Raises:
            MHMError: The input or the context is wrong; nothing has been stored.
        """
        options = self._saved_at_once(config, self._checked(options))
        return super().astream(checked_input(input), _unlimited(config), **options)

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        """A run's options, its context validated; a misspelt setting is refused, not ignored."""
        context = options.get("context")
        if not isinstance(context, Mapping | Settings):
            return options
        given, merged = self.settings.in_run(context if isinstance(context, Settings) else dict(context))
        check_width(merged)
        return {**options, "context": given}

    def _saved_at_once(self, config: RunnableConfig | None, options: dict[str, Any]) -> dict[str, Any]:
        """A run's options, its durability "sync" where nobody chose one.

        LangGraph's own default saves in the background and lets the loop run ahead of a slow disk: a
        crash then costs every model call that was not yet saved (4 were seen), and not one at most.
        """
        known = ensure_config(config).get("configurable", {})
        chosen = options.get("durability") or options.get("checkpoint_during") is not None
        saver = known.get(CONFIG_KEY_CHECKPOINTER, self.checkpointer)
        saves = self.checkpointer is not False and isinstance(saver, BaseCheckpointSaver)
        if chosen or _HOST_DURABILITY in known or not saves:
            return options
        return {**options, "durability": "sync"}


def checked_input(given: Any) -> Any:
    """A run's input with question and sources set, so that none is left over from a run that broke off.

    The document is set only where there is one: a delta channel that is never written costs nothing when a
    thread's states are read. A name of None stands for it among the sources.

    Args:
        given: A caller's input. None (resume) and commands pass as they are.

    Returns:
        `question`, None where there is none; `source`, the list of what to read; `document` if given.

    Raises:
        SettingsError: The question is not text, or nothing is given.
        SourceError: The document or the source is not text.
    """
    if given is None or isinstance(given, Command):
        return given
    if not isinstance(given, Mapping):
        raise SettingsError(
            f"The input is a {type(given).__name__}; a dict with question, document or source is needed."
        )
    question, document = _question(given.get("question")), _document(given.get("document"))
    sources = [*([] if document is None else [None]), *_sources(given.get("source"))]
    if question is None and not sources:
        raise SettingsError(
            f"The input has keys {shown(list(given))}; a question, a document or a source is needed."
        )
    checked: dict[str, Any] = {"question": question, "source": sources}
    return checked if document is None else {**checked, "document": document}


def _question(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise SettingsError(f"question={shown(value)} is not allowed: some text is needed.")
    return None if value is None else _encodable("question", value)


def _document(value: Any) -> str | None:
    if value is None or value == {}:  # {}: a host built on MHMState, which has none
        return None
    if isinstance(value, Mapping) and isinstance(value.get("text"), str):
        value = value["text"]  # the same host, which has one
    if isinstance(value, Document):
        value = [value]
    if not isinstance(value, str):
        if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
            raise SourceError(
                f"document={shown(value)} is not allowed: pass text, or a list of LangChain documents."
            )
        value = join_documents(value)
    if not value:
        raise SourceError("The document is empty: give some text, or leave it out.")
    return _encodable("document", value)


def _sources(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str) and value:
        return [value]
    if isinstance(value, list | tuple) and value and all(isinstance(n, str) and n for n in value):
        return list(value)
    raise SourceError(f"source={shown(value)} is not allowed: pass the name of a source, or a list of names.")


def _encodable(key: str, text: str) -> str:
    """Text that can be stored and sent: half a surrogate pair can not."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SourceError(
            f"{key} holds half a surrogate pair at character {error.start}, which no encoding can carry: "
            "decode its bytes anew, or replace it."
        ) from None
    return text


def _unlimited(config: RunnableConfig | None, most_at_once: int | None = None) -> RunnableConfig:
    """The caller's configuration without its recursion limit, and with room for the node of a round.

    A limit of 25 comes in with every composition by `|`, and a host's own with every subgraph.
    `max_concurrency` is to limit the updates of a round, but LangGraph counts what waits for them as well,
    and a low limit would stop for ever. Without one a sync run has few more threads than there are cores.
    """
    config = config or {}
    most = config.get("max_concurrency") or most_at_once
    limit = {"max_concurrency": most + SPARE} if most else {}
    return {**config, "recursion_limit": _NO_LIMIT, **limit}  # type: ignore[typeddict-item]  # keys are its
