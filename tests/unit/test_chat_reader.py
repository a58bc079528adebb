"""The chat model reader: what it asks, and what it makes of the replies."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langgraph.constants import TAG_NOSTREAM

from mhm_langgraph import COMPACT, BudgetError, Reply
from mhm_langgraph.readers import AnswerRequest, ChatReader, Load, Pick, PickRequest, UpdateRequest
from mhm_langgraph.testing import ScriptedChatModel
from mhm_langgraph.tokens import utf8_tokens

from .texts import moby_dick, words

SENTENCES = "Ahab lost a leg. The whale took it. The ship sailed on. Nobody spoke of it again."


@pytest.fixture(params=["sync", "async"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def ask(model: ScriptedChatModel, request: Any, mode: str) -> Any:
    """The reply to a request of any kind, from the method of that mode."""
    reader = ChatReader(model)
    name = {UpdateRequest: "update", AnswerRequest: "answer", PickRequest: "pick"}[type(request)]
    if mode == "async":
        return await getattr(reader, f"a{name}")(request)
    return getattr(reader, name)(request)


def update(**values: Any) -> UpdateRequest:
    return UpdateRequest(
        **{"question": "Who?", "heads": ["", ""], "head": 1, "chunk": "...", "head_tokens": 50, **values}
    )


def answer(**values: Any) -> AnswerRequest:
    return AnswerRequest(**{"question": "Who?", "heads": ["Ahab", ""], "answer_tokens": 50, **values})


def pick(**values: Any) -> PickRequest:
    return PickRequest(**{"question": "Who?", "heads": ["Ahab", ""], "chunk": "...", **values})


def said(text: str, sent: int = 0, received: int = 0, **metadata: Any) -> AIMessage:
    usage = {"input_tokens": sent, "output_tokens": received, "total_tokens": sent + received}
    return AIMessage(text, usage_metadata=usage, response_metadata=metadata)


requests = pytest.mark.parametrize("request_", [update(), answer()], ids=["update", "answer"])


@requests
async def test_a_reply_is_cleaned_and_paid_for(request_: Any, mode: str) -> None:
    model = ScriptedChatModel(replies=[said("<think>Who?</think>\n```\nAhab.\n```", 70, 9)])
    assert await ask(model, request_, mode) == Reply(
        text="Ahab.", usage={"input_tokens": 70, "output_tokens": 9, "calls": 1}
    )
    assert len(model.prompts) == 1


@requests
@pytest.mark.parametrize("empty", ["", "  \n", "<think>Nothing comes to mind", "```\n```"])
async def test_an_empty_reply_is_asked_for_once_more(request_: Any, empty: str, mode: str) -> None:
    model = ScriptedChatModel(replies=[said(empty, 70, 9), said("Ahab.", 71, 2)])
    assert await ask(model, request_, mode) == Reply(
        text="Ahab.", usage={"input_tokens": 141, "output_tokens": 11, "calls": 2}, retried=True
    )
    assert model.prompts[0] == model.prompts[1]
    assert model.limits[0] == model.limits[1]


@requests
async def test_two_empty_replies_are_an_empty_reply_and_no_more_is_asked(request_: Any, mode: str) -> None:
    model = ScriptedChatModel(replies=[said("", 70, 1), said(" ", 70, 2), said("too late")])
    assert await ask(model, request_, mode) == Reply(
        text="", usage={"input_tokens": 140, "output_tokens": 3, "calls": 2}, retried=True
    )
    assert len(model.prompts) == 2


@requests
async def test_a_model_that_reports_no_usage_costs_calls_alone(request_: Any, mode: str) -> None:
    reply = await ask(ScriptedChatModel(replies=[AIMessage(""), AIMessage("Ahab.")]), request_, mode)
    assert reply.usage == {"input_tokens": 0, "output_tokens": 0, "calls": 2}


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        (14, "Ahab lost a leg. The whale took it. The ship sailed on."),
        (13, "Ahab lost a leg. The whale took it."),
        (9, "Ahab lost a leg. The whale took it."),
        (4, "Ahab lost a leg."),
        (3, "Ahab lost a"),
        (1, "Ahab"),
    ],
)
async def test_the_budget_is_enforced_at_a_sentence_else_a_word(tokens: int, kept: str, mode: str) -> None:
    model = ScriptedChatModel(replies=[SENTENCES])
    reply = await ask(model, update(head_tokens=tokens), mode)
    assert (reply.text, reply.cut) == (kept, True)
    reply = await ask(model, answer(answer_tokens=tokens), mode)
    assert (reply.text, reply.cut) == (kept, True)


@given(st.integers(1, 3000), st.sampled_from([utf8_tokens, len, words]))
def test_no_reply_is_over_the_budget(tokens: int, count: Any) -> None:
    reader = ChatReader(ScriptedChatModel(replies=[moby_dick()[:20_000]]))
    reply = reader.update(update(head_tokens=tokens, count=count))
    assert count(reply.text) <= tokens
    assert reply.text
    assert reply.cut == (reply.text != moby_dick()[:20_000].strip())


async def test_a_reply_within_the_budget_is_not_cut(mode: str) -> None:
    reply = await ask(ScriptedChatModel(replies=[SENTENCES]), update(head_tokens=21), mode)
    assert (reply.text, reply.cut) == (SENTENCES, False)


@requests
async def test_a_reply_cut_by_the_models_limit_is_marked(request_: Any, mode: str) -> None:
    reply = await ask(ScriptedChatModel(replies=[said("Ahab lost", finish_reason="length")]), request_, mode)
    assert (reply.text, reply.cut) == ("Ahab lost", True)


async def test_it_is_the_reply_that_counts_that_is_marked(mode: str) -> None:
    replies = [said("<think>Too long", finish_reason="length"), said("Ahab.", finish_reason="stop")]
    reply = await ask(ScriptedChatModel(replies=replies), update(), mode)
    assert (reply.text, reply.cut, reply.retried) == ("Ahab.", False, True)


async def test_a_few_words_cut_short_do_not_take_the_place_of_a_whole_head(mode: str) -> None:
    """A window that is full cuts a reply after a few words."""
    cut = said("Ahab", finish_reason="length")
    reply = await ask(ScriptedChatModel(replies=[cut]), update(heads=["", SENTENCES]), mode)
    assert (reply.text, reply.cut, reply.retried) == ("", True, True)
    reply = await ask(ScriptedChatModel(replies=[cut]), update(heads=[SENTENCES, ""]), mode)
    assert reply.text == "Ahab", "it is the head's own text that would be lost, not another's"
    short = said("Ahab", finish_reason="stop")
    reply = await ask(ScriptedChatModel(replies=[short]), update(heads=["", SENTENCES]), mode)
    assert reply.text == "Ahab", "a model may be brief"


# The limit of a reply.


@pytest.mark.parametrize(
    ("request_", "limit"), [(update(), 50), (answer(answer_tokens=7), 7)], ids=["update", "answer"]
)
async def test_the_limit_is_passed_to_the_model(request_: Any, limit: int, mode: str) -> None:
    model = ScriptedChatModel(replies=["Ahab."])
    await ask(model, request_, mode)
    assert model.limits == [limit]


async def test_a_pick_is_limited_too_and_asked_once(mode: str) -> None:
    model = ScriptedChatModel(replies=[said("", 5, 1)])
    picked = await ask(model, pick(), mode)
    assert picked == Pick(head=None, usage={"input_tokens": 5, "output_tokens": 1, "calls": 1})
    assert model.limits[0] <= 64


async def test_a_model_that_reasons_has_no_limit_passed(mode: str) -> None:
    """It would count the reasoning too, and leave nothing for the reply."""
    model = ScriptedChatModel(replies=["Ahab."], profile={"reasoning_output": True})
    for request_ in (update(), answer(), pick()):
        await ask(model, request_, mode)
    assert model.limits == [None, None, None]


async def test_a_models_own_limit_stays_where_none_is_passed(mode: str) -> None:
    model = ScriptedChatModel(replies=["Ahab."], max_tokens=4000, profile={"reasoning_output": True})
    await ask(model, update(), mode)
    assert model.limits == [4000]


@pytest.mark.parametrize(
    "profile", [None, {}, {"reasoning_output": False}, {"max_output_tokens": 5}], ids=repr
)
async def test_a_profile_that_tells_little_changes_nothing(profile: Any, mode: str) -> None:
    model = ScriptedChatModel(replies=["Ahab."], profile=profile)
    await ask(model, update(), mode)
    assert model.limits == [50]
    assert ChatReader(model).window is None


class Recording(ScriptedChatModel):
    """Records the names of all options, whatever they are."""

    seen: list[dict[str, Any]] = []  # noqa: RUF012  # a pydantic field, copied for each model

    def _generate(self, *args: Any, **options: Any) -> Any:
        self.seen.append(options)
        return super()._generate(*args, **options)


def _naming(field: str) -> type[Recording]:
    return type(f"With_{field}", (Recording,), {"__annotations__": {field: int | None}, field: None})


@pytest.mark.parametrize("field", ["max_output_tokens", "num_predict", "max_new_tokens"])
def test_the_limit_goes_by_the_name_the_models_class_declares(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = _naming(field)
    monkeypatch.delitem(cls.model_fields, "max_tokens")  # as a provider's class that does not know it
    model = cls(replies=["Ahab."])
    ChatReader(model).update(update())
    assert {name: value for name, value in model.seen[0].items() if "tokens" in name or name == field} == {
        field: 50
    }


# What a trace and a host's stream see.


async def test_calls_are_named_and_kept_out_of_a_hosts_stream(mode: str) -> None:
    runs: list[tuple[str, list[str]]] = []

    class Handler(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, name: str = "", tags: Any = None, **options: Any) -> None:
            runs.append((name, tags))

    model = ScriptedChatModel(replies=["1"], callbacks=[Handler()])
    await ask(model, update(step=7), mode)
    await ask(model, answer(), mode)
    await ask(model, pick(step=7), mode)
    await ask(model, answer(stream=True), mode)
    names = [name for name, _ in runs]
    assert names == [
        "rewrite head 1 at step 7",
        "answer from heads",
        "pick a head at step 7",
        "answer from heads",
    ]
    assert [TAG_NOSTREAM in tags for _, tags in runs] == [True, True, True, False]
    assert all("mhm" in tags for _, tags in runs)
    assert "mhm:head:1" in runs[0][1]


# What a model raises.


@pytest.mark.parametrize("request_", [update(), answer(), pick()], ids=["update", "answer", "pick"])
async def test_what_a_model_raises_comes_through(request_: Any, mode: str) -> None:
    """Not swallowed, and never taken for a reply: the graph makes a ReaderError of it."""
    model = ScriptedChatModel(replies=[KeyError("a mistake in a model of one's own")])
    with pytest.raises(KeyError, match="mistake"):
        await ask(model, request_, mode)
    assert len(model.prompts) == 1


async def test_a_failure_after_an_empty_reply_comes_through_too(mode: str) -> None:
    model = ScriptedChatModel(replies=["", KeyError("then a mistake")])
    with pytest.raises(KeyError, match="then a mistake"):
        await ask(model, update(), mode)


# Before the first call.


def load(**values: Any) -> Load:
    return Load(
        **{
            "question": "Who?",
            "heads": 4,
            "head_tokens": 100,
            "chunk_tokens": 500,
            "answer_tokens": 50,
            **values,
        }
    )


def checked(window: int | None, **values: Any) -> None:
    profile = {} if window is None else {"max_input_tokens": window}
    ChatReader(ScriptedChatModel(profile=profile)).check(load(**values))


def sum_of(error: BudgetError) -> tuple[int, list[int]]:
    """The total that a message states, and its parts."""
    text = str(error)
    template, heads, size, chunk, reply, total = map(
        int,
        re.search(
            r": (\d+) for the instructions and the question \+ (\d+) heads x (\d+) \+ (\d+) for the chunk "
            r"\+ (\d+) for the reply = (\d+)\.",
            text,
        ).groups(),
    )
    return total, [template, heads * size, chunk, reply]


def test_a_prompt_that_can_not_fit_is_refused_with_the_sum() -> None:
    with pytest.raises(BudgetError, match="an update") as raised:
        checked(900)
    total, parts = sum_of(raised.value)
    assert total == sum(parts) > 900
    assert parts[1:] == [400, 500, 100]
    assert parts[0] > 100, "the instructions count"
    assert "window of 900 tokens" in str(raised.value)
    assert "Lower chunk_tokens, heads or head_tokens" in str(raised.value)


def test_the_sum_is_exact_to_the_token() -> None:
    with pytest.raises(BudgetError) as raised:
        checked(900)
    total, _ = sum_of(raised.value)
    checked(total)
    with pytest.raises(BudgetError):
        checked(total - 1)


def test_a_real_prompt_of_that_load_is_no_larger_than_the_sum() -> None:
    """The check would be of no use if the prompt then sent were larger."""
    with pytest.raises(BudgetError) as raised:
        checked(900)
    total, _ = sum_of(raised.value)
    full = "word " * 80  # 100 tokens
    model = ScriptedChatModel(replies=["x"])
    ChatReader(model).update(
        UpdateRequest(question="Who?", heads=[full] * 4, head=3, chunk="word " * 400, head_tokens=100)
    )
    assert utf8_tokens(model.prompts[0]) + 100 <= total
    assert utf8_tokens(model.prompts[0]) + 100 >= 0.98 * total


def test_a_long_question_counts() -> None:
    checked(2000)
    with pytest.raises(BudgetError):
        checked(2000, question="Who? " * 1000)


def test_the_token_counter_in_force_counts() -> None:
    checked(1400)
    with pytest.raises(BudgetError):
        checked(1400, count=len)


def test_the_prompts_in_force_count() -> None:
    with pytest.raises(BudgetError) as raised:
        checked(900)
    total, _ = sum_of(raised.value)
    checked(total - 100, prompts=COMPACT)


def test_a_model_that_does_not_tell_its_window_is_not_judged() -> None:
    checked(None, chunk_tokens=10**7)


def test_an_answer_from_memory_alone_needs_no_room_for_a_chunk() -> None:
    checked(900, chunk_tokens=0)
    with pytest.raises(BudgetError, match="the answer"):
        checked(900, chunk_tokens=0, answer_tokens=600)


def test_reading_without_a_question_needs_no_room_for_an_answer() -> None:
    """No answer call is made (Contract 5)."""
    checked(1500, question=None, answer_tokens=1200)
    with pytest.raises(BudgetError, match="an update"):
        checked(900, question=None)


# Sync and async.


@given(
    st.lists(
        st.sampled_from(["", " ", "Ahab.", SENTENCES, "<think>Hm", "2", "```\nAhab\n```"]),
        min_size=1,
        max_size=2,
    ),
    st.sampled_from([update(), update(question=None), update(head_tokens=3), answer(), pick()]),
)
async def test_sync_and_async_are_the_same(replies: list[str], request_: Any) -> None:
    models = [ScriptedChatModel(replies=replies) for _ in range(2)]
    first, second = [
        await ask(model, request_, mode) for model, mode in zip(models, ["sync", "async"], strict=True)
    ]
    assert first == second
    assert models[0].prompts == models[1].prompts
    assert models[0].limits == models[1].limits


def test_a_reader_says_which_model_it_is() -> None:
    assert ChatReader(ScriptedChatModel()).description == "ScriptedChatModel"


def test_a_half_surrogate_in_a_reply_does_not_reach_a_head() -> None:
    r"""A reply cut inside an emoji comes as JSON with "\ud83d" alone; no checkpoint could store it."""
    reader = ChatReader(ScriptedChatModel(replies=[AIMessage("Ahab \ud83d smiled. " * 20)]))
    for request_ in (update(head_tokens=10), update(head_tokens=1000)):
        text = reader.update(request_).text
        assert text.startswith("Ahab")
        text.encode()
