"""The commands of `mhm`, and how their mistakes become one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, cast

import typer
from typer import Option

from mhm_langgraph.cli.ask import INTERRUPTED, MISTAKE, ask, fail
from mhm_langgraph.cli.batch import batch
from mhm_langgraph.cli.bench import bench
from mhm_langgraph.cli.forget import forget
from mhm_langgraph.cli.inspect import inspect_command
from mhm_langgraph.cli.local import serve_local_command
from mhm_langgraph.cli.report import report

__all__ = ["run"]


def run(argv: Sequence[str] | None) -> int:
    """Parse and run; typer's usage errors become one line, as all others."""
    command = typer.main.get_command(_app())
    # typer brings its own click or uses the other, by version: the class is the same through here.
    usage_error = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
    try:
        return command.main(argv, prog_name="mhm", standalone_mode=False) or 0
    except usage_error as error:
        path = error.ctx.command_path if error.ctx else "mhm"
        return fail(MISTAKE, f"{error.format_message()} (see {path} --help)")
    except typer.Abort:
        return INTERRUPTED


def _app() -> typer.Typer:
    """The commands. More of them are added here."""
    app = typer.Typer(
        name="mhm",
        help="Read text of any length into a memory of independent heads, and answer from it.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True)(_root)
    app.command("ask")(ask)
    app.command("batch")(batch)
    app.command("inspect")(inspect_command)
    app.command("forget")(forget)
    app.command("serve-local")(serve_local_command)
    app.command("bench")(bench)
    app.command("report")(report)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mhm {version('mhm-langgraph')}")
        raise typer.Exit


def _root(
    context: typer.Context,
    show_version: Annotated[
        bool, Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Without a command: show what there is."""
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(MISTAKE)
