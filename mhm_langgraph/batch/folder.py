"""The folder of a batch: what it was begun with, who uses it, and what is done already."""

from __future__ import annotations

import json
from array import array
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mhm_langgraph import SettingsError, Usage
from mhm_langgraph.batch.jobs import Job, digest, read_jobs
from mhm_langgraph.batch.results import ResultsFile, can_go_on
from mhm_langgraph.files import replacing
from mhm_langgraph.state import add_usage, no_usage

__all__ = ["Done", "Scan", "check_manifest", "done_jobs", "locked", "scan_jobs", "write_manifest"]

_VERSION = 1


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and hold it: two runs at once would write every row twice.

    Args:
        folder: The folder.

    Raises:
        SettingsError: Another run holds it, or it can not be made.
    """
    try:
        from filelock import FileLock, Timeout
    except ModuleNotFoundError as error:
        raise SettingsError('a batch needs its extra: pip install "mhm-langgraph[batch]"') from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise SettingsError(
            f"another run is using {folder}: wait for its end, or name another --out."
        ) from None
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise SettingsError(f"--out {folder} can not be used: {error.strerror}.") from error


def check_manifest(path: Path, settings: Mapping[str, Any]) -> None:
    """Compare with what a batch was begun with; one that is not begun yet may be anything.

    Args:
        path: The manifest.
        settings: Plain values by name.

    Raises:
        SettingsError: A setting differs: results of two kinds would stand in one file.
    """
    if not path.exists():
        return
    told = _manifest(settings)
    known = json.loads(path.read_text(encoding="utf-8"))
    for name in dict.fromkeys([*known, *told]):
        if known.get(name) != told.get(name):
            raise SettingsError(
                f"{path.parent} was begun with {name}={known.get(name)!r}, not {told.get(name)!r}: go on "
                "with that, or name another --out."
            )


def write_manifest(path: Path, settings: Mapping[str, Any]) -> None:
    """Write down what a batch is begun with, at one stroke.

    Args:
        path: The manifest.
        settings: Plain values by name.
    """
    with replacing(path) as aside:
        aside.write_text(json.dumps(_manifest(settings), indent=2) + "\n", encoding="utf-8")


def _manifest(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": _VERSION, **settings}


@dataclass(frozen=True)
class Done:
    """The jobs that have a row, as numbers: 16 bytes a job.

    Args:
        ids: Digests of their ids, sorted.
        threads: Digests of their threads, in the same order.
        failed: How many of them failed.
        usage: What they have cost.
        last: The threads of the rows written last, of jobs that do not go on.
    """

    ids: Any
    threads: Any
    failed: int
    usage: Usage
    last: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, job: Job) -> bool:
        """Whether a job has its row.

        Raises:
            SettingsError: The row is of a job that asked something else.
        """
        wanted = digest(job.id)
        at = int(
            self.ids.searchsorted(self.ids.dtype.type(wanted))
        )  # as it is: a signed one would be rounded
        if at == len(self.ids) or self.ids[at] != wanted:
            return False
        if self.threads[at] != digest(job.thread):
            raise SettingsError(
                f"the job {job.id!r} ({job.place}) was changed since its result was written: give it a new "
                "id, or name another --out."
            )
        return True


def done_jobs(results: ResultsFile, last: int) -> Done:
    """What the results hold.

    Args:
        results: The file.
        last: How many threads to remember by name.

    Returns:
        The jobs done, failures included.
    """
    import numpy as np  # slow to import, and other commands do without

    ids, threads, failed, usage, names = array("Q"), array("Q"), 0, no_usage(), deque[str](maxlen=last)
    for row in results.summaries():
        ids.append(digest(row["id"]))
        threads.append(digest(row["thread"]))
        failed += row["error"] is not None
        usage = add_usage(usage, row["usage"])
        if not can_go_on(row["error"]):
            names.append(row["thread"])
    numbers = np.frombuffer(ids, np.uint64)
    order = np.argsort(numbers)
    return Done(numbers[order], np.frombuffer(threads, np.uint64)[order], failed, usage, tuple(names))


@dataclass(frozen=True)
class Scan:
    """What a file of jobs holds.

    Args:
        total: How many jobs.
        done: How many of them have their row.
    """

    total: int
    done: int


def scan_jobs(path: Path, done: Done) -> Scan:
    """Read all jobs once, before the first is run: 8 bytes a job stay in memory.

    Args:
        path: The file of jobs.
        done: The jobs that have their row.

    Returns:
        How many there are.

    Raises:
        SettingsError: Two jobs have one id, a row has none, or a job that has its row was changed.
    """
    import numpy as np

    ids, found = array("Q"), 0
    for job in read_jobs(path):
        ids.append(digest(job.id))
        found += job in done
    if not ids:
        raise SettingsError(f"JOBS {path} holds no job.")
    numbers = np.sort(np.frombuffer(ids, np.uint64))
    if len(twice := numbers[1:][numbers[1:] == numbers[:-1]]):
        _refuse_twins(path, set(twice.tolist()))
    return Scan(len(ids), found)


def _refuse_twins(path: Path, twice: set[int]) -> None:
    """Name the first two jobs that have one id, or ids that can not be told apart by their digests."""
    first: dict[int, Job] = {}
    for job in read_jobs(path):
        if (number := digest(job.id)) in twice and (twin := first.setdefault(number, job)) is not job:
            also = "" if twin.id == job.id else f" and {twin.id!r} (too alike to be told apart)"
            raise SettingsError(
                f"{twin.place} and {job.place} of JOBS {path} both have the id {job.id!r}{also}: ids are "
                "unique."
            )
