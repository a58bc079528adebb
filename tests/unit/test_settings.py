"""Settings: every knob once, validated, documented."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.prompts import ChatPromptTemplate
from pydantic import ValidationError

from mhm_langgraph import STANDARD, MHMError, Settings, SettingsError, Turn, create_mhm_agent
from mhm_langgraph.testing import ScriptedChatModel

INTEGERS = ["heads", "head_tokens", "memory_tokens", "chunk_tokens", "answer_tokens", "seed", "max_retries"]
SCHEMA = Settings.model_json_schema()["properties"]
# heads is a number or "auto": its bounds stand with the number.
BOUNDS = {name: SCHEMA[name] | SCHEMA[name].get("anyOf", [{}])[0] for name in INTEGERS}

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
    st.complex_numbers(),
)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_where_studio_shows_it(name: str) -> None:
    description = SCHEMA[name]["description"]
    assert len(description.split()) >= 4
    assert description.endswith(".")
    assert "default" in SCHEMA[name]


@pytest.mark.parametrize("name", INTEGERS)
def test_every_number_has_bounds_where_studio_shows_them(name: str) -> None:
    assert BOUNDS[name]["minimum"] <= BOUNDS[name]["default"] <= BOUNDS[name]["maximum"]


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("selector", {"lru", "random", "relevance"}),
        ("prompts", {"standard", "compact", "document-first"}),
        ("grounding", {"off", "flag", "reject"}),
        ("grounding_rule", {"names", "verbatim"}),
    ],
)
def test_every_choice_lists_what_is_allowed(name: str, allowed: set[str]) -> None:
    assert set(SCHEMA[name]["enum"]) == allowed


def test_the_defaults_are_the_papers() -> None:
    settings = Settings()
    assert (settings.heads, settings.head_tokens, settings.chunk_tokens) == (4, 1024, 5000)
    assert (settings.selector, settings.prompts) == ("lru", "standard")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_factory_takes_every_setting_with_the_same_default(name: str) -> None:
    parameter = inspect.signature(create_mhm_agent).parameters[name]
    assert parameter.kind is parameter.KEYWORD_ONLY
    assert parameter.default == Settings.model_fields[name].default or (
        name == "prompts" and parameter.default is None  # the preset, or the user's own
    )


@pytest.mark.parametrize("name", ["heads", "head_tokens", "chunk_tokens", "answer_tokens", "max_retries"])
@pytest.mark.parametrize("edge", ["minimum", "maximum"])
def test_the_bounds_themselves_are_allowed_and_no_more(name: str, edge: str) -> None:
    bound = BOUNDS[name][edge]
    assert getattr(Settings.model_validate({name: bound}), name) == bound
    beyond = bound + (1 if edge == "maximum" else -1)
    with pytest.raises(SettingsError) as raised:
        Settings.checked({name: beyond})
    assert f"{name}={beyond} is not allowed" in str(raised.value)
    assert str(bound) in str(raised.value), "the message says what is allowed"


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize(
    "value",
    [True, False, "4", 4.0, float("nan"), float("inf"), None, [4], {"value": 4}, b"4", 4 + 0j],
    ids=repr,
)
def test_nothing_but_an_integer_is_an_integer(name: str, value: Any) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.checked({name: value})
    assert f"{name}={value!r} is not allowed" in str(raised.value)
    assert "integer" in str(raised.value)


@pytest.mark.parametrize(("name", "allowed"), [("selector", "relevance"), ("prompts", "compact")])
@pytest.mark.parametrize("value", ["", "LRU", "newest", "standard ", 1, None, True, ["lru"]], ids=repr)
def test_a_choice_is_one_of_those_listed(name: str, allowed: str, value: Any) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.checked({name: value})
    assert f"{name}={value!r} is not allowed" in str(raised.value)
    assert repr(allowed) in str(raised.value)


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("digits", [20, 5000], ids=["large", "too-large-to-print"])
def test_a_huge_number_is_refused_in_a_short_message(name: str, digits: int) -> None:
    """Python itself refuses to print an integer of more than 4,300 digits."""
    with pytest.raises(SettingsError) as raised:
        Settings.checked({name: 10**digits})
    assert name in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.checked({"heads": "many " * 1000})
    assert len(str(raised.value)) < 200


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.checked({"heads": 0, "selector": "newest", "chunk_tokens": "5000"})
    for name in ("heads=0", "selector='newest'", "chunk_tokens='5000'"):
        assert name in str(raised.value)


def test_a_misspelt_setting_is_refused_with_the_list_of_all() -> None:
    with pytest.raises(SettingsError, match="head_token is not a setting") as raised:
        Settings.checked({"head_token": 5})
    for name in Settings.model_fields:
        assert name in str(raised.value)


def test_the_error_says_nothing_of_the_library_below() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.checked({"heads": 0})
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert "pydantic" not in str(raised.value)
    assert "\n" not in str(raised.value)


@given(st.dictionaries(st.sampled_from([*Settings.model_fields, "other"]), values, max_size=4))
def test_any_values_are_settings_or_a_settings_error(given_values: dict[str, Any]) -> None:
    try:
        settings = Settings.checked(given_values)
    except MHMError as error:
        assert any(name in str(error) for name in given_values)  # noqa: PT017  # both ends are right
        return
    assert {name: getattr(settings, name) for name in given_values} == given_values
    assert settings.model_fields_set == set(given_values)


def test_heads_may_be_auto() -> None:
    settings = Settings.checked({"heads": "auto", "memory_tokens": 2048})
    assert settings.sized(4).head_tokens == 512
    assert settings.sized(3).heads == 3
    assert settings.sized(5000).head_tokens == 1
    assert SCHEMA["heads"]["anyOf"][1] == {"const": "auto", "type": "string"}
    with pytest.raises(SettingsError, match=r"heads='Auto' is not allowed: .* integer, or 'auto'"):
        Settings.checked({"heads": "Auto"})


def test_a_number_of_heads_has_the_size_it_was_given() -> None:
    settings = Settings(heads=8, head_tokens=100)
    assert settings.sized(8) is settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"heads": "auto", "head_tokens": 512},
            "head_tokens=512 is not used with heads='auto': give memory_tok",
        ),
        (
            {"memory_tokens": 512},
            "memory_tokens=512 is used with heads='auto' only: with heads=4, give head_tok",
        ),
    ],
)
def test_a_size_that_would_not_be_used_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.checked(values)
    assert message in str(raised.value)


def test_settings_can_not_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.heads = 8


# What a run's context overrides.


FACTORY = Settings(heads=8, chunk_tokens=100, selector="random")


@pytest.mark.parametrize("make", [dict, lambda **named: Settings(**named)], ids=["dict", "settings"])
class TestOverriding:
    def test_only_what_is_named_differs(self, make: Any) -> None:
        settings = FACTORY.overridden_by(make(head_tokens=5))
        assert settings == FACTORY.model_copy(update={"head_tokens": 5})

    def test_a_default_that_is_named_counts(self, make: Any) -> None:
        """Naming 4 heads is not the same as naming none, although 4 is the default."""
        assert FACTORY.overridden_by(make(heads=4)).heads == 4
        assert FACTORY.overridden_by(make(selector="lru")).selector == "lru"

    def test_nothing_named_changes_nothing(self, make: Any) -> None:
        assert FACTORY.overridden_by(make()) is FACTORY

    def test_what_has_been_named_is_remembered(self, make: Any) -> None:
        """A preset that the context names stands above the factory's own Prompts."""
        assert FACTORY.model_fields_set == {"heads", "chunk_tokens", "selector"}
        named = FACTORY.overridden_by(make(prompts="standard")).model_fields_set
        assert named == {"heads", "chunk_tokens", "selector", "prompts"}

    def test_the_factorys_own_stay_as_they_were(self, make: Any) -> None:
        before = FACTORY.model_dump()
        FACTORY.overridden_by(make(head_tokens=5, heads=1))
        assert FACTORY.model_dump() == before


class ParentContext:
    """A host graph's own; that it has a field of the same name means nothing."""

    heads = 1


@pytest.mark.parametrize(
    "context",
    [
        None,
        ParentContext(),
        {"user": "Ishmael"},
        {"heads": 2, "user": "Ishmael"},
        {"heads": 0},
        {"heads": "2"},
        {"heads": True},
        [("heads", 2)],
        "heads",
        5,
    ],
    ids=["none", "object", "foreign", "mixed", "out-of-bounds", "text", "bool", "pairs", "word", "number"],
)
def test_a_context_that_is_not_ours_is_left_alone(context: Any) -> None:
    assert FACTORY.overridden_by(context) is FACTORY


def test_a_subclass_of_the_settings_is_one() -> None:
    class Mine(Settings):
        pass

    assert FACTORY.overridden_by(Mine(heads=2)).heads == 2


def test_a_form_shows_what_the_factory_was_given() -> None:
    bare = create_mhm_agent("extractive").get_context_jsonschema()
    assert bare == Settings.model_json_schema()
    shown = create_mhm_agent("extractive", heads=8, head_tokens=64).get_context_jsonschema()
    assert shown is not None
    defaults = {name: field["default"] for name, field in shown["properties"].items()}
    assert defaults == Settings(heads=8, head_tokens=64).model_dump()


def test_a_form_that_sends_every_default_leaves_what_is_the_builder_s_own() -> None:
    picks: list[int] = []

    def last(turn: Turn) -> int:
        picks.append(turn.step)
        return len(turn.heads) - 1

    own = replace(STANDARD, answer=ChatPromptTemplate.from_template("Mine: {heads} {question}"))
    model = ScriptedChatModel(replies=["x"])
    graph = create_mhm_agent(
        model, heads=3, head_tokens=64, selector=last, prompts=own, grounding_rule=lambda *_: True
    )
    schema = graph.get_context_jsonschema()
    assert schema is not None
    form = {name: field["default"] for name, field in schema["properties"].items() if "default" in field}
    assert set(Settings.model_fields) - set(form) == {"selector", "prompts", "grounding_rule"}
    out = graph.invoke({"question": "?", "document": "Some text."}, context=form)
    assert [head["text"] for head in out["heads"]] == ["", "", "x"]
    assert picks == [0]
    assert "Mine:" in model.prompts[-1]
    graph.invoke({"question": "?", "document": "Some text."}, context={"prompts": "standard"})
    assert "Mine:" not in model.prompts[-1]
