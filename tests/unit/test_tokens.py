"""Token counters: the default, and what a caller may name."""

from __future__ import annotations

from typing import Any

import pytest
import tiktoken
from hypothesis import given

from mhm_langgraph import SettingsError, create_mhm_agent
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader
from mhm_langgraph.tokens import resolve_counter, utf8_tokens

from .texts import moby_dick, texts


@given(texts, texts)
def test_utf8_tokens_grow_with_the_text(text: str, more: str) -> None:
    assert utf8_tokens(text) <= utf8_tokens(text + more) <= utf8_tokens(text) + utf8_tokens(more)
    assert utf8_tokens(text) == -(-len(text.encode()) // 4)


@pytest.mark.parametrize(
    ("text", "least"),
    # What o200k_base counts, measured once; its file is not needed here.
    [("", 0), ("a", 1), ("叫我以实玛利吧。", 6), ("吾輩は猫である。", 6), ("👨‍👩‍👧‍👦", 7), ("안녕하세요", 2)],
    ids=["nothing", "one", "chinese", "japanese", "emoji", "korean"],
)
def test_utf8_tokens_do_not_undercount(text: str, least: int) -> None:
    assert utf8_tokens(text) >= least


def test_utf8_tokens_are_about_right_for_english() -> None:
    text = moby_dick()
    assert 1.2 <= utf8_tokens(text) / len(text.split()) <= 1.6


def test_half_a_surrogate_pair_is_counted() -> None:
    assert utf8_tokens("\ud800") == 1


@pytest.mark.parametrize("counter", [None, utf8_tokens])
def test_the_default_is_utf8_bytes(counter: Any) -> None:
    assert resolve_counter(counter) is utf8_tokens


def test_any_function_counts() -> None:
    assert resolve_counter(lambda text: len(text) * 2)("abc") == 6


class Tokenizer:
    """As Hugging Face's: `encode` gives ids, and the object may be callable too."""

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": self.encode(text)}


def test_a_tokenizer_counts_by_its_encode() -> None:
    assert resolve_counter(Tokenizer())("abc") == 3


@pytest.fixture
def encoding() -> tiktoken.Encoding:
    """One token a byte, and a special token; no file is loaded."""
    return tiktoken.Encoding(
        "bytes",
        pat_str=r"[\s\S]",
        mergeable_ranks={bytes([byte]): byte for byte in range(256)},
        special_tokens={"<|endoftext|>": 256},
    )


@pytest.mark.parametrize(("name", "loaded"), [("tiktoken", "o200k_base"), ("tiktoken:cl100k", "cl100k")])
def test_tiktoken_by_name(
    name: str, loaded: str, encoding: tiktoken.Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def get_encoding(encoding_name: str) -> tiktoken.Encoding:
        asked.append(encoding_name)
        return encoding

    monkeypatch.setattr(tiktoken, "get_encoding", get_encoding)
    count = resolve_counter(name)
    assert asked == [loaded], "it is loaded when the graph is built, not inside the loop"
    assert count("漢<|endoftext|>") == 16, "a special token in a text is text"


def test_a_special_token_in_a_text_does_not_stop_a_tokenizer_given_as_an_object(
    encoding: tiktoken.Encoding,
) -> None:
    assert resolve_counter(encoding)("漢<|endoftext|>") == 16


class Counting(ScriptedChatModel):
    def get_num_tokens(self, text: str) -> int:
        return len(text) * 3


class NotCounting(ScriptedChatModel):
    def get_num_tokens(self, text: str) -> int:
        raise ImportError("Could not import transformers python package.")


def test_the_models_own_counter() -> None:
    assert resolve_counter("model", Counting())("abc") == 9


@pytest.mark.parametrize(
    ("counter", "model", "named"),
    [
        ("model", None, "token_counter='model'"),
        ("model", ScriptedReader(), "chat model"),
        ("model", NotCounting(), "transformers"),
        ("tiktoken:no_such_encoding", None, "no_such_encoding"),
        ("words", None, "'words'"),
        ("model ", None, "'model '"),
        ("tik", None, "'tik'"),
        ("", None, "''"),
        (5, None, "token_counter=5"),
        (True, None, "token_counter=True"),
        (["tiktoken"], None, "tiktoken"),
    ],
    ids=[
        "no-model",
        "no-chat-model",
        "chat-model-without-tokenizer",
        "unknown-encoding",
        "unknown-name",
        "white-space",
        "part-of-a-name",
        "empty",
        "int",
        "bool",
        "list",
    ],
)
def test_what_is_no_counter_is_refused_when_the_graph_is_built(counter: Any, model: Any, named: str) -> None:
    with pytest.raises(SettingsError, match="token_counter") as raised:
        resolve_counter(counter, model)
    assert named in str(raised.value)


def _fails(text: str) -> int:
    raise KeyError(text)


@pytest.mark.parametrize(
    "counter",
    [lambda text: None, lambda text: "3", lambda text: [1, 2], lambda text: -1, _fails, lambda: 3],
    ids=["none", "text", "list", "negative", "fails", "no-argument"],
)
def test_a_counter_that_does_not_count_is_a_settings_error(counter: Any) -> None:
    with pytest.raises(SettingsError, match="token_counter"):
        resolve_counter(counter)("some text")


def test_a_model_named_by_a_string_can_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mhm_langgraph.readers.models._openai", lambda *_: Counting())
    settings = {"token_counter": "model", "chunk_tokens": 30}
    graph = create_mhm_agent("openai:any", **settings)
    events = graph.stream({"document": "0123456789" * 2}, stream_mode="custom")
    assert [event["chunk_tokens"] for event in events] == [30, 30]
