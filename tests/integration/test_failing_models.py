"""A model that fails, as a real server on loopback through the real ChatOpenAI client."""

from __future__ import annotations

import asyncio
import copy
import json
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import SecretStr

from mhm_langgraph import Choice, HeadSelector, ReaderError, SettingsError, Turn, create_mhm_agent
from mhm_langgraph.readers.causes import chain
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader
from tests.integration.checkpointers import Memory
from tests.integration.conftest import document
from tests.integration.model_server import (
    ANSWERS,
    FAILURES,
    HANGS,
    STALLS,
    ModelServer,
    refuses,
    says,
    sends,
)

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.real_model_requests]

SMALL: dict[str, Any] = {"heads": 3, "chunk_tokens": 10, "head_tokens": 100}
CHUNKS = 4
GIVEN: dict[str, Any] = {"question": "What?", "document": document(CHUNKS)}
THREAD: Any = {"configurable": {"thread_id": "1"}}
Run = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
def opened() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def server(opened: ModelServer) -> ModelServer:
    return opened.anew()


@pytest.fixture(params=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a graph, both ways, and gives its events and its output."""

    async def invoke(graph: Any, given: Any = GIVEN, config: Any = None, **options: Any) -> Any:
        options = {"stream_mode": ["custom", "values"], **options}
        if request.param == "sync":
            parts = list(graph.stream(given, config, **options))
        else:
            parts = [part async for part in graph.astream(given, config, **options)]
        events = [event for mode, event in parts if mode == "custom"]
        return events, next(values for mode, values in reversed(parts) if mode == "values")

    return invoke


def agent(server: ModelServer, **options: Any) -> Any:
    return create_mhm_agent("openai:test", base_url=server.url, **{**SMALL, **options})


def texts(out: Any) -> list[str]:
    return [head["text"] for head in out["heads"]]


@cache
def undisturbed(chunks: int = CHUNKS) -> tuple[list[str], str]:
    """Heads and answer of a run in which nothing fails."""
    with ModelServer() as server:
        out = agent(server).invoke({"question": "What?", "document": document(chunks)})
    return texts(out), out["answer"]


MALFORMED = [
    *(
        "",
        "{}",
        "[]",
        "null",
        '"text"',
        "<html>Sign in</html>",
        '{"choices": "?"}',
        '{"error": "overloaded"}',
    ),
    *('{"choices": []}', '{"choices": null}', '{"choices": [null]}', '{"choices": [{"message": null}]}'),
    *('{"choices": [{"message": {"content": "?"}}]}', '{"error": {"code": 503, "message": "overloaded"}}'),
    *('{"choices": [{"message": {"role": "assistant", "content": 5}}]}',),
]
PASSING = {
    "failures": FAILURES,
    "silence": (HANGS, STALLS),
    "malformed": tuple(sends(body, name=body) for body in MALFORMED),
}


@pytest.mark.parametrize("kind", PASSING)
async def test_what_passes_is_tried_again(
    server: ModelServer, run: Run, pauses: list[float], kind: str
) -> None:
    chunks = len(PASSING[kind])
    for failure in PASSING[kind]:  # one a step
        server.then(failure, failure, ANSWERS)
    graph = agent(server, call_timeout=0.2 if kind == "silence" else 60)
    events, out = await run(graph, {"question": "What?", "document": document(chunks)})
    assert [event["retries"] for event in events] == [2] * chunks + [0], server.behaviours
    assert (texts(out), out["answer"]) == undisturbed(chunks)
    assert len(server.journal) == 3 * chunks + 1
    assert out["usage"]["calls"] == chunks + 1  # what the server answered
    assert not any(event["retried"] or event["empty"] for event in events)
    assert all(0.5 <= pause <= 1 for pause in pauses[::2])
    assert all(1 <= pause <= 2 for pause in pauses[1::2])


WINDOW = r"lower chunk_tokens=10, heads=3 or head_tokens=100 and begin a new thread, or go on with a model"
OVERFLOW = "the request exceeds the available context size. try increasing the context size"
LLAMA = {"type": "exceed_context_size_error", "n_prompt_tokens": 9, "n_ctx": 8, "message": OVERFLOW}
FINAL = {
    "llama.cpp": (refuses(400, {**LLAMA, "code": 400}), WINDOW),
    "llama.cpp, older": (refuses(500, {**LLAMA, "code": 500}), WINDOW),
    "llama.cpp, as a 200": (sends(json.dumps({"error": {**LLAMA, "code": 400}})), WINDOW),
    "OpenAI": (refuses(400, {"code": "context_length_exceeded"}), WINDOW),
    "vLLM": (refuses(400, {"message": "This model's maximum context length is 8 tokens."}), WINDOW),
    "413": (refuses(413), WINDOW),
    "401": (refuses(401), "does not accept the key"),
    "402": (refuses(402), "quota is used up"),
    "429, quota": (refuses(429, {"code": "insufficient_quota"}), "quota is used up"),
    "403": (refuses(403), "no permission for this model"),
    "404": (refuses(404), "no such model or path: check the model's name and base_url"),
    "400": (refuses(400), "refuses the request as it is"),
    "422": (refuses(422), "refuses the request as it is"),
}


@pytest.mark.parametrize("kind", FINAL)
async def test_what_does_not_pass_fails_at_once_and_says_why(
    server: ModelServer, run: Run, pauses: list[float], kind: str
) -> None:
    failure, advice = FINAL[kind]
    server.then(ANSWERS, failure)
    with pytest.raises(ReaderError, match=r"at step 1, chunk \[40, 80\]: .*" + advice) as caught:
        await run(agent(server))
    assert (caught.value.step, caught.value.span) == (1, [40, 80])
    assert "invoke(None, config) goes on from here" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert (len(server.journal), pauses) == (2, [])


async def test_after_the_last_retry_it_is_a_reader_error(server: ModelServer, run: Run) -> None:
    server.then(*[ANSWERS] * CHUNKS).always = refuses(503)
    with pytest.raises(ReaderError, match=r"while answering: .*503.* It was tried 3 times\. The server is"):
        await run(agent(server, max_retries=2))
    assert server.behaviours == ["answers"] * CHUNKS + ["503"] * 3


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7.5),
        ({"Retry-After-Ms": "1500"}, 1.5, 2),
        ({"Retry-After": "86400"}, 60, 60.5),
        ({"Retry-After": "1e999"}, 60, 60.5),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 60, 60.5),
        ({"Retry-After": "in 20 seconds"}, 15, 20.5),  # as a date
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.5, 1),
        ({"Retry-After": "-1"}, 0.5, 1),
        ({"Retry-After": "nan"}, 0.5, 1),
        ({"Retry-After": "soon"}, 0.5, 1),
    ],
)
async def test_a_time_the_server_names_is_waited_for_within_reason(
    server: ModelServer, run: Run, pauses: list[float], asked: dict[str, str], least: float, most: float
) -> None:
    if asked == {"Retry-After": "in 20 seconds"}:
        asked = {"Retry-After": formatdate(time.time() + 20, usegmt=True)}
    server.then(refuses(429, headers=asked))
    await run(agent(server))
    (pause,) = pauses
    assert least <= pause <= most


async def test_a_run_s_context_sets_its_own_patience(server: ModelServer, run: Run) -> None:
    server.then(HANGS)
    context = {"call_timeout": 0.2, "max_retries": 1}
    _, out = await run(agent(server, call_timeout=600, max_retries=0), context=context)
    assert out["answer"] == undisturbed()[1]
    server.then(refuses(500))
    with pytest.raises(ReaderError):
        await run(agent(server), context={"max_retries": 0})


async def test_a_model_object_of_the_caller_s_retries_first(server: ModelServer, run: Run) -> None:
    server.always = refuses(500, headers={"Retry-After-Ms": "1"})
    model = ChatOpenAI(model="test", base_url=server.url, api_key=SecretStr("none"), max_retries=1)
    with pytest.raises(ReaderError):
        await run(create_mhm_agent(model, max_retries=2, **SMALL))
    assert len(server.journal) == 2 * 3


async def test_an_async_call_of_a_model_object_without_a_time_out_ends_too(server: ModelServer) -> None:
    server.then(HANGS, HANGS)
    model = ChatOpenAI(model="test", base_url=server.url, api_key=SecretStr("none"), max_retries=0)
    graph = create_mhm_agent(model, call_timeout=0.2, max_retries=1, **SMALL)
    with pytest.raises(ReaderError, match=r"TimeoutError: no reply within 0.2 seconds. It was tried 2 times"):
        await graph.ainvoke(GIVEN)
    assert texts(await graph.ainvoke(GIVEN)) == undisturbed()[0]


async def test_a_mistake_in_a_model_is_not_tried_again(run: Run, pauses: list[float]) -> None:
    for mistake in (TypeError("no such argument"), ValueError("5"), KeyError("choices"), IndexError()):
        model = ScriptedChatModel(replies=["fact", mistake])
        with pytest.raises(ReaderError, match=type(mistake).__name__) as caught:
            await run(create_mhm_agent(model, **SMALL))
        assert caught.value.__cause__ is mistake
        assert len(model.prompts) == 2
    assert pauses == []


@pytest.mark.parametrize("seed", range(2))
async def test_with_a_fifth_of_all_calls_failing_the_heads_are_the_same(run: Run, seed: int) -> None:
    chunks = 30
    with ModelServer(failure_rate=0.2, seed=seed) as server:
        _, out = await run(agent(server), {"question": "What?", "document": document(chunks)})
    assert (texts(out), out["answer"]) == undisturbed(chunks)
    assert server.behaviours.count("answers") == chunks + 1
    assert len(server.journal) > chunks + 4


@pytest.mark.parametrize("kind", ["sqlite", "async-sqlite"])
@pytest.mark.parametrize("broken", [*range(CHUNKS), "answer"])
async def test_a_run_goes_on_after_a_reader_error(
    server: ModelServer, tmp_path: Path, kind: str, broken: int | str
) -> None:
    memory = Memory(kind, str(tmp_path / "memory.sqlite"))
    done = CHUNKS if broken == "answer" else int(broken)
    server.then(*[ANSWERS] * done, refuses(500), refuses(500))
    async with memory.opened(lambda saver: agent(server, checkpointer=saver, max_retries=1)) as driver:
        with pytest.raises(ReaderError):
            await driver.invoke(GIVEN, memory.thread())
    async with memory.opened(lambda saver: agent(server, checkpointer=saver)) as driver:
        state = (await driver.state(memory.thread())).values
        assert state["step"] == done
        assert all(text.startswith("fact ") or not text for text in texts(state))
        out = await driver.invoke(None, memory.thread())
    assert (texts(out), out["answer"]) == undisturbed()
    answered = [asked.prompt for asked in server.journal if asked.behaviour == "answers"]
    assert len(answered) == len(set(answered)) == CHUNKS + 1
    assert out["usage"]["calls"] == CHUNKS + 1


async def test_a_larger_window_lets_an_overflowing_run_go_on(server: ModelServer, tmp_path: Path) -> None:
    memory = Memory("sqlite", str(tmp_path / "memory.sqlite"))
    server.then(ANSWERS, refuses(400, {"code": "context_length_exceeded"}))
    async with memory.opened(lambda saver: agent(server, checkpointer=saver)) as driver:
        with pytest.raises(ReaderError):
            await driver.invoke(GIVEN, memory.thread())
        out = await driver.invoke(None, memory.thread())
    assert (texts(out), out["answer"]) == undisturbed()


async def test_a_cancelled_run_goes_on_too(server: ModelServer, tmp_path: Path) -> None:
    memory = Memory("async-sqlite", str(tmp_path / "memory.sqlite"))
    server.then(ANSWERS, ANSWERS, HANGS)
    async with memory.opened(lambda saver: agent(server, checkpointer=saver)) as driver:
        task = asyncio.ensure_future(driver.invoke(GIVEN, memory.thread()))
        while len(server.journal) < 3:  # noqa: ASYNC110  # it is asked in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        out = await driver.invoke(None, memory.thread())
    assert (texts(out), out["answer"]) == undisturbed()
    assert len(server.journal) == CHUNKS + 1 + 1


EMPTY = {
    "empty": says(""),
    "null": says(None),
    "white space": says(" \n"),
    "only a thought": says("<think>Hm, let me", "length"),
    "filtered": says(None, "content_filter"),
    "filtered in the middle": says("He took the", "content_filter"),
    "refused": says(None, refusal="I can not help with that."),
    "a tool call": says(None, "tool_calls", tool_calls=[]),
    "the prompt filtered": refuses(400, {"code": "content_filter"}),
}


@pytest.mark.parametrize("kind", EMPTY)
async def test_an_empty_reply_is_asked_for_once_more_and_the_head_keeps_its_text(
    server: ModelServer, run: Run, pauses: list[float], kind: str
) -> None:
    server.then(ANSWERS, ANSWERS, ANSWERS, EMPTY[kind], EMPTY[kind])
    events, out = await run(agent(server), {"question": "What?", "document": document(5)})
    first = server.reply(server.journal[0].prompt)
    assert texts(out)[0] == first  # step 3 was its turn too
    assert [event["empty"] for event in events] == [False, False, False, True, False, False]
    assert events[3]["retried"]
    assert events[3]["retries"] == 0
    assert [event["head"] for event in events[:-1]] == [0, 1, 2, 0, 1]
    assert pauses == []
    server.then(EMPTY[kind])
    events, out = await run(agent(server), {"question": "What?", "document": document(1)})
    assert texts(out)[0].startswith("fact ")
    assert events[0]["retried"]


async def test_a_reply_cut_at_its_limit_is_kept_and_told(server: ModelServer, run: Run) -> None:
    server.then(says("Ahab lost a leg to", "length"))
    events, out = await run(agent(server), {"document": document(1)})
    assert texts(out)[0] == "Ahab lost a leg to"
    assert events[0]["cut"]


async def test_a_reply_cut_after_a_few_words_does_not_replace_a_full_head(
    server: ModelServer, run: Run
) -> None:
    """As where the prompt leaves a few tokens of the model's window."""
    server.then(ANSWERS, says("The", "length"), says("The", "length"))
    events, out = await run(agent(server, heads=1), {"document": document(2)})
    assert texts(out) == [server.reply(server.journal[0].prompt)]
    assert (events[1]["cut"], events[1]["empty"], events[1]["retried"]) == (True, True, True)


async def test_what_can_not_be_stored_does_not_reach_a_head(server: ModelServer, tmp_path: Path) -> None:
    server.always = says("half \ud83d a pair\0")
    memory = Memory("async-sqlite", str(tmp_path / "memory.sqlite"))
    async with memory.opened(lambda saver: agent(server, checkpointer=saver)) as driver:
        out = await driver.invoke(GIVEN, memory.thread())
    assert texts(out) == ["half \ufffd a pair\ufffd"] * 3


KEYS = ("sk-proj-0123456789abcdef", "a key of no known form", "ada-s-password")
LEAKS = {
    "401": refuses(401, {"message": f"Incorrect API key provided: {KEYS[0]}. You sent {KEYS[1]}."}),
    "403": refuses(403, {"message": f"http://ada:{KEYS[2]}@127.0.0.1/v1 is not for Bearer {KEYS[0]}"}),
    "404": refuses(404),  # httpx tells the whole URL
    "503": refuses(503, {"message": f"upstream said: api_key={KEYS[0]}"}),
    "500": sends(f"<html>{KEYS[0]}</html>", 500),
    "html": sends(f"<html>{KEYS[0]}</html>"),
}


@pytest.mark.parametrize("kind", [*LEAKS, "illegal header"])
def test_secrets_reach_neither_error_nor_checkpoint_nor_event(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEYS[0])
    monkeypatch.setenv("ANOTHER_API_KEY", KEYS[1])
    server.then(ANSWERS).always = LEAKS.get(kind, ANSWERS)
    url = server.url.replace("//", f"//ada:{KEYS[2]}@")
    if kind == "illegal header":  # the client's exception shows it whole
        monkeypatch.setenv("OPENAI_API_KEY", f"sk-proj\n{KEYS[0]}")
        url = server.url  # one with a password would be sent instead of the key
    told: list[Any] = []
    with SqliteSaver.from_conn_string(str(tmp_path / "memory.sqlite")) as saver:
        graph = create_mhm_agent("openai:test", base_url=url, checkpointer=saver, **SMALL)
        with pytest.raises(ReaderError, match="What was read before is kept") as caught:
            told.extend(graph.stream(GIVEN, THREAD, stream_mode=["custom", "values", "debug"]))
        told.append(graph.get_state(THREAD))
    shown = [repr(told), *traceback.format_exception(caught.value)]
    shown += [text for at in chain(caught.value) for text in (str(at), repr(at))]
    shown += [file.read_bytes().decode(errors="replace") for file in tmp_path.iterdir()]
    for secret in KEYS:
        assert not [text for text in shown if secret in text]
    assert len(shown) > 4


def test_the_reason_is_told_without_the_word_on_how_to_go_on() -> None:
    graph = create_mhm_agent(ScriptedReader(update=leaks), **SMALL)
    with pytest.raises(ReaderError) as caught:
        graph.invoke(GIVEN)
    reason = caught.value.reason
    assert reason.startswith("The reader failed at step 0, chunk [0, 40]: ConnectionError: 401 for key ***")
    assert str(caught.value).startswith(f"{reason} What was read before is kept: ")
    copied = copy.copy(caught.value)  # as pickle makes one
    assert (copied.reason, str(copied), copied.step) == (reason, str(caught.value), 0)
    assert ReaderError("gone with sk-abcdef0123456789").reason == "gone with ***"


def leaks(*_: Any) -> Any:
    raise ConnectionError(f"401 for key {KEYS[0]} at https://ada:{KEYS[2]}@127.0.0.1/v1")


class LeakingSelector(HeadSelector):
    def select(self, turn: Turn) -> Choice:
        return cast(Choice, leaks(turn))


BUILDERS_OWN: dict[str, dict[str, Any]] = {
    "reader": {"model": ScriptedReader(update=leaks)},
    "selector": {"selector": LeakingSelector()},
    "recall at updates": {"recall": 1, "recall_updates": True, "recall_ranking": leaks},
    "recall with the answer": {"recall": 1, "recall_ranking": leaks},
    "grounding rule": {"grounding": "flag", "grounding_rule": leaks},
}


@pytest.mark.parametrize("kind", BUILDERS_OWN)
async def test_secrets_that_code_of_the_builder_s_raises_reach_none_of_them(run: Run, kind: str) -> None:
    saver = InMemorySaver()
    model = ScriptedReader(update=lambda request: f"Text {request.step}.")
    options = {"model": model, "heads": 1, "chunk_tokens": 10, "checkpointer": saver, **BUILDERS_OWN[kind]}
    who = next((who for who in ("recall", "grounding rule") if kind.startswith(who)), "reader")
    with pytest.raises(ReaderError, match=f"The {who} failed") as caught:
        await run(create_mhm_agent(**options), GIVEN, THREAD)
    assert "What was read before is kept" in str(caught.value)
    stored = repr([(at.checkpoint, at.pending_writes) for at in saver.list(THREAD)])
    assert "ReaderError" in stored
    for secret in (KEYS[0], KEYS[2]):
        assert secret not in "".join([stored, *traceback.format_exception(caught.value)])


async def test_tokens_that_nobody_sees_are_not_streamed(server: ModelServer) -> None:
    """A broken stream can look like a whole reply; the messages stream would turn it on."""
    graph = agent(server, stream_answer=True)
    shown = [part async for part in graph.astream(GIVEN, stream_mode="messages")]
    assert "".join(message.text for message, _ in shown) == undisturbed()[1]
    assert [asked.body["stream"] for asked in server.journal] == [False] * CHUNKS + [True]


async def test_many_at_once_on_one_server() -> None:
    with ModelServer(latency=0.05, failure_rate=0.2) as server:
        outs = await agent(server).abatch([GIVEN] * 16)
    assert {out["answer"] for out in outs} == {undisturbed()[1]}
    assert server.most_at_once > 4


@pytest.mark.parametrize("url", ["127.0.0.1:8080/v1", "ftp://127.0.0.1/v1", "ada:ada-s-password@host", ""])
def test_an_address_without_http_is_told_when_the_graph_is_built(url: str) -> None:
    with pytest.raises(SettingsError, match="it starts with http:// or https://"):
        create_mhm_agent("openai:test", base_url=url)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"call_timeout": 0}, "call_timeout=0"),
        ({"call_timeout": float("nan")}, "call_timeout=nan"),
        ({"call_timeout": "60"}, "call_timeout='60'"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"max_retries": 2.5}, r"max_retries=2\.5"),
        ({"max_retries": True}, "max_retries=True"),
    ],
)
def test_a_wrong_patience_is_told_when_the_graph_is_built(options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        create_mhm_agent("extractive", **options)
