"""Settings that a process keeps."""

from mubench.hub_builders.dataset.build import build_own
from mubench.hub_builders.dataset.task_file import read_task_file
from mubench.trainers.models.setting import load_setting
from tests.own_data import make


def test_a_task_of_a_users_own_with_other_recipes_and_equal_rows_is_another_setting(tmp_path):
    path = make("texts", tmp_path)
    for epochs in (12, 7):
        path.write_text(path.read_text().replace("epochs: 12", f"epochs: {epochs}"))
        data = build_own(read_task_file(path), out=tmp_path)
        assert load_setting("my_texts", "bert", data=str(data)).recipe.epochs == epochs
