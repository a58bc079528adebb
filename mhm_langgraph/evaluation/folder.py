"""A bench's folder: what it is (`bench.json`), and a line for each trajectory (`trajectories.jsonl`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from mhm_langgraph import SettingsError
from mhm_langgraph.errors import shown
from mhm_langgraph.evaluation.records import Trajectory
from mhm_langgraph.evaluation.tasks import format_length
from mhm_langgraph.files import cut_torn_line, replacing

__all__ = ["BenchFolder", "Key", "files_of", "key_of", "read_bench", "read_trajectories"]

Key = tuple[int, str, str, int]
"""Length, sample, method, run: what is done once."""

_BENCH, _LINES = "bench.json", "trajectories.jsonl"
_GROWING = ("lengths", "methods", "runs", "samples")
"""Settings that may grow from start to start: what they add is done beside what is there."""


def key_of(trajectory: Trajectory) -> Key:
    """What a trajectory is the record of."""
    return trajectory.length, trajectory.sample, trajectory.method, trajectory.run


def files_of(data: Mapping[str, str], length: int | None = None) -> dict[str, str]:
    """The fingerprints of the files that the samples of a length are made from.

    Args:
        data: Fingerprints of a bench's files by name; `7K/eval_50.json` is of contexts of 7K tokens alone.
        length: The length; None for the files that serve all lengths.

    Returns:
        Those of them that matter to it.
    """
    own = None if length is None else f"{format_length(length)}/"
    return {name: mark for name, mark in data.items() if "/" not in name or (own and name.startswith(own))}


def read_bench(folder: str | Path) -> dict[str, Any]:
    """What a folder's `bench.json` says.

    Args:
        folder: A folder that `mhm bench` wrote.

    Returns:
        `settings`, `prompts` and `data` (fingerprints), and `starts`, one entry a start of the bench.

    Raises:
        SettingsError: It is no such folder.
    """
    path = Path(folder) / _BENCH
    try:
        bench = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(bench["settings"], dict):
            raise TypeError
    except FileNotFoundError:
        raise SettingsError(f"{folder} holds no {_BENCH}: name the folder that mhm bench wrote.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} can not be read as a bench's ({type(error).__name__}).") from error
    return dict(bench)


def read_trajectories(folder: str | Path) -> Iterator[Trajectory]:
    """The trajectories of a folder, one at a time: a folder may hold more than fits the memory.

    A run that failed and was done again counts as done. A last line that is torn, as a kill leaves it, is
    passed over.

    Args:
        folder: A folder that `mhm bench` wrote.

    Yields:
        What is finished, in the order of the file, then what has failed, once each.

    Raises:
        SettingsError: A line is no trajectory.
    """
    path = Path(folder) / _LINES
    failed: dict[Key, Trajectory] = {}
    finished: set[Key] = set()
    for number, line in enumerate(_lines(path), start=1):
        try:
            one = Trajectory.from_json(line)
        except (ValueError, KeyError, TypeError) as error:
            raise SettingsError(f"{path}, line {number}: no trajectory ({type(error).__name__}).") from error
        if one.error is not None:
            failed[key_of(one)] = one
        elif key_of(one) not in finished:
            finished.add(key_of(one))
            yield one
    yield from (one for key, one in failed.items() if key not in finished)


def _lines(path: Path) -> Iterator[str]:
    """The whole lines of a file; none where it does not exist."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="\n") as file:
        yield from (line for line in file if line.endswith("\n"))


class BenchFolder:
    """The folder of a bench at work: held by one process, from `with` to its end.

    Args:
        path: The folder; made if need be.
        facts: What determines the results: `settings`, and fingerprints of `prompts` and `data`.
        start: About this start: date, command, versions, machine.

    Raises:
        SettingsError: The folder belongs to a bench of other settings, or to another process.
    """

    def __init__(self, path: str | Path, facts: Mapping[str, Any], start: Mapping[str, Any]) -> None:
        self.path, self._facts, self._start = Path(path), facts, start
        self._file: BinaryIO | None = None
        self.done: set[Key] = set()
        self.failed = 0

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._file = (self.path / _LINES).open("a+b")
        except OSError as error:
            raise SettingsError(f"{self.path} can not be written: {error.strerror}.") from error
        try:
            _hold(self._file, self.path)
            self._write_bench()
            cut_torn_line(self._file)
            self._take_stock()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, trajectory: Trajectory) -> None:
        """Keep a trajectory: in the hands of the system when this returns, so a kill does not lose it."""
        assert self._file is not None  # noqa: S101  # used inside `with` only
        self._file.write(trajectory.to_json().encode("utf-8", "backslashreplace") + b"\n")
        self._file.flush()

    def _write_bench(self) -> None:
        """Write what this bench is, after comparing it with what the folder holds."""
        path, facts = self.path / _BENCH, dict(self._facts)
        starts = [dict(self._start)]
        if path.exists():
            held = read_bench(self.path)
            _check_same(held, facts, self.path)
            facts["settings"] = _grown(held["settings"], facts["settings"])
            facts["data"] = {**held["data"], **facts["data"]}
            starts = [*held.get("starts", []), *starts]
        elif (self.path / _LINES).stat().st_size:
            raise SettingsError(f"{self.path} holds trajectories, but no {_BENCH}: name another folder.")
        with replacing(path) as aside:
            aside.write_text(json.dumps({**facts, "starts": starts}, indent=2) + "\n", encoding="utf-8")

    def _take_stock(self) -> None:
        """Which runs are finished, and how many have failed: those are done again."""
        for one in read_trajectories(self.path):
            if one.error is None:
                self.done.add(key_of(one))
            else:
                self.failed += 1


def _hold(file: BinaryIO, path: Path) -> None:
    """Keep other processes away, where the system can: two would do everything twice."""
    try:
        import fcntl
    except ModuleNotFoundError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SettingsError(f"{path} is in use by another mhm bench: wait for it, or name another.") from None


def _check_same(held: Mapping[str, Any], facts: Mapping[str, Any], path: Path) -> None:
    """Refuse to mix two benches in one folder.

    Raises:
        SettingsError: Names what differs.
    """
    mine, theirs = facts["settings"], held["settings"]
    for name in [*mine, *(name for name in theirs if name not in mine)]:
        if name not in _GROWING and mine.get(name) != theirs.get(name):
            raise SettingsError(
                f"{path} holds a bench with {name}={shown(theirs.get(name))}, not {shown(mine.get(name))}: "
                "use that, or another folder."
            )
    both = [None, *(length for length in mine["lengths"] if length in theirs["lengths"])]
    marks = [("prompts", facts.get("prompts"), held.get("prompts"))]
    marks += [("data", files_of(facts["data"], each), files_of(held["data"], each)) for each in both]
    for what, now, then in marks:
        if now != then:
            raise SettingsError(
                f"{path} holds a bench with other {what} (fingerprint {shown(then)}, now {shown(now)}): use "
                "another folder."
            )


def _grown(held: Mapping[str, Any], mine: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of all starts together."""
    grown = {**held, **mine, **{name: max(held[name], mine[name]) for name in ("runs", "samples")}}
    for name in ("lengths", "methods"):
        values: Sequence[Any] = [*held[name], *mine[name]]
        grown[name] = list(dict.fromkeys(values))
    grown["lengths"].sort()
    return grown
