"""Every knob of the loop, once: validated, documented, and the graph's context schema."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mhm_langgraph.errors import SettingsError, shown

__all__ = ["Settings"]


class Settings(BaseModel):
    """The knobs of one reading. The defaults are the paper's (arXiv 2607.01523): 4 x 1,024 tokens.

    `create_mhm_agent` takes the same names and binds them; a run may override single ones with
    `context={"head_tokens": 512}`. What a run's context does not name stays as the factory set it.

    Example:
        >>> Settings(heads=8).head_tokens
        1024
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    heads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = 4
    """Number of heads H, fixed for a thread's life; 1 is the single-memory agent. auto: by the length."""

    head_tokens: int = Field(default=1024, ge=1, le=1_000_000)
    """Size of each head, in tokens. With heads auto, memory_tokens stands instead."""

    memory_tokens: int = Field(default=4096, ge=1, le=1_000_000_000)
    """Size of all heads together, in tokens, for heads auto: they share it out evenly."""

    chunk_tokens: int = Field(default=5000, ge=1, le=10_000_000)
    """Size of the piece of source read at one step, in tokens."""

    answer_tokens: int = Field(default=1024, ge=1, le=1_000_000)
    """Greatest size of the answer, in tokens."""

    selector: Literal["lru", "random", "relevance"] = "lru"
    """Policy that picks the head to rewrite: least recently updated, random, or by the model."""

    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of the random selector."""

    prompts: Literal["standard", "compact", "document-first"] = "standard"
    """Prompt preset: standard, compact for small models, or document-first for many questions on one text."""

    recall: int = Field(default=0, ge=0, le=64)
    """Overwritten head texts shown again with the answer: those that bear most on the question. 0 is off."""

    recall_tokens: int = Field(default=1024, ge=1, le=1_000_000)
    """Size of all recalled texts together, in tokens."""

    recall_updates: bool = False
    """Whether overwritten texts are recalled at each update too, and not with the answer alone."""

    grounding: Literal["off", "flag", "reject"] = "off"
    """What is done with sentences of a reply that the text does not support: nothing, flag, or reject."""

    grounding_rule: Literal["names", "verbatim"] = "names"
    """What makes a sentence supported: its names and numbers occur, or its wording does as well."""

    call_timeout: float = Field(default=300.0, gt=0, le=86_400, allow_inf_nan=False)
    """Seconds that a model call may take. A sync call to a model object of your own keeps its own limit."""

    max_retries: int = Field(default=5, ge=0, le=100)
    """How often a call is made again after a failure that passes: rate limit, time-out, broken server."""

    stream_answer: bool = False
    """Whether the answer's tokens reach the messages stream, as the model writes them."""

    parallel_heads: int = Field(default=1, ge=1, le=1024)
    """Number of heads rewritten at the same time, each from a chunk of its own; 1 is the paper's loop."""

    update_gate: bool = False
    """Whether the reader may say that a chunk holds nothing for the question: the head keeps its turn."""

    exit_gate: bool = False
    """Whether the reader may say that memory suffices: the rest of the text is not read."""

    @classmethod
    def checked(cls, values: dict[str, Any]) -> Settings:
        """Validate values, turning what is wrong into one sentence a setting.

        Args:
            values: Settings by name.

        Returns:
            The settings.

        Raises:
            SettingsError: Names the setting, the value and what is allowed.

        Example:
            >>> Settings.checked({"heads": 0})
            Traceback (most recent call last):
            mhm_langgraph.errors.SettingsError: heads=0 is not allowed: Input should be greater ...
        """
        settings = _valid(values)
        _check_sizes(settings)
        return settings

    def sized(self, heads: int) -> Settings:
        """These settings for a memory of a known number of heads.

        Args:
            heads: How many heads the thread has.

        Returns:
            Settings whose `heads` and `head_tokens` are numbers that hold; these where they did before.

        Example:
            >>> Settings(heads="auto", memory_tokens=4096).sized(8).head_tokens
            512
        """
        if self.heads != "auto":
            return self
        return self.model_copy(update={"heads": heads, "head_tokens": max(1, self.memory_tokens // heads)})

    def overridden_by(self, context: object) -> Settings:
        """These settings with what a run's context sets.

        Args:
            context: The run's context. Anything but `Settings` or a dict that validates as it is
                somebody else's (a parent graph's) and is left alone.

        Returns:
            Settings; only the fields that the context names differ.

        Example:
            >>> Settings(heads=8).overridden_by({"head_tokens": 512}).heads
            8
        """
        if isinstance(context, dict):
            try:
                context = Settings.model_validate(context)
            except ValidationError:
                return self
        if not isinstance(context, Settings) or not context.model_fields_set:
            return self
        named = {name: getattr(context, name) for name in context.model_fields_set}
        return self.model_copy(update=named)

    def in_run(self, context: Settings | dict[str, Any]) -> tuple[Settings, Settings]:
        """These settings in a run with a context of its own, validated together.

        A size that the context names stands in place of the factory's other one.

        Args:
            context: The run's context.

        Returns:
            The context as settings, its own fields set; and what holds in the run.

        Raises:
            SettingsError: A value is not allowed, or the context's do not go with the factory's.

        Example:
            >>> Settings(heads="auto").in_run({"memory_tokens": 2048})[1].heads
            'auto'
        """
        given = _valid(context) if isinstance(context, dict) else context
        merged = self.overridden_by(given)
        used, unused = _sizes(merged)
        replaced = used in given.model_fields_set and getattr(merged, unused) == getattr(self, unused)
        if not replaced:
            _check_sizes(merged)
        return given, merged


def _valid(values: dict[str, Any]) -> Settings:
    """Settings from values by name, each validated alone."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        found = groupby(error.errors(), key=lambda each: each["loc"][0])
        raise SettingsError(" ".join(_sentence(list(errors)) for _, errors in found)) from None


def _sizes(settings: Settings) -> tuple[str, str]:
    """The setting that gives the memory's size, and the one that does not count."""
    sizes = "head_tokens", "memory_tokens"
    return sizes if settings.heads != "auto" else sizes[::-1]


def _check_sizes(settings: Settings) -> None:
    """Refuse a size that has no effect."""
    _, unused = _sizes(settings)
    value = getattr(settings, unused)
    if value != Settings.model_fields[unused].default:
        raise SettingsError(_UNUSED[unused].format(value=value, heads=settings.heads))


_UNUSED = {
    "head_tokens": "head_tokens={value} is not used with heads='auto': give memory_tokens, the size of all "
    "heads together.",
    "memory_tokens": "memory_tokens={value} is used with heads='auto' only: with heads={heads}, give "
    "head_tokens, the size of each.",
}


def _sentence(errors: list[Any]) -> str:
    """The validation errors of one setting as a sentence; a setting of two forms has two."""
    first = errors[0]
    name = first["loc"][0]
    if first["type"] == "extra_forbidden":
        known = ", ".join(Settings.model_fields)
        return f"{name} is not a setting; the settings are {known}."
    allowed = ", or ".join(
        [first["msg"], *(error["msg"].removeprefix("Input should be ") for error in errors[1:])]
    )
    return f"{name}={shown(first['input'])} is not allowed: {allowed}."
