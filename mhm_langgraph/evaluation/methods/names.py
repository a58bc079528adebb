"""From a method's name, such as `mhm-lru+heads=8`, to the method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mhm_langgraph import SettingsError
from mhm_langgraph.evaluation.methods.base import Method
from mhm_langgraph.evaluation.methods.concur import concur_parts
from mhm_langgraph.evaluation.methods.loop import SETTINGS, LoopMethod
from mhm_langgraph.evaluation.methods.plain import ClosedBook, WholeContext
from mhm_langgraph.evaluation.methods.recall import recall_parts

__all__ = ["METHODS", "resolve_method", "resolve_methods"]

_HEAD_COUNTS = (1, 2, 4, 8, 16)
_HEAD_TOKENS = 1024

_ABLATIONS = {
    "heads-fixed-total": [f"mhm-lru+heads={count}" for count in _HEAD_COUNTS],
    "heads-fixed-size": [f"mhm-lru+heads={count}+head_tokens={_HEAD_TOKENS}" for count in _HEAD_COUNTS],
}
"""Short names for several methods."""


_LOOP_ONLY = ("prompts", "update_gate", "exit_gate", "parallel_heads")
"""Settings of the loop's own prompts and rounds, which the methods with prompts of their own do not have."""

_RECALL = ("recall", "recall_tokens", "recall_updates", "recall_ranking")
"""Settings of the loop's own recall, which a method that calls back by itself does not have."""


def _without(*names: str) -> tuple[str, ...]:
    return tuple(name for name in SETTINGS if name not in names)


def _remem(name: str, given: dict[str, Any]) -> Method:
    return LoopMethod(name, {"heads": 1, **given}, share=2, parts=recall_parts)


_BUILDERS: dict[str, tuple[tuple[str, ...], Callable[[str, dict[str, Any]], Method]]] = {
    "mhm-lru": (SETTINGS, lambda name, given: LoopMethod(name, {"heads": 4, **given})),
    "memagent": (SETTINGS, lambda name, given: LoopMethod(name, {"heads": 1, **given})),
    "mhm-random": (
        SETTINGS,
        lambda name, given: LoopMethod(name, {"heads": 4, "selector": "random", **given}),
    ),
    "mhm-relevance": (
        SETTINGS,
        lambda name, given: LoopMethod(name, {"heads": 4, "selector": "relevance", **given}),
    ),
    "mhm-concur": (
        _without("selector", *_LOOP_ONLY),
        lambda name, given: LoopMethod(name, {"heads": 4, **given}, parts=concur_parts),
    ),
    "remem": (_without("heads", "selector", *_RECALL, *_LOOP_ONLY), _remem),
    "llm": (("window", "answer_tokens"), WholeContext),
    "closed-book": (("answer_tokens",), ClosedBook),
}
METHODS = tuple(_BUILDERS)
"""The methods, without settings."""


def resolve_methods(names: Iterable[str]) -> list[Method]:
    """The methods of several names; the short names of ablations stand for several.

    Args:
        names: Names of methods, of ablations (`heads-fixed-total`, `heads-fixed-size`), or both.

    Returns:
        The methods in that order, each once.

    Raises:
        SettingsError: A name is not known, or a setting in it is not.

    Example:
        >>> [method.name for method in resolve_methods(["memagent", "heads-fixed-total"])][:3]
        ['memagent', 'mhm-lru+heads=1', 'mhm-lru+heads=2']
    """
    full = [one for name in names for one in _ABLATIONS.get(name, [name])]
    return [resolve_method(name) for name in dict.fromkeys(full)]


def resolve_method(name: str) -> Method:
    """The method of a name.

    Args:
        name: A method's name, with settings where it is to differ: `mhm-lru+heads=8` shares the same total
            memory among eight heads, `mhm-lru+heads=8+head_tokens=1024` gives each of them 1,024 tokens.

    Returns:
        The method.

    Raises:
        SettingsError: The name is not known, or a setting in it is not.

    Example:
        >>> resolve_method("mhm-lru+heads=8").settings["heads"]
        8
        >>> resolve_method("mhm-lru+colour=red")
        Traceback (most recent call last):
        mhm_langgraph.errors.SettingsError: method 'mhm-lru+colour=red' has no setting 'colour'; ...
    """
    base, *written = name.split("+")
    if base not in _BUILDERS:
        raise SettingsError(
            f"method {name!r} is not known; the methods are {', '.join(METHODS)}, each with +SETTING=VALUE "
            f"where it is to differ, and the ablations {' and '.join(_ABLATIONS)}."
        )
    allowed, build = _BUILDERS[base]
    given: dict[str, Any] = {}
    for setting in written:
        key, equals, value = setting.partition("=")
        if not equals or not value:
            raise SettingsError(f"method {name!r}: write {setting!r} as SETTING=VALUE, such as heads=8.")
        if key not in allowed:
            raise SettingsError(f"method {name!r} has no setting {key!r}; {base} takes {', '.join(allowed)}.")
        if key in given:
            raise SettingsError(f"method {name!r} sets {key} twice: leave one out.")
        given[key] = _value(value)
    return build(name, given)


def _value(text: str) -> Any:
    """A value as it is meant: a number, true or false, else text."""
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
