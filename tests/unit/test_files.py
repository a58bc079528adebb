"""Files that a kill leaves whole."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from mhm_langgraph.files import cut_torn_line, replacing

LONG = b"x" * 200_000


@pytest.mark.parametrize(
    ("held", "kept"),
    [
        (b"", b""),
        (b"torn", b""),
        (LONG, b""),
        (b"whole\n", b"whole\n"),
        (b"one\ntwo\nto", b"one\ntwo\n"),
        (b"one\n" + LONG, b"one\n"),
        (LONG + b"\n" + LONG, LONG + b"\n"),
    ],
)
def test_what_follows_the_last_whole_line_is_cut_off(held: bytes, kept: bytes) -> None:
    file = BytesIO(held)
    cut_torn_line(file)
    assert file.getvalue() == kept
    file.write(b"next\n")
    assert file.getvalue() == kept + b"next\n"


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text("old")

    def stopped_in_the_middle() -> None:
        with replacing(path) as aside:
            aside.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_in_the_middle()
    assert path.read_text() == "old"
    with replacing(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
