"""Pictures of sequences: one a setting, equal bytes for equal numbers, and the command that draws them."""

import pytest

from mubench.cards.__main__ import main
from mubench.cards.report.sequence_picture import draw_sequences, group_sequences
from mubench.trainers.sequences.sequence_result import write_sequence
from tests.fixtures.sequences import scores, sequence, standing, step

NAME = "cifar10-mini-resnet-del10-steps2-0123abcd"


def test_sequences_of_one_setting_share_a_picture():
    other = sequence(split="f" * 64)
    groups = group_sequences([sequence(), sequence("npo"), other])
    assert {name: [one.method for one in found] for name, found in groups.items()} == {
        NAME: ["scrub", "npo"], "cifar10-mini-resnet-del10-steps2-ffffffff": ["scrub"],
    }  # fmt: skip


@pytest.mark.slow
def test_equal_sequences_give_equal_bytes_and_a_missing_score_is_left_out(tmp_path):
    found = [sequence(), sequence("sfr_on")]
    first, second = (draw_sequences(found, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second and len(first) > 10_000
    none = standing(10, None, no_signal="no signal")
    steps = [step(5, 0.1, scores(0.6, 1, 1), whole=none), step(10, 0.1, scores(0.6, 1, 1), whole=none)]
    changed = draw_sequences([sequence(steps=steps)], tmp_path / "c.png").read_bytes()
    assert changed not in (first, b"")


@pytest.mark.slow
def test_the_command_prints_tables_and_draws_beside_the_files(tmp_path, capsys):
    for method in ("scrub", "npo"):
        write_sequence(sequence(method), tmp_path)
    assert main(["sequences", f"--results={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    picture = tmp_path / "sequences" / f"{NAME}.png"
    assert f"picture: {picture}\n" in printed and picture.stat().st_size > 10_000
    assert printed.count("reversal: ") == 2 and "passes: training cost" in printed
    assert main(["sequences", "--shipped"]) == 2 and main(["sequences", f"--results={tmp_path / 'none'}"]) == 2
    assert "expected sequences in" in capsys.readouterr().err
