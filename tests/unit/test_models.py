"""From what a caller names as the model to a reader."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

import pytest

from mhm_langgraph import MHMError, Reader, Reply, SettingsError, create_mhm_agent
from mhm_langgraph.readers import ChatReader, resolve_reader
from mhm_langgraph.testing import ScriptedChatModel, ScriptedReader

KEY = "sk-verysecretkey1234567890"
PASSWORD = "hunter2hunter2"  # noqa: S105  # the one that must not show


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's own keys are, they are not in the game."""
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_ORG_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_a_reader_is_taken_as_it_is() -> None:
    reader = ScriptedReader()
    assert resolve_reader(reader) is reader


def test_a_chat_model_is_read_with() -> None:
    model = ScriptedChatModel()
    reader = resolve_reader(model)
    assert isinstance(reader, ChatReader)
    assert reader.model is model


def test_extractive_needs_no_key() -> None:
    assert "not a language model" in resolve_reader("extractive").description


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("name", ["gpt-4.1-mini", "org/model:latest", "ft:gpt-4.1:me::id"])
def test_openai_by_name(name: str) -> None:
    reader = resolve_reader(f"openai:{name}")
    assert type(reader.model).__name__ == "ChatOpenAI"
    assert reader.model.model_name == name == reader.description
    assert reader.model.max_retries == 0, "the reader retries, and alone"


@pytest.mark.usefixtures("key")
def test_the_limit_of_a_reply_is_known_for_openai() -> None:
    """Without it every update could run to the model's own limit."""
    reader = resolve_reader("openai:gpt-4.1-mini")
    payload = reader.model._get_request_payload([("human", "?")], max_tokens=50)
    assert 50 in (payload.get("max_tokens"), payload.get("max_completion_tokens"))
    assert "max_tokens" in type(reader.model).model_fields


def test_a_server_of_ones_own_needs_no_key() -> None:
    reader = resolve_reader("openai:local", "http://127.0.0.1:8080/v1")
    assert reader.model.openai_api_base == "http://127.0.0.1:8080/v1"
    assert reader.model.openai_api_key.get_secret_value() != ""


@pytest.mark.usefixtures("key")
def test_a_key_that_is_there_goes_to_a_server_of_ones_own() -> None:
    reader = resolve_reader("openai:local", "https://models.example/v1")
    assert reader.model.openai_api_key.get_secret_value() == KEY


def test_without_a_key_the_message_names_it() -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY") as raised:
        resolve_reader("openai:gpt-4.1-mini")
    assert "model='openai:gpt-4.1-mini' could not be set up" in str(raised.value)


@pytest.mark.parametrize(
    "model", ["extractive", "anthropic:claude", "openai", ScriptedChatModel(), ScriptedReader()]
)
def test_an_address_goes_with_openai_only(model: Any) -> None:
    with pytest.raises(SettingsError, match="base_url goes with"):
        resolve_reader(model, "http://127.0.0.1:8080/v1")


@pytest.mark.parametrize(
    "base_url",
    ["", "localhost:8080", "ftp://models.example", "/v1", 5, b"http://models.example", ["http://a"]],
)
def test_an_address_is_one(base_url: Any) -> None:
    with pytest.raises(SettingsError, match="base_url"):
        resolve_reader("openai:local", base_url)


@pytest.mark.parametrize("model", ["", "gpt-4.1-mini", "openai:", ":gpt", "Extractive", "extractive ", " "])
def test_a_name_that_is_none_is_refused_with_what_is_allowed(model: str) -> None:
    with pytest.raises(SettingsError, match="provider:model") as raised:
        resolve_reader(model)
    assert repr(model) in str(raised.value)


@pytest.mark.parametrize(
    "model",
    [None, 5, True, ["openai:gpt"], {"model": "gpt"}, object(), b"extractive"],
    ids=lambda m: type(m).__name__,
)
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(SettingsError, match="model="):
        resolve_reader(model)


@pytest.mark.parametrize(
    "model", [ScriptedReader, ScriptedChatModel, Reader], ids=["reader", "chat", "protocol"]
)
def test_a_class_is_no_model(model: Any) -> None:
    """The likeliest slip: the class instead of one of it. Found when the graph is built (Contract 8)."""
    with pytest.raises(SettingsError, match="model="):
        create_mhm_agent(model)


def test_a_reader_that_lacks_a_method_is_refused() -> None:
    class Half:
        def update(self, request: Any) -> Any: ...

    with pytest.raises(SettingsError, match="Half"):
        resolve_reader(Half())


@pytest.mark.parametrize("given", ["text", None, {"text": "x"}, Reply(text=5), Reply(text=b"x")], ids=repr)
@pytest.mark.parametrize("method", ["update", "answer"])
def test_a_reader_that_gives_no_reply_is_named(method: str, given: Any) -> None:
    """The likeliest slip in a reader of one's own: to return the text alone."""

    class Mine(ScriptedReader):
        pass

    setattr(Mine, method, lambda self, request: given)
    with pytest.raises(MHMError, match="Mine"):
        create_mhm_agent(Mine()).invoke({"question": "Who?", "document": "Text."})


# Other providers.


def test_another_provider_without_langchain_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mhm_langgraph.readers.models.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install .mhm-langgraph\[providers\]") as raised:
        resolve_reader("anthropic:claude-sonnet")
    assert "anthropic:claude-sonnet" in str(raised.value)
    assert "langchain-anthropic" in str(raised.value)


def test_openai_needs_no_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mhm_langgraph.readers.models.find_spec", lambda name: None)
    assert isinstance(resolve_reader("openai:local", "http://127.0.0.1:8080/v1"), ChatReader)


@pytest.fixture
def init_chat_model(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Stands in for langchain's own, which would look for a provider's package; returns its calls."""
    calls: list[tuple[str, dict[str, Any]]] = []

    def stand_in(model: str, **options: Any) -> ScriptedChatModel:
        calls.append((model, options))
        if "unknown-option" in model and options:
            raise TypeError("unexpected keyword argument 'timeout'")
        if "missing" in model:
            raise ImportError(f"Please install it with `pip install langchain-missing`: {KEY}")
        return ScriptedChatModel()

    module = ModuleType("langchain.chat_models")
    module.init_chat_model = stand_in  # type: ignore[attr-defined]  # a stand-in
    monkeypatch.setitem(sys.modules, "langchain.chat_models", module)
    monkeypatch.setattr("mhm_langgraph.readers.models.find_spec", lambda name: object())
    return calls


def test_another_provider_goes_through_langchain(init_chat_model: list[Any]) -> None:
    assert isinstance(resolve_reader("anthropic:claude:1", call_timeout=7.0).model, ScriptedChatModel)
    assert init_chat_model == [("anthropic:claude:1", {"timeout": 7.0, "max_retries": 0})]


def test_a_provider_that_knows_no_such_options_is_set_up_without(init_chat_model: list[Any]) -> None:
    resolve_reader("unknown-option:model")
    assert init_chat_model[-1] == ("unknown-option:model", {})


@pytest.mark.usefixtures("init_chat_model", "key")
def test_a_missing_package_is_named_and_no_secret() -> None:
    with pytest.raises(SettingsError, match="pip install langchain-missing") as raised:
        resolve_reader("missing:model")
    assert KEY not in str(raised.value)


# Secrets.


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize(
    "base_url",
    [
        f"http://user:{PASSWORD}@host:notaport/v1",
        f"http://user:{PASSWORD}@ho\0st/v1",
        f"http://user:{PASSWORD}@[::1/v1",
        f"user:{PASSWORD}@host",
        f"ftp://user:{PASSWORD}@host",
        [f"http://user:{PASSWORD}@host"],
        {"url": f"http://user:{PASSWORD}@host"},
    ],
    ids=ascii,
)
def test_no_secret_is_in_the_text_of_an_error_nor_of_its_causes(base_url: Any) -> None:
    with pytest.raises(SettingsError) as raised:
        resolve_reader("openai:gpt-4.1-mini", base_url)
    error: BaseException | None = raised.value
    while error is not None:
        assert PASSWORD not in str(error)
        assert KEY not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize("model", [{"api_key": KEY}, [KEY], KEY], ids=["dict", "list", "text"])
def test_a_key_given_for_a_model_is_not_shown(model: Any) -> None:
    with pytest.raises(SettingsError) as raised:
        resolve_reader(model)
    assert KEY not in str(raised.value)


@pytest.mark.usefixtures("key")
def test_no_secret_is_in_what_a_reader_shows_of_itself() -> None:
    reader = resolve_reader("openai:gpt-4.1-mini", f"http://user:{PASSWORD}@models.example/v1")
    assert KEY not in repr(reader) + reader.description
    assert PASSWORD not in repr(reader) + reader.description


# The tests' own switch.


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
async def test_a_test_can_not_call_a_real_model(how: str) -> None:
    model = resolve_reader("openai:gpt-4.1-mini").model

    async def call() -> None:
        if how == "invoke":
            model.invoke("?")
        elif how == "ainvoke":
            await model.ainvoke("?")
        elif how == "stream":
            list(model.stream("?"))
        else:
            [chunk async for chunk in model.astream("?")]

    with pytest.raises(RuntimeError, match="a test called ChatOpenAI"):
        await call()


def test_a_test_does_not_trace() -> None:
    assert [name for name in os.environ if name.startswith(("LANGSMITH_", "LANGCHAIN_"))] == []
