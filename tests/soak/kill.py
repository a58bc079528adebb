"""Kills a reading at random moments, resumes it in a new process, compares with an undisturbed one."""

from __future__ import annotations

import json
import multiprocessing
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from multiprocessing.process import BaseProcess
from typing import Any

from tests.soak.worker import Job, read_undisturbed, work

__all__ = ["Outcome", "disturbed", "kill_and_compare"]

_CHUNKS = 24
_CHUNKS_BEFORE = 4
_CHUNK_CHARACTERS = 40
_KILLS_A_RUN = 5
_PATIENCE_SECONDS = 120
_NOTE = re.compile(r"\[(\d+):(\d+)-(\d+)\]")

# A clean process in milliseconds: it has imported the worker, and run nothing.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.soak.worker"])


@dataclass(frozen=True)
class Outcome:
    """What became of readings that were killed.

    Args:
        kills: How many SIGKILLs hit a running process.
        repeated: For each kill, how many model calls the next process began once more.
        same: Of each run, whether heads and answer are those of an undisturbed run.
        whole: Of each run, whether its heads tell of every chunk, once and in order.
    """

    kills: int
    repeated: tuple[int, ...]
    same: tuple[bool, ...]
    whole: tuple[bool, ...]

    @property
    def worst(self) -> int:
        """The most model calls that a single kill cost."""
        return max(self.repeated, default=0)

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.kills + other.kills,
            self.repeated + other.repeated,
            self.same + other.same,
            self.whole + other.whole,
        )


NOTHING = Outcome(0, (), (), ())


def kill_and_compare(pattern: Job, kills: int, seed: int) -> Outcome:
    """Kill readings of one kind until there are enough kills.

    Args:
        pattern: The reading; its folder is where each run gets a folder and a thread of its own.
        kills: How many kills.
        seed: Of the random moments, and of the kind of reading it starts with.

    Returns:
        The sum over the runs: the text inline and by name in turn, on a new thread and on one that has
        read another text before.
    """
    moments, outcome = random.Random(seed), NOTHING
    for number in count():
        if outcome.kills >= kills:
            break
        jobs = _jobs(pattern, number, kind=(number + seed) % 4)
        outcome += disturbed(jobs, min(_KILLS_A_RUN, kills - outcome.kills), moments)
    return outcome


def _jobs(pattern: Job, number: int, kind: int) -> list[Job]:
    """The next reading to be killed; before it, one on the same thread that is done."""
    folder = pattern.folder / f"run-{number}"
    folder.mkdir()
    (folder / "text.txt").write_text(text(_CHUNKS))
    # Both are named, since a host keeps what it is not given anew.
    inline, named = (None, "text.txt") if kind % 2 else (text(_CHUNKS), None)
    given = {"question": "?", "document": inline, "source": named}
    job = replace(pattern, folder=folder, thread=str(folder), given=given)
    return [_read_before(job), job] if kind > 1 else [job]


def _read_before(job: Job) -> Job:
    """A reading on the same thread that nobody kills, done."""
    folder = job.folder / "before"
    folder.mkdir()
    before = replace(job, folder=folder, given={"question": "?", "document": text(_CHUNKS_BEFORE)})
    _finish(_start(before))
    return before


def disturbed(jobs: Sequence[Job], kills: int, moments: random.Random) -> Outcome:
    """One reading, killed up to so many times, then left to its end.

    Args:
        jobs: The reading; before it, what its thread has read already.
        kills: How many kills at most: it may come to its end before.
        moments: Where the random moments come from.

    Returns:
        What became of it.
    """
    job, killed = jobs[-1], 0
    while killed < kills and not job.result.exists():
        killed += _killed(job, moments)
    if not job.result.exists():
        _finish(_start(job))
    starts = _calls_by_start(job.journal.lines())
    out, expected = json.loads(job.result.read_text()), read_undisturbed(jobs)
    return Outcome(
        kills=killed,
        repeated=tuple(_repeated(starts)),
        same=((out["heads"], out["answer"]) == (expected["heads"], expected["answer"]),),
        whole=(_notes(out["heads"]) == _notes_of(_read_into_heads(jobs)),),
    )


def text(chunks: int) -> str:
    """A text of so many chunks: each paragraph fills one."""
    size = _CHUNK_CHARACTERS - len("\n\n")
    return "".join(f"Paragraph {number:04d} ".ljust(size, "x") + "\n\n" for number in range(chunks))


def _killed(job: Job, moments: random.Random) -> bool:
    """Start a process and kill it at a random moment; whether that was before its end."""
    process = _start(job)
    calls, pause = moments.randrange(5), moments.uniform(0, 2 * job.call_seconds + 0.01)
    before = len(_calls_by_start(job.journal.lines()))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while process.is_alive() and time.monotonic() < deadline:
        starts = _calls_by_start(job.journal.lines())
        if len(starts) > before and len(starts[-1]) >= calls:
            break
        time.sleep(0.0005)
    time.sleep(pause)
    process.kill()
    process.join()
    if process.exitcode not in (0, -9):
        raise RuntimeError(f"the worker failed: exit code {process.exitcode}")
    return process.exitcode == -9 and not job.result.exists()


def _start(job: Job) -> BaseProcess:
    process = _PROCESSES.Process(target=work, args=(job,))
    process.start()
    return process


def _finish(process: BaseProcess) -> None:
    process.join(_PATIENCE_SECONDS)
    if process.exitcode != 0:
        process.kill()
        raise RuntimeError(f"the worker failed: exit code {process.exitcode}")


def _calls_by_start(lines: Sequence[str]) -> list[list[str]]:
    """The calls that each process began."""
    starts: list[list[str]] = []
    for line in lines:
        if line == "start":
            starts.append([])
        else:
            starts[-1].append(line)
    return starts


def _repeated(starts: Sequence[Sequence[str]]) -> Iterator[int]:
    """For each process but the first, how many of its calls had been begun before."""
    known = set(starts[0])
    for calls in starts[1:]:
        yield sum(call in known for call in calls)
        known.update(calls)


def _notes(heads: Sequence[Any]) -> list[tuple[int, ...]]:
    """Step and span of all that was read into the heads, in the order of the steps."""
    found = (note for head in heads for note in _NOTE.findall(head["text"]))
    return sorted(tuple(map(int, note)) for note in found)


def _read_into_heads(jobs: Sequence[Job]) -> list[int]:
    """Chunks of the texts whose notes are in the heads; a host's memory starts empty at each run."""
    return [_CHUNKS_BEFORE, _CHUNKS] if len(jobs) > 1 and jobs[-1].place == "top" else [_CHUNKS]


def _notes_of(texts: Sequence[int]) -> list[tuple[int, ...]]:
    """What the heads note when each chunk of the texts was read once, in order."""
    starts = [_CHUNK_CHARACTERS * number for chunks in texts for number in range(chunks)]
    return [(step, start, start + _CHUNK_CHARACTERS) for step, start in enumerate(starts)]
