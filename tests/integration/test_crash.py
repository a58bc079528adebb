"""A killed process costs one model call at most (Contract 6). The long run: `python -m tests.soak.crash`."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from tests.soak.kill import kill_and_compare
from tests.soak.worker import Job, Place

KILLS = 3
COMBINATIONS = list(product(("sqlite", "postgres"), get_args(Place), ("sync", "async")))


@pytest.mark.parametrize(
    ("number", "combination"), list(enumerate(COMBINATIONS)), ids=["-".join(each) for each in COMBINATIONS]
)
def test_killed_at_random_moments_it_goes_on_where_it_stopped(
    request: pytest.FixtureRequest, tmp_path: Path, number: int, combination: tuple[str, Place, str]
) -> None:
    """The same heads and answer as undisturbed, each chunk read once, one call repeated a kill at most."""
    kind, place, mode = combination
    database = request.getfixturevalue("postgres") if kind == "postgres" else str(tmp_path / "memory.sqlite")
    job = Job(database, tmp_path, "", {}, place=place, call_seconds=0.01, is_async=mode == "async")
    outcome = kill_and_compare(job, KILLS, seed=number)
    assert outcome.kills == KILLS
    assert outcome.worst <= 1
    assert all(outcome.same)
    assert all(outcome.whole)


@pytest.mark.parametrize("place", get_args(Place))
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_killed_in_a_round_it_repeats_those_updates_alone_that_were_under_way(
    tmp_path: Path, place: Place, mode: str
) -> None:
    job = Job(
        str(tmp_path / "memory.sqlite"),
        tmp_path,
        "",
        {},
        place=place,
        call_seconds=0.02,
        is_async=mode == "async",
        parallel_heads=3,
    )
    outcome = kill_and_compare(job, KILLS, seed=len(mode) + len(place))
    assert outcome.kills == KILLS
    assert outcome.worst <= 3
    assert all(outcome.same)
    assert all(outcome.whole)
