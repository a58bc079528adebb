"""create_mhm_agent: checks the settings, wires the loop, compiles."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer, TracePolicy
from pydantic import ConfigDict

from mhm_langgraph.graph import MHMGraph
from mhm_langgraph.grounding import GroundingRule, resolve_rule
from mhm_langgraph.nodes import Loop
from mhm_langgraph.readers import Prompts, Reader, resolve_reader
from mhm_langgraph.readers.prompts import resolve_prompts
from mhm_langgraph.recall import resolve_ranking
from mhm_langgraph.recall.bound import Recall
from mhm_langgraph.rounds import check_width
from mhm_langgraph.selection import resolve_selector
from mhm_langgraph.settings import Settings
from mhm_langgraph.sources import resolve_sources
from mhm_langgraph.state import MHMInput, MHMOutput, MHMState
from mhm_langgraph.tokens import resolve_counter
from mhm_langgraph.views import AnswerState, ReadState, StepState

__all__ = ["create_mhm_agent"]


def create_mhm_agent(
    model: str | BaseChatModel | Reader,
    *,
    heads: int | Literal["auto"] = 4,
    head_tokens: int = 1024,
    memory_tokens: int = 4096,
    chunk_tokens: int = 5000,
    answer_tokens: int = 1024,
    selector: Any = "lru",
    seed: int = 0,
    prompts: str | Prompts | None = None,
    recall: int = 0,
    recall_tokens: int = 1024,
    recall_updates: bool = False,
    recall_ranking: Any = "bm25",
    grounding: Literal["off", "flag", "reject"] = "off",
    grounding_rule: Literal["names", "verbatim"] | GroundingRule = "names",
    token_counter: Any = None,
    sources: Any = None,
    base_url: str | None = None,
    call_timeout: float = 300.0,
    max_retries: int = 5,
    stream_answer: bool = False,
    parallel_heads: int = 1,
    update_gate: bool = False,
    exit_gate: bool = False,
    checkpointer: Checkpointer = None,
    store: BaseStore | None = None,
    name: str = "mhm",
) -> MHMGraph:
    """Build a graph that reads input of any length into a memory of independent heads, and answers.

    Each step reads a chunk, selects the least recently updated head, rewrites that head alone, and
    goes on; after the last chunk it answers from all heads (Multi-Head Recurrent Memory, MHM-LRU,
    arXiv 2607.01523). N chunks cost N + 1 model calls.

    Args:
        model: `"openai:gpt-4.1-mini"` or another `"provider:model"`, a LangChain chat model, a
            `Reader`; `"extractive"`, which needs no model, key or network; or `"local"`, a real model of
            135M parameters on this machine (the extra `local`; docs/local-model.md).
        heads: Number of heads; 1 is the single-memory agent. `"auto"` chooses 1, 2, 4 or 8 when a thread
            begins, by the length of its first text (4 where that is not known): docs/retention.md.
        head_tokens: Size of each head, in tokens.
        memory_tokens: Size of all heads together, in tokens, for `heads="auto"`: it replaces `head_tokens`.
        chunk_tokens: Size of the piece of text read at one step, in tokens.
        answer_tokens: Greatest size of the answer, in tokens.
        selector: `"lru"`, `"random"`, `"relevance"` (one extra call a step), a `HeadSelector`, or a
            function from a `Turn` to the index of a head.
        seed: Seed of the random selector.
        prompts: `"standard"`, `"compact"` for small models, `"document-first"` for many questions on one
            text and a server that caches prompts, or `Prompts` of your own. None is what suits the model:
            compact for `"local"`, else standard. docs/beyond.md
        recall: How many overwritten head texts are shown again with the answer: those that bear most on the
            question and say what no head says. 0 is off, and keeps none. docs/beyond.md
        recall_tokens: Size of all recalled texts together, in tokens.
        recall_updates: Whether they are shown at each update too.
        recall_ranking: `"bm25"`, a LangChain embedding model, or a function from the question and a list of
            texts to a score for each; what is not above 0 is not shown.
        grounding: What is done with a reply's sentences that the text does not support, checked without a
            model: `"off"`, `"flag"` (told in the event, the trace and the head), or `"reject"` (dropped;
            a head of which nothing is left keeps its text). docs/beyond.md
        grounding_rule: `"names"` (names, numbers and quotations occur in the chunk, the old heads or the
            question), `"verbatim"` (for facts to be kept word for word: the wording occurs too, and what
            belongs together stands together), or a function from a sentence and `Evidence` to a bool.
        token_counter: None (UTF-8 bytes / 4, no download), `"tiktoken"`, `"tiktoken:ENCODING"`,
            `"model"`, a tokenizer with `encode`, or a function from text to tokens.
        sources: What a run's `source` may name. None: any file (none at all in a LangGraph server);
            a folder: files below it; a mapping of names to sources, loaders, iterables of documents
            or paths; or a function from a name to one of these.
        base_url: Address of an OpenAI-compatible server, for `"openai:NAME"`.
        call_timeout: Seconds that a model call may take. A sync call to a chat model object of your own
            ends when its own client ends it: give that a time-out.
        max_retries: How often a call is made again after a failure that passes by itself (rate limit,
            time-out, broken server or connection), with growing pauses, about 30 seconds in all. A
            chat model object of your own does its own retries first. Wrong keys, refused requests and
            prompts larger than the window fail at once.
        stream_answer: Whether the answer's tokens reach `stream_mode="messages"`, this graph's and
            its host's, as the model writes them. Those of the updates never do.
        parallel_heads: How many chunks a round reads and how many heads, the least recently updated ones,
            it rewrites at the same time; at most `heads`. Each update sees the memory as it stood at the
            round's start. 1 is the paper's loop.
        update_gate: Whether the reader may say that a chunk holds nothing for the question: a reply of a
            few tokens, after which the head stays and keeps its turn.
        exit_gate: Whether the reader may say that memory suffices: the rest of the text is not read, and
            the output's `exited` says how much was. Without a question neither gate is on.
        checkpointer: As in `StateGraph.compile`; with one, a thread is a memory that lasts.
        store: As in `StateGraph.compile`. With `recall`, what is overwritten is kept there, and otherwise in
            the thread's own checkpoints.
        name: The graph's name, as a host graph and a trace show it.

    Returns:
        A compiled graph. Its input is `question`, with `document` (the text) or `source` (its name);
        its output `answer`, `heads`, `step` and `usage`, and with `exit_gate` `exited`.

    Raises:
        SettingsError: A setting is wrong; the message names it, its value and what is allowed.

    Example:
        >>> graph = create_mhm_agent("extractive", heads=2, head_tokens=30, chunk_tokens=20)
        >>> result = graph.invoke({
        ...     "question": "What did Ahab nail to the mast?",
        ...     "document": "The ship left Nantucket. Ahab nailed a doubloon to the mast. They sailed on.",
        ... })
        >>> print(result["answer"])
        “Ahab nailed a doubloon to the mast.”
    """
    own_selector, own_prompts = resolve_selector(selector), resolve_prompts(prompts)
    own_rule = resolve_rule(grounding_rule)
    values: dict[str, Any] = {
        "heads": heads,
        "head_tokens": head_tokens,
        "memory_tokens": memory_tokens,
        "chunk_tokens": chunk_tokens,
        "answer_tokens": answer_tokens,
        "seed": seed,
        "recall": recall,
        "recall_tokens": recall_tokens,
        "recall_updates": recall_updates,
        "grounding": grounding,
        "call_timeout": call_timeout,
        "max_retries": max_retries,
        "stream_answer": stream_answer,
        "parallel_heads": parallel_heads,
        "update_gate": update_gate,
        "exit_gate": exit_gate,
    }
    # What is the user's own has no name in the settings: a run's context may still name another.
    if own_selector is None:
        values["selector"] = selector
    if own_rule is None:
        values["grounding_rule"] = grounding_rule
    if own_prompts is None and prompts is not None:
        values["prompts"] = prompts
    settings = Settings.checked(values)
    check_width(settings)
    reader = resolve_reader(model, base_url, settings.call_timeout)
    if prompts is None and (preset := getattr(reader, "preset", None)):
        settings = Settings.checked({**values, "prompts": preset})
    loop = Loop(
        settings=settings,
        reader=reader,
        open_source=resolve_sources(sources),
        count=resolve_counter(token_counter, getattr(reader, "model", None)),
        selector=own_selector,
        prompts=own_prompts,
        rule=own_rule,
        recall=Recall(resolve_ranking(recall_ranking)),
    )
    return _compile(loop, checkpointer, store, name)


def _compile(loop: Loop, checkpointer: Checkpointer, store: BaseStore | None, name: str) -> MHMGraph:
    """The loop, on one screen."""
    builder = StateGraph(
        MHMState, input_schema=MHMInput, output_schema=MHMOutput, context_schema=_context_schema(loop)
    )
    trace = TracePolicy(process_inputs=_slim, process_outputs=_slim_output)
    select_head = _Node("select_head", loop.select_head, loop.aselect_head)
    update_head = _Node("update_head", loop.update_head, loop.aupdate_head)
    answer = _Node("answer", loop.answer, loop.aanswer)

    builder.add_node("read_chunk", loop.read_chunk, input_schema=ReadState, trace_policy=trace)
    builder.add_node("select_head", select_head, input_schema=StepState, trace_policy=trace)
    builder.add_node("update_head", update_head, input_schema=StepState, trace_policy=trace)
    builder.add_node("answer", answer, input_schema=AnswerState, trace_policy=trace)

    builder.add_edge(START, "read_chunk")
    builder.add_conditional_edges("read_chunk", _AfterReading(), ["select_head", "answer", END])
    builder.add_edge("select_head", "update_head")
    builder.add_edge("update_head", "read_chunk")
    builder.add_edge("answer", END)
    return MHMGraph.of(builder.compile(checkpointer=checkpointer, store=store, name=name), loop.settings)


def _context_schema(loop: Loop) -> type[Settings]:
    """The settings as a run's context has them: a form shows the factory's values as defaults.

    Where an object of the user's own stands in place of a name there is no default: a form that sends
    every one of them would put the name in its place.
    """
    own = {"selector": loop.selector, "prompts": loop.prompts, "grounding_rule": loop.rule}
    defaults = loop.settings.model_dump()

    def show(schema: dict[str, Any]) -> None:
        for name, shown in schema["properties"].items():
            shown["default"] = defaults[name]
            if own.get(name) is not None:
                del shown["default"]

    class Context(Settings):
        __doc__ = Settings.__doc__
        model_config = ConfigDict(title=Settings.__name__, json_schema_extra=show)

    return Context


class _Node(Runnable[Any, Any]):
    """A node with a sync and an async form; as a function it could have one only.

    Args:
        name: The node's name.
        function: The sync form.
        afunction: The async form.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Any], Any],
        afunction: Callable[[Any], Awaitable[Any]],
    ) -> None:
        self.name = name
        self._function = function
        self._afunction = afunction

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        """Run the node."""
        return self._function(input)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        """Run the node in an async graph."""
        return await self._afunction(input)


class _AfterReading(Runnable[Any, str]):
    """Where read_chunk leads. A runnable, because a function here would be a traced run each step."""

    name = "after_reading"

    def invoke(
        self, input: Any, config: RunnableConfig | None = None, **_: Any
    ) -> Literal["select_head", "answer", "__end__"]:
        """A chunk is to be selected for; else a question is to be answered; else it is done."""
        if input.get("span"):
            return "select_head"
        return "answer" if input.get("question") is not None else "__end__"

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> str:
        """As `invoke`."""
        return self.invoke(input)


def _slim_output(update: Any) -> Any:
    """What a node wrote as a trace shows it: what goes to the archive was written by an earlier run."""
    if not isinstance(update, dict) or "archive" not in update:
        return update
    return {**update, "archive": sorted(update["archive"])}


def _slim(state: Any) -> Any:
    """A node's input as a trace shows it: the document and the heads' texts stay out.

    The model's own run shows them already.
    """
    if not isinstance(state, dict):
        return state
    shown = dict(state)
    if document := state.get("document"):
        shown["document"] = {"fingerprint": document["fingerprint"]}
    if archive := state.get("archive"):
        shown["archive"] = {"texts": len(archive)}
    if heads := state.get("heads"):
        shown["heads"] = [{key: head[key] for key in head if key != "text"} for head in heads]
    return shown
