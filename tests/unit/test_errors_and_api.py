"""The public names, the exceptions, and what the package promises on its face."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.errors import InvalidUpdateError
from langgraph.graph.state import CompiledStateGraph

import mhm_langgraph
from mhm_langgraph import (
    BudgetError,
    HeadError,
    MHMError,
    ReaderError,
    SettingsError,
    SourceError,
    create_mhm_agent,
)
from mhm_langgraph.testing import ScriptedReader

PACKAGE = Path(mhm_langgraph.__file__).parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(mhm_langgraph.__path__, "mhm_langgraph.")
    if not module.name.endswith(".__main__")  # a program: it is run, not imported
)
PUBLIC = [
    (name, attribute, getattr(importlib.import_module(name), attribute))
    for name in ["mhm_langgraph", *MODULES]
    for attribute in getattr(importlib.import_module(name), "__all__", [])
]
ERRORS = [BudgetError, HeadError, ReaderError, SettingsError, SourceError]


def as_ruff_sorts(name: str) -> tuple[bool, bool, str]:
    """Constants, then classes, then functions, each by name."""
    return (not name.isupper(), not name[0].isupper(), name)


@pytest.mark.parametrize("module", ["mhm_langgraph", *MODULES])
def test_every_module_says_what_it_is_for_and_what_is_public(module: str) -> None:
    imported = importlib.import_module(module)
    assert imported.__doc__
    assert imported.__doc__.strip().splitlines()[0].endswith((".", ":")), "a sentence"
    names = imported.__all__
    assert len(names) == len(set(names))
    assert list(names) == sorted(names, key=as_ruff_sorts)
    assert not [name for name in names if name.startswith("_")]


@pytest.mark.parametrize(
    ("module", "name", "value"), PUBLIC, ids=[f"{module}.{name}" for module, name, _ in PUBLIC]
)
def test_every_public_name_is_there_and_documented(module: str, name: str, value: Any) -> None:
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__module__.startswith("mhm_langgraph"), "nobody else's name is handed on as ours"
        first = (value.__doc__ or "").strip().splitlines()[0]
        assert first.endswith((".", ":")), f"{module}.{name} needs a first line that is a sentence"


def test_importing_all_gives_what_is_listed() -> None:
    namespace: dict[str, Any] = {}
    exec("from mhm_langgraph import *", namespace)  # noqa: S102  # it is what a user may write
    assert set(mhm_langgraph.__all__) <= set(namespace)


def test_the_names_a_user_needs_are_public() -> None:
    """The Contract's own; what is taken away here is taken away from users."""
    assert {
        "COMPACT", "DOCUMENT_FIRST", "STANDARD", "Budget", "BudgetError", "Choice", "Chunk",
        "DocumentSource", "Exited", "Head", "HeadError", "HeadSelector", "MHMError", "MHMGraph", "MHMInput",
        "MHMOutput", "MHMState", "Prompts",
        "Reader", "ReaderError", "Reply", "Settings", "SettingsError", "Source", "SourceError", "Turn",
        "Usage", "create_mhm_agent",
    } <= set(mhm_langgraph.__all__)  # fmt: skip
    assert {"ScriptedChatModel", "ScriptedReader"} <= set(
        importlib.import_module("mhm_langgraph.testing").__all__
    )


def _methods() -> list[tuple[str, str]]:
    found = []
    for name in mhm_langgraph.__all__:
        value = getattr(mhm_langgraph, name)
        if inspect.isclass(value):
            found += [
                (name, method)
                for method, member in vars(value).items()
                if not method.startswith("_")
                and (inspect.isfunction(member) or isinstance(member, classmethod))
            ]
    return found


@pytest.mark.parametrize(("name", "method"), _methods())
def test_every_public_method_is_documented(name: str, method: str) -> None:
    assert inspect.getdoc(getattr(getattr(mhm_langgraph, name), method))


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_importing_the_package_loads_no_heavy_library() -> None:
    """numpy and OpenAI's client take seconds; only those who use them wait."""
    code = "import sys, mhm_langgraph; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(  # noqa: S603  # this very Python
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    for heavy in (
        "numpy",
        "bm25s",
        "langchain_openai",
        "openai",
        "tiktoken",
        "langchain",
        "transformers",
    ):
        assert f"'{heavy}'" not in loaded


# The factory's signature: the Contract.

CONTRACT = {
    "heads": 4,
    "head_tokens": 1024,
    "chunk_tokens": 5000,
    "selector": "lru",
    "prompts": None,
    "token_counter": None,
    "sources": None,
    "checkpointer": None,
    "store": None,
    "name": "mhm",
}


def test_the_factory_takes_the_model_and_then_keywords_only() -> None:
    first, *others = inspect.signature(create_mhm_agent).parameters.values()
    assert (first.name, first.default) == ("model", inspect.Parameter.empty)
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in others)
    assert {p.name: p.default for p in others if p.name in CONTRACT} == CONTRACT


def test_every_argument_of_the_factory_is_documented() -> None:
    documentation = inspect.getdoc(create_mhm_agent)
    for name in inspect.signature(create_mhm_agent).parameters:
        assert f"\n    {name}: " in documentation
    for section in ("Args:", "Returns:", "Raises:", "Example:"):
        assert section in documentation


def test_the_factory_gives_langgraphs_own_kind_of_graph() -> None:
    graph = create_mhm_agent(ScriptedReader(), name="reader")
    assert isinstance(graph, CompiledStateGraph)
    assert graph.name == "reader"
    assert set(graph.get_graph().nodes) >= {"read_chunk", "select_head", "update_head", "answer"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("heads", 0), ("head_tokens", "many"), ("chunk_tokens", 1.5), ("selector", "newest"),
     ("prompts", "long"), ("seed", None), ("answer_tokens", -1), ("token_counter", "words"), ("sources", 5)],
)  # fmt: skip
def test_the_factory_checks_at_once(name: str, value: Any) -> None:
    with pytest.raises(SettingsError) as raised:
        create_mhm_agent(ScriptedReader(), **{name: value})
    assert f"{name}={value!r}" in str(raised.value)
    assert len(str(raised.value)) > len(f"{name}={value!r} is not allowed"), "and says what is"


# The exceptions.


@pytest.mark.parametrize("error", ERRORS)
def test_one_class_catches_them_all(error: type[Exception]) -> None:
    assert issubclass(error, MHMError)
    assert error.__doc__


def test_what_else_they_are() -> None:
    assert issubclass(SettingsError, ValueError)
    assert issubclass(HeadError, InvalidUpdateError)
    assert not issubclass(ReaderError, ValueError), "a ValueError is the caller's mistake"


def test_a_reader_error_says_where() -> None:
    error = ReaderError("It failed.", step=7, span=[10, 20])
    assert (str(error), error.step, error.span) == ("It failed.", 7, [10, 20])
    error = ReaderError("It failed.")
    assert (error.step, error.span) == (None, None)


@pytest.mark.parametrize(
    "error", [*(kind("Text.") for kind in ERRORS), ReaderError("Text.", step=7, span=[1, 2])]
)
def test_an_error_survives_another_process(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
