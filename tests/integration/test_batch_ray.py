"""A real Ray cluster of several processes, one of which is killed: nothing lost, nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.ray_batch import (
    CONCURRENCY,
    JOBS,
    STEPS,
    Calls,
    expected,
    journal_in,
    kill_a_worker,
    results_in,
    write_jobs,
)


@pytest.mark.xdist_group("ray")
def test_a_killed_worker_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """Its jobs go on elsewhere, in the middle of their texts: a call for each is made again at most."""
    write_jobs(tmp_path)
    before = kill_a_worker(tmp_path, calls=40)
    assert sum(before.by_worker.values()) < JOBS * (STEPS + 1), "it was killed in the middle"
    assert results_in(tmp_path / "out") == expected(tmp_path)
    calls = Calls.of(journal_in(tmp_path))
    assert len(calls.by_call) == JOBS * (STEPS + 1)
    assert calls.repeated <= CONCURRENCY
    assert len(calls.by_worker) == 3, "two workers, and the one that took the killed one's place"
    assert not list((tmp_path / "out" / "checkpoints").rglob("*.sqlite*"))
