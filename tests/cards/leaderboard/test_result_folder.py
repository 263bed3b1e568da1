"""Tables of a folder whose rows change."""

from pathlib import Path

import pytest

from mubench.cards.leaderboard import result_folder
from mubench.trainers.evaluation.result import read_result, write_result


def test_a_row_of_a_folder_is_read_once_and_its_table_alone_ranked_again(new_row, tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(result_folder, "read_result", lambda path: read.append(Path(path).stem) or read_result(path))
    folder = result_folder.ResultFolder(tmp_path / "results")
    assert folder.tables() == ()
    for ratio in (5, 10):
        write_result(new_row("scrub", ratio=ratio, run_id=f"scrub-{ratio}"), tmp_path / "results")
    before = {table.row.ratio: table for table in folder.tables()}
    assert {*folder.tables()} == {*before.values()} and read == ["scrub-10", "scrub-5"]
    write_result(new_row("salun", score=0.9, ratio=10, run_id="salun-10"), tmp_path / "results")
    after = {table.row.ratio: table for table in folder.tables()}
    assert read[2:] == ["salun-10"] and after[5] is before[5]
    assert [entry.name for entry in after[10].entries] == ["salun", "scrub"]
    (tmp_path / "results" / "scrub-5.json").write_text("{")
    with pytest.raises(ValueError, match="scrub-5"):
        folder.tables()
    (tmp_path / "results" / "scrub-5.json").unlink()
    assert [table.row.ratio for table in folder.tables()] == [10]
