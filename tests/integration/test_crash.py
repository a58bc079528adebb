"""A killed process costs one model call at most (Contract 6). The long run: `python -m tests.soak.crash`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.kill import kill_and_compare
from tests.soak.worker import Job, Place

KILLS = 3


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("place", ["top", "parent"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed_at_random_moments_it_goes_on_where_it_stopped(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, place: Place, is_async: bool
) -> None:
    """The same heads and answer as undisturbed, each chunk read once, one call repeated a kill at most."""
    database = request.getfixturevalue("postgres") if kind == "postgres" else str(tmp_path / "memory.sqlite")
    job = Job(database, tmp_path, "", {}, place=place, call_seconds=0.01, is_async=is_async)
    outcome = kill_and_compare(job, KILLS, seed=hash_of(kind, place, is_async))
    assert outcome.kills == KILLS
    assert outcome.worst <= 1
    assert all(outcome.same)
    assert all(outcome.whole)


def hash_of(*parts: object) -> int:
    """A seed of its own for each combination, the same in every process."""
    return sum(map(ord, repr(parts)))
