"""What every test stands on: no traces, no real model, and one hypothesis profile a place."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from langchain_core.language_models import BaseChatModel

# At import, before langsmith reads its environment once and for all.
for _name in [name for name in os.environ if name.startswith(("LANGSMITH_", "LANGCHAIN_"))]:
    del os.environ[_name]

settings.register_profile(
    "local",
    deadline=None,  # machines differ, and several tests share one
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.register_profile(
    "soak", settings.get_profile("local"), max_examples=2000
)  # --hypothesis-profile=soak
settings.load_profile("ci" if os.environ.get("CI") else "local")

_MARK = "real_model_requests"


class RealModelRequestError(RuntimeError):
    """A test called a provider's model; mark it `real_model_requests` if that is what it is about."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{_MARK}: the test may call a provider's chat model (on loopback: sockets stay off)"
    )


@pytest.fixture(autouse=True)
def no_real_model_requests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch: a provider's chat model (any `langchain_...` package) refuses to be called."""
    if request.node.get_closest_marker(_MARK):
        return
    for name in ("generate", "agenerate", "stream", "astream"):
        monkeypatch.setattr(BaseChatModel, name, _refusing(getattr(BaseChatModel, name)))


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between retries, in seconds: noted, not waited for."""
    asked: list[float] = []

    async def apause(seconds: float) -> None:
        asked.append(seconds)

    monkeypatch.setattr("mhm_langgraph.readers.retry.pause", asked.append)
    monkeypatch.setattr("mhm_langgraph.readers.retry.apause", apause)
    return asked


def _refusing(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: BaseChatModel, *args: Any, **kwargs: Any) -> Any:
        package = type(self).__module__.partition(".")[0]
        if package.startswith("langchain_") and package != "langchain_core":
            raise RealModelRequestError(f"a test called {type(self).__name__}")
        return original(self, *args, **kwargs)

    return call
