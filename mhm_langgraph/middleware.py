"""Multi-head memory for agents: `create_agent(..., middleware=[MultiHeadMemoryMiddleware(model)])`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NotRequired, cast

from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_config
from langgraph.constants import CONFIG_KEY_CHECKPOINTER
from langgraph.runtime import Runtime

from mhm_langgraph.chat.memorizer import Memorized, create_memorizer, unseen
from mhm_langgraph.chat.node import state_update
from mhm_langgraph.chat.prompts import with_memory
from mhm_langgraph.chat.state import Archive, ChatMemory, write_memory
from mhm_langgraph.errors import SettingsError
from mhm_langgraph.events import tell
from mhm_langgraph.readers import Prompts, Reader

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
    from langchain.agents.middleware.types import PrivateStateAttr
except ImportError as _error:
    raise SettingsError(
        'mhm_langgraph.middleware needs the langchain package: pip install "mhm-langgraph[agents]". A graph '
        "without create_agent can use mhm_langgraph.chat.MemoryNode, which needs nothing more."
    ) from _error

__all__ = ["MultiHeadMemoryMiddleware"]


class _AgentMemoryState(AgentState[Any]):
    """The agent's state with its memory, which neither its input nor its output shows."""

    chat_memory: NotRequired[Annotated[ChatMemory, PrivateStateAttr, write_memory]]
    """What is kept of the messages that are no longer shown."""
    chat_archive: NotRequired[Annotated[Archive, PrivateStateAttr]]
    """With recall: what heads held and lost, by key."""


class MultiHeadMemoryMiddleware(AgentMiddleware[Any, Any, Any]):
    """Keeps a long conversation in a memory of independent heads instead of one summary.

    When the trigger fires, the oldest messages are read into the least recently updated head, which is
    rewritten alone, and leave the conversation in the same update of the state. The heads reach the
    agent's model as the last part of its system message. A call that fails changes nothing: the messages
    stay, an event and the log tell why, and the next turn tries again.

    Put it last in the list where another middleware replaces the system message. The heads lie in the
    agent's private state, which only a checkpointer carries from run to run: in an agent without one
    nothing is removed, since it would be lost, and every run reads anew. So it is in a host graph, unless
    the agent is compiled with `checkpointer=True`.

    Args:
        model: What reads: `"openai:gpt-4.1-mini"` or another `"provider:model"`, a LangChain chat model, a
            `Reader`, or `"extractive"`, which needs no model, key or network.
        heads: Number of heads. A thread keeps the number that it began with.
        head_tokens: Size of each head, in tokens.
        trigger: When to read, as `SummarizationMiddleware` takes it: `("tokens", 8000)`,
            `("messages", 50)`, `("fraction", 0.8)` of the window of `model`; a dict of several that must
            all be reached; a list of such of which one must be; None: never. Tokens are those of the
            messages and heads, or what the agent's model has reported, whichever are more.
        keep: How much stays unread: `("messages", 20)`, `("tokens", 3000)` or `("fraction", 0.3)`.
        prompts: `"chat"`, `"standard"`, `"compact"` for small models, or `Prompts` of your own. None is what
            suits the model: compact for `"local"`, else chat.
        token_counter: As for `create_mhm_agent`, or a function from messages to tokens.
        chunk_tokens: How much is read at one model call, in tokens. More is read in several calls.
        pin_first: Whether the user's first message stays in the conversation for ever.
        keep_history: Whether messages that were read stay in the state, for a page to show, and are only
            hidden from the model. The state then grows with the conversation.
        recall: How many overwritten texts are shown with the heads: those that bear most on the user's last
            message. They are kept in the agent's state, each once.
        recall_tokens: Size of them together, in tokens.
        recall_ranking: `"bm25"`, a LangChain embedding model, or a function from a question and texts to a
            score for each.
        base_url: Address of an OpenAI-compatible server, for `"openai:NAME"`.
        call_timeout: Seconds that a memory call may take, as for `create_mhm_agent`.
        max_retries: How often a memory call is made again after a failure that passes by itself. The next
            turn tries again in any case.

    Raises:
        SettingsError: A setting is wrong; the message names it, its value and what is allowed.
        BudgetError: The prompt of a reading can not fit the model's window.

    Example:
        >>> from langchain.agents import create_agent
        >>> from langgraph.checkpoint.memory import InMemorySaver
        >>> from mhm_langgraph.chat import QuotingChatModel
        >>> memory = MultiHeadMemoryMiddleware("extractive", trigger=("messages", 6), keep=("messages", 2))
        >>> agent = create_agent(QuotingChatModel(), middleware=[memory], checkpointer=InMemorySaver())
        >>> chat = {"configurable": {"thread_id": "1"}}
        >>> for text in ["I live in Lisbon.", "It rained.", "The tram was late.", "Where do I live?"]:
        ...     state = agent.invoke({"messages": [("user", text)]}, chat)
        >>> len(state["messages"]), state["messages"][-1].text
        (4, '“#0 user: I live in Lisbon.”')
    """

    state_schema = _AgentMemoryState

    def __init__(
        self,
        model: str | BaseChatModel | Reader,
        *,
        heads: int = 4,
        head_tokens: int = 512,
        trigger: Any = ("tokens", 8000),
        keep: Any = ("messages", 20),
        prompts: str | Prompts | None = None,
        token_counter: Any = None,
        chunk_tokens: int = 8000,
        pin_first: bool = False,
        keep_history: bool = False,
        recall: int = 0,
        recall_tokens: int = 1024,
        recall_ranking: Any = "bm25",
        base_url: str | None = None,
        call_timeout: float = 60.0,
        max_retries: int = 1,
    ) -> None:
        super().__init__()
        self.tools = []
        self._keep_history = keep_history
        self._memorizer = create_memorizer(
            model,
            heads=heads,
            head_tokens=head_tokens,
            chunk_tokens=chunk_tokens,
            trigger=trigger,
            keep=keep,
            pin_first=pin_first,
            recall=recall,
            recall_tokens=recall_tokens,
            recall_ranking=recall_ranking,
            prompts=prompts,
            token_counter=token_counter,
            base_url=base_url,
            call_timeout=call_timeout,
            max_retries=max_retries,
        )

    def before_model(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Read what is to be read now, if anything."""
        memory = _memory(state)
        done = self._memorizer.read(unseen(state["messages"], memory), memory)
        return self._update(state, runtime, done)

    async def abefore_model(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `before_model`, async."""
        memory = _memory(state)
        done = await self._memorizer.aread(unseen(state["messages"], memory), memory)
        return self._update(state, runtime, done)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Show the model the memory, and not what is in it."""
        return handler(self._shown(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """As `wrap_model_call`, async."""
        if not self._memorizer.settings.recall:
            return await handler(self._shown(request))
        return await handler(await asyncio.to_thread(self._shown, request))  # ranking takes its time

    def _update(self, state: Any, runtime: Runtime[Any], done: Memorized) -> dict[str, Any] | None:
        """Memory and messages change together, or neither does."""
        for event in done.events:
            tell(event)
        keep = self._keep_history or not _lasts(runtime)
        update = state_update(state["messages"], _memory(state), done, keep_history=keep)
        named = {"memory": "chat_memory", "messages": "messages", "archive": "chat_archive"}
        return {named[key]: value for key, value in update.items()} or None

    def _shown(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        memory, archive = _memory(request.state), cast(Any, request.state).get("chat_archive") or {}
        rest = unseen(request.messages, memory)
        part = self._memorizer.shown(rest, memory, archive)
        if not part:
            return request
        return request.override(
            system_message=with_memory(request.system_message, part),
            messages=rest,
        )


def _memory(state: Any) -> ChatMemory:
    """The memory in a state, empty before the first reading."""
    return state.get("chat_memory") or ChatMemory()


def _lasts(runtime: Runtime[Any]) -> bool:
    """Whether the agent's state outlives the run: it is saved, and not for one turn of a host alone.

    A `thread_id` tells nothing, since anybody may give one. In a host, the namespace of a state that ends
    with the turn holds the id of the host's task (`agent:ID`), and the saver in sight may be the host's.
    """
    if runtime.execution_info is None:
        return False
    agent, _, _ = runtime.execution_info.checkpoint_ns.rpartition("|")  # without this hook's own task
    saver = get_config()["configurable"].get(CONFIG_KEY_CHECKPOINTER)
    return isinstance(saver, BaseCheckpointSaver) and ":" not in agent
