"""What is tried again and when, and what an error tells: the pure parts (issue 3, item 4)."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.exceptions import ContextOverflowError, ModelAPIError, ModelError

from mhm_langgraph import ReaderError, Settings, SettingsError
from mhm_langgraph.errors import known_secrets, redact
from mhm_langgraph.readers import AnswerRequest, ChatReader, causes, resolve_reader
from mhm_langgraph.readers.causes import Cause, chain, classify, safe_cause, status_of, told
from mhm_langgraph.readers.retry import LONGEST_ASKED, aattempt, attempt, pause_after, retry_after
from mhm_langgraph.testing import ScriptedChatModel

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


class ClientError(Exception):
    """As the clients' exceptions are: a text, and whatever else they carry."""

    def __init__(self, text: str = "failed", **carried: Any) -> None:
        super().__init__(text)
        vars(self).update(carried)


class Response:
    def __init__(self, status_code: int = 429, **headers: str) -> None:
        self.status_code = status_code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def named(name: str, base: type[Exception] = Exception) -> Exception:
    """An exception of a class of that name, as a package that is not installed here would have."""
    return type(name, (base,), {})("failed")


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        *((ClientError(status_code=status), cause) for status, cause in causes.BY_STATUS.items()),
        *((ClientError(status_code=status), causes.BUSY) for status in (500, 502, 503, 504, 520, 529)),
        (ClientError(status_code=418), causes.REFUSED),
        (ClientError(response=Response(503)), causes.BUSY),  # httpx.HTTPStatusError
        (ClientError(code=429), causes.RATE),  # google.genai
        (ClientError(status_code=200), causes.UNKNOWN),
        *((ClientError(status_code=400, body={"code": code}), c) for code, c in causes.BY_CODE.items()),
        (
            ClientError(status_code=529, body={"error": {"type": "overloaded_error"}}),
            causes.BUSY,
        ),  # Anthropic
        (ClientError(status_code=429, body={"code": "insufficient_quota"}), causes.MONEY),
        (ClientError(status_code=500, body={"type": "exceed_context_size_error"}), causes.OVERFLOW),
        (ValueError({"message": "no", "code": 502}), causes.BUSY),  # after a 200, as OpenRouter does
        (ValueError({"type": "exceed_context_size_error", "code": 400}), causes.OVERFLOW),
        (ClientError("prompt is too long: 9 tokens > 8 maximum", status_code=400), causes.OVERFLOW),
        (ClientError("The context window is full", status_code=400), causes.OVERFLOW),
        (ClientError("Requested tokens (516) exceed context window of 512"), causes.OVERFLOW),
        (ClientError("The context window's tokens a minute are used up", status_code=429), causes.RATE),
        (ContextOverflowError(), causes.OVERFLOW),
        (ModelAPIError(), causes.BUSY),
        (ModelError(), causes.UNKNOWN),
        (TimeoutError(), causes.SLOW),
        (TimeoutError("timed out"), causes.SLOW),
        (ConnectionResetError(), causes.BROKEN),
        (BrokenPipeError(), causes.BROKEN),
        (named("APITimeoutError", type("APIConnectionError", (Exception,), {})), causes.SLOW),
        (named("ReadError", type("TransportError", (Exception,), {})), causes.BROKEN),
        (named("APIError"), causes.BUSY),
        (caused(named("APIConnectionError"), named("UnsupportedProtocol")), causes.ADDRESS),
        (caused(named("APIConnectionError"), named("SSLCertVerificationError")), causes.ADDRESS),
        (caused(named("APIConnectionError"), socket.gaierror()), causes.BROKEN),
        (json.JSONDecodeError("no", "", 0), causes.UNREADABLE),
        (RuntimeError("Event loop is closed"), causes.BROKEN),
        (RuntimeError("out of memory"), causes.UNKNOWN),
        (caused(RuntimeError("given up"), TimeoutError()), causes.UNKNOWN),
        (OSError("disk full"), causes.UNKNOWN),
        (TypeError("'NoneType' object is not subscriptable"), causes.UNKNOWN),
        (ValueError("choices"), causes.UNKNOWN),
        (IndexError("list index out of range"), causes.UNKNOWN),
        (asyncio.CancelledError(), causes.UNKNOWN),
        (KeyboardInterrupt(), causes.UNKNOWN),
    ],
    ids=repr,
)
def test_a_failure_is_known_by_what_it_looks_like(error: BaseException, cause: Cause) -> None:
    assert classify(error) is cause


def test_only_what_passes_by_itself_is_tried_again() -> None:
    every = {name: cause for name, cause in vars(causes).items() if isinstance(cause, Cause)}
    passing = {name for name, cause in every.items() if cause.passes}
    assert passing == {"RATE", "SLOW", "BUSY", "BROKEN", "UNREADABLE"}


def test_every_advice_can_be_filled_in_from_the_settings() -> None:
    for cause in (cause for cause in vars(causes).values() if isinstance(cause, Cause)):
        advice = cause.advice.format(**Settings().model_dump())
        assert "{" not in advice
        assert not advice or advice[-1] in ".?"


def test_a_status_is_found_and_other_numbers_are_not() -> None:
    assert status_of(ClientError(code="429")) is None
    assert status_of(ClientError(code=7, status_code=True)) is None
    assert status_of(ClientError(response=Response(404))) == 404


def test_a_circle_of_causes_ends() -> None:
    one, two = ValueError(), TypeError()
    one.__cause__, two.__cause__ = two, one
    assert len(list(chain(one))) == 10


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"RETRY-AFTER": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"Retry-After": "0"}, 0),
        ({"Retry-After": "-3"}, 0),
        ({"Retry-After": "1e999"}, float("inf")),
        ({"Retry-After": "Tue, 14 Nov 2023 22:14:20 GMT"}, 60),
        ({"Retry-After": "Tuesday, 14-Nov-23 22:14:20 GMT"}, 60),
        ({"Retry-After": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0),
        ({"Retry-After": "Tue, 14 Nov 2023 23:14:20 +0100"}, 60),
        *(({"Retry-After": text}, None) for text in ("", "nan", "soon", "1 minute", "Tue, 99 Nov 2023")),
        ({"Date": "Tue, 14 Nov 2023 22:14:20 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert pause_after(headers, NOW) == seconds


def test_retry_after_is_found_wherever_the_reply_hangs() -> None:
    inner = ClientError(response=Response(Retry_After="7"))
    assert retry_after(inner, NOW) == 7
    assert retry_after(caused(ClientError(), inner), NOW) == 7
    assert retry_after(ClientError(response={"Retry-After": "7"}), NOW) is None
    assert retry_after(ClientError(response=None), NOW) is None


def flaky(*failures: Exception) -> Callable[[], str]:
    """A call that fails so often, then succeeds."""
    left = list(failures)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "said"

    return call


async def both(call: Callable[[], str], max_retries: int, *, is_async: bool) -> tuple[str, int]:
    async def acall() -> str:
        return call()

    return await aattempt(acall, max_retries, 60) if is_async else attempt(call, max_retries)


@pytest.mark.parametrize("is_async", [False, True])
async def test_pauses_grow_with_jitter(pauses: list[float], is_async: bool) -> None:
    assert await both(flaky(*[TimeoutError()] * 9), 9, is_async=is_async) == ("said", 9)
    for number, pause in enumerate(pauses):
        least = min(0.5 * 2**number, 30)
        assert least <= pause <= 2 * least
    assert len(pauses) == 9
    await both(flaky(TimeoutError()), 9, is_async=is_async)
    assert pauses[0] != pauses[-1]


async def test_a_server_can_not_ask_for_more_than_a_minute(pauses: list[float]) -> None:
    hostile = ClientError(status_code=429, response=Response(Retry_After="999999"))
    attempt(flaky(*[hostile] * 9), 9)
    assert all(LONGEST_ASKED <= pause <= LONGEST_ASKED + 30 for pause in pauses)


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_last_failure_itself_is_raised_and_says_how_often(is_async: bool) -> None:
    errors = [ConnectionError("first"), ConnectionError("second"), ConnectionError("last")]
    with pytest.raises(ConnectionError, match="last") as caught:
        await both(flaky(*errors), 2, is_async=is_async)
    assert caught.value.__notes__ == ["It was tried 3 times."]
    again = ConnectionError("again and again")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await both(flaky(*[again] * 3), 2, is_async=is_async)
    assert again.__notes__ == ["It was tried 3 times."]
    with pytest.raises(ConnectionError) as caught:
        await both(flaky(ConnectionError("once")), 0, is_async=is_async)
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_mistake_is_raised_at_once(pauses: list[float], is_async: bool) -> None:
    for mistake in (TypeError("no"), ValueError("no"), RuntimeError("no")):
        with pytest.raises(type(mistake)) as caught:
            await both(flaky(mistake), 5, is_async=is_async)
        assert caught.value is mistake
    assert pauses == []


async def test_a_call_without_end_is_broken_off_and_made_again() -> None:
    started: list[int] = []

    async def slow_at_first() -> str:
        started.append(1)
        if len(started) == 1:
            await asyncio.Event().wait()
        return "said"

    assert await aattempt(slow_at_first, 1, 0.01) == ("said", 1)
    started.clear()
    with pytest.raises(TimeoutError, match=r"no reply within 0\.01 seconds"):
        await aattempt(slow_at_first, 0, 0.01)


async def test_cancelling_is_not_a_failure_to_try_again(pauses: list[float]) -> None:
    task = asyncio.ensure_future(aattempt(asyncio.Event().wait, 5, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pauses == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Incorrect API key provided: sk-abc123.", "Incorrect API key provided: ***"),
        ("key sk-proj-AbC_123-xyz expired", "key *** expired"),
        ("b'Bearer sk-abc\\\\ndef' is illegal", "b'Bearer ***' is illegal"),
        ("Authorization: Basic YWRhOnBhc3M=", "Authorization: Basic ***"),
        ("for url 'http://ada:pass@127.0.0.1:80/v1'", "for url 'http://***@127.0.0.1:80/v1'"),
        ("postgresql://ada:p@ss@host/db", "postgresql://***@host/db"),
        ("https://token@host/", "https://***@host/"),
        ("https://host/v1?key=AbCdEf&alt=json", "https://host/v1?key=***&alt=json"),
        ("{'api_key': 'plain', 'model': 'm'}", "{'api_key': '***', 'model': 'm'}"),
        ("password=hunter2, try again", "password=***, try again"),
        *(
            (text, text)
            for text in (
                "{'code': 'invalid_api_key', 'param': None}",
                "head_tokens=1024 is too large",
                "a risk-averse skipper",
                "sk_notes.txt and pk-data-2024.csv",
                "sk-learn is no key, nor is pk_a_very_long_name_of_a_table",
                "mail ada@example.org about https://host/path",
                "http://[::1]:8080/v1 refused",
            )
        ),
    ],
)
def test_secrets_are_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert redact(text, secrets=()) == shown
    assert redact(shown, secrets=()) == shown
    assert str(ReaderError(text)) == redact(text)


def test_the_environment_s_keys_are_hidden_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"A_KEY": "long-enough", "B_TOKEN": "long-enough-too", "C_KEY": "none", "PATH": "/usr/bin"}
    assert known_secrets(environment) == ["long-enough-too", "long-enough"]
    monkeypatch.setenv("OPENAI_API_KEY", "of no known form")
    assert redact("it is of no known form.") == "it is ***."


def test_an_exception_that_holds_a_secret_is_not_kept_as_the_cause() -> None:
    clean = caused(ValueError("no"), ConnectionError("refused"))
    assert safe_cause(clean) is clean
    leaking = caused(ValueError("no"), ConnectionError("refused by http://ada:pass@host"))
    kept = safe_cause(leaking)
    assert str(kept) == "ValueError: no (refused by http://***@host)"
    assert [kept] == list(chain(kept))


def test_what_is_told_is_short_and_on_one_line() -> None:
    assert told(ValueError("one\ntwo.")) == "ValueError: one two"
    assert told(caused(ConnectionError("Connection error."), OSError("No such host"))) == (
        "ConnectionError: Connection error. (No such host)"
    )
    assert len(told(ValueError("x" * 10_000))) < 600


def test_a_huge_text_is_searched_in_no_time_and_not_kept() -> None:
    for text in ("a:" * 500_000, "password" + " " * 1_000_000, "://" * 300_000, "sk-" * 300_000):
        assert len(told(safe_cause(ValueError(text)))) < 600
        assert len(str(ReaderError(text[:50_000]))) <= 50_000


def test_a_model_built_here_has_our_time_out_and_no_retries_of_its_own() -> None:
    reader = resolve_reader("openai:test", "http://127.0.0.1:9/v1", call_timeout=12.0)
    assert isinstance(reader, ChatReader)
    model: Any = reader.model
    assert (model.request_timeout, model.max_retries) == (12.0, 0)


@pytest.mark.parametrize("knows_them", [True, False])
def test_another_provider_s_model_too_where_it_knows_these_options(
    monkeypatch: pytest.MonkeyPatch, knows_them: bool
) -> None:
    given: list[dict[str, Any]] = []

    def build(name: str, **options: Any) -> ScriptedChatModel:
        given.append(options)
        if options and not knows_them:
            raise ValueError("extra fields are forbidden")
        return ScriptedChatModel()

    monkeypatch.setattr("langchain.chat_models.init_chat_model", build)
    resolve_reader("other:test", call_timeout=12.0)
    assert given[0] == {"timeout": 12.0, "max_retries": 0}
    assert given[1:] == ([] if knows_them else [{}])


def test_a_key_in_a_model_s_set_up_error_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(name: str, **options: Any) -> ScriptedChatModel:
        raise RuntimeError("no access with sk-abc0123456789def")

    monkeypatch.setattr("langchain.chat_models.init_chat_model", build)
    with pytest.raises(SettingsError, match=r"could not be set up: RuntimeError: no access with \*\*\*"):
        resolve_reader("other:test")
    with pytest.raises(SettingsError, match=r"api_key': '\*\*\*'"):
        resolve_reader({"api_key": "sk-abc123"})


def test_a_model_that_raises_stop_iteration_does_not_look_like_a_reply() -> None:
    reader = ChatReader(ScriptedChatModel(replies=[StopIteration("lost")]))
    with pytest.raises(RuntimeError, match="StopIteration"):
        reader.answer(AnswerRequest(question="?", heads=[""], answer_tokens=9))
