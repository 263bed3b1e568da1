"""The example of texts without prompts on the page about language models, from text files to MUSE's numbers."""

import json
import re
import shlex

import pytest

from mubench.cards.console import main
from mubench.hub_builders.hub.model_folder import read_runs
from tests.pages import blocks, page

(SECTION,) = re.findall(r"^## Texts without prompts\n(.*?)(?=^## )", page("language_models"), re.MULTILINE | re.DOTALL)
*TRAINING, MEASURING = [shlex.split(line)[1:] for line in "".join(blocks(SECTION, "bash")).splitlines()]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Return a folder with the text files of the page and the models that its commands train."""
    root = tmp_path_factory.mktemp("corpora")
    (example,), (task,) = (blocks(SECTION, language) for language in ("python", "yaml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        exec(compile(example, "an example", "exec"), {})
        (root / "towns.yaml").write_text(task)
        for words in TRAINING:
            assert main(words) == 0
        yield root


@pytest.mark.slow
def test_a_base_model_has_memorised_what_a_retrained_one_has_not(here, capsys):
    capsys.readouterr()
    assert main(MEASURING) == 0
    printed = capsys.readouterr().out
    (shown,) = blocks(SECTION, "text")
    counts, _, head, *rows = shown.splitlines()
    assert {counts, head} <= set(printed.splitlines())
    assert all(re.search(rf"^{line.split()[0]} +\d", printed, re.MULTILINE) for line in rows)
    written = json.loads((here / "corpus_numbers" / "my_towns-custom-group-llama-del10.json").read_text())
    assert written["questions"] == {"forget": 24, "retain": 180}
    models = written["models"]
    base, retrained, *unlearned = models.values()
    assert models.keys() == {path.name for path in read_runs(here / "models")} and len(unlearned) == 2
    for name in ("verbatim_memorisation", "knowledge_memorisation"):
        assert base[name] > retrained[name] + 0.3
        assert all(0 <= one[name] <= 1 for one in models.values())
    assert retrained["priv_leak"] == 0 and base["priv_leak"] < -50
    assert min(base["utility"], retrained["utility"]) > 0.3 and retrained["knowledge_memorisation"] < 0.1

    def answers():
        return {path: path.stat().st_mtime_ns for path in (here / "corpus_numbers" / "answers").iterdir()}

    before = answers()
    assert len(before) == len(models) and main(MEASURING) == 0
    assert answers() == before  # nothing is generated anew


@pytest.mark.slow
def test_missing_models_are_named_with_the_command_that_trains_them(here, capsys):
    capsys.readouterr()
    for ratio, models, wanted in (("5", "models", "retrain"), ("10", "none", "base")):
        assert (
            main(["corpus_numbers", "--task=my_towns", "--family=group", f"--ratio={ratio}", f"--models={models}"])
            == 2
        )
        found = re.search(r"expected a (.*) of my_towns llama, got none; make it with: mubench (\w+) --task my_towns",
                          capsys.readouterr().err)  # fmt: skip
        assert found[2] == wanted
