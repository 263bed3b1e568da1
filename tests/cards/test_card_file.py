"""A card that somebody edited is kept when it is written again."""

import pytest

from mubench.cards.folders import is_edited, replace_card


def test_an_unedited_card_is_replaced_silently(tmp_path, capsys):
    path = replace_card(tmp_path / "README.md", "# A model\n")
    assert path.read_text().startswith("# A model\n") and not is_edited(path.read_text())
    replace_card(path, "# A better model\n")
    assert [one.name for one in tmp_path.iterdir()] == ["README.md"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "edit", [lambda text: text + "My notes\n", lambda text: "My notes\n", lambda text: text.upper()]
)
def test_an_edited_card_is_kept_and_reported(tmp_path, capsys, edit):
    path = replace_card(tmp_path / "README.md", "# A model\n")
    mine = edit(path.read_text())
    for number in ("", "1"):
        path.write_text(mine)
        replace_card(path, "# A model\n")
        assert (tmp_path / f"README.edited{number}.md").read_text() == mine
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"kept as README.edited{number}.md" in error
    assert not is_edited(path.read_text())
