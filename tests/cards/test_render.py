"""Cards against golden files; with ``MUBENCH_GOLDEN=write`` in the environment they are rewritten: read the diff."""

import os
import re
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard

from mubench.cards.leaderboard import tables
from mubench.cards.render import _revision, dataset_body, model_card, results_card
from mubench.hub_builders.dataset.readme import write_readme
from mubench.hub_builders.deletion.published_lists import PAPER_LISTS
from mubench.hub_builders.hub.push import LICENCES_HEADING
from mubench.hub_builders.hub.restricted import NAMESPACE, READING_HEADING, rewrite_card
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.evaluation.result import Value
from mubench.trainers.metrics import METRICS
from mubench.trainers.unlearning.unlearning_trainer import Paper

GOLDEN = Path(__file__).parent / "golden"
PAPER = Paper(title="A Title", venue="Venue 2023", arxiv="2302.09880", authors="First et al.")


def manifest(task="cifar10", tier="mini", **counts):
    return {
        "task": task, "tier": tier, "family": "canonical", "deletion_seed": 0, "files": "fe" * 32, "split": "0d" * 32,
        "counts": {"train": 1200, "validation": 200, "test": 397, **counts}, "shards": {}, "bytes": 1,
        "labels": TASKS[task].label_names(tier),
        "forget": {ratio: 12 * ratio for ratio in range(1, 11)},
        "command": f"python -m mubench.hub_builders build {task} --tier {tier}",
    }  # fmt: skip


def compare(name, text):
    path = GOLDEN / name
    if os.environ.get("MUBENCH_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_dataset_card():
    compare("dataset.md", dataset_body([manifest("imdb", "full", ood=400), manifest()], repository="mu-bench"))


def test_cards_of_a_users_own_task_name_its_file_and_cite_nothing(new_run):
    definition = {"file": "ab" * 32, "reader": "cd" * 32, "title": "Mine", "kind": "image_classification",
                  "source": "rows.py", "licence": "cc0-1.0", "labels": ["a", "b"]}  # fmt: skip
    own = {**manifest(), "task": "mine", "tier": "custom", "definition": definition}
    text = dataset_body([own], repository="mu-bench")
    assert "### Mine (`mine`, custom)" in text and "stand-in" not in text and "bibtex" not in text
    assert (
        f"`rows.py`, read by a file with SHA-256 `{'cd' * 32}`, for the task file with SHA-256 `{'ab' * 32}`" in text
    )
    assert "| Mine | cc0-1.0 | cc0-1.0 | no | no |" in text and "mu-bench-tasks-custom" in text
    card = model_card("m", new_run(task="mine", tier="custom", definition=definition), parent="b")
    assert "a custom task" in card and "ab" * 32 in card and "license: cc0-1.0" in card


def test_words_of_a_users_own_task_are_no_markup(new_run):
    definition = {"file": "ab" * 32, "title": "A | <b> [x](y) `z`", "kind": "image_classification",
                  "source": "a ``b.csv", "labels": ["<i>", "`"]}  # fmt: skip
    own = [{**manifest(), "task": key, "tier": "custom", "definition": definition, "labels": ["<i>", "`"]}
           for key in ("mine", "other")]  # fmt: skip
    own[1]["forget"] = dict.fromkeys(own[1]["forget"], 77)
    title = "A &#124; &#60;b> &#91;x&#93;(y) &#96;z&#96;"
    text = dataset_body(own, repository="mu-bench")
    assert f"### {title} (`mine`, custom)" in text and f"| {title} (`mine`) | custom |" in text
    assert "- Rows: ```a ``b.csv```, read for" in text and "- Labels: &#60;i>, &#96;\n" in text
    sizes = [line for line in text.splitlines() if line.startswith(f"| {title} | ")]
    assert sum("77" in line for line in sizes) == 1 and definition["title"] not in text
    card = model_card("m", new_run(task="mine", tier="custom", definition=definition), parent="b")
    assert title in card and definition["title"] not in card


def test_words_of_a_users_recipe_and_options_are_no_markup(new_run):
    words, shown = "a | b <script>alert(1)</script>", "a &#124; b &#60;script>alert(1)&#60;/script>"
    base = {"method": None, "ratio": None, "seed": None, "parent": None}
    recipe = {"learning_rate": 0.003, "system_prompt": words}
    for place, changes in {
        "system_prompt": {"recipe": recipe},
        "refusal": {"arguments": {"refusal": words}},
        "refusal (of this run)": {**base, "arguments": {"refusal": words}},
        "torch": {"versions": {"torch": words}},
        "device": {"device": words},
    }.items():
        card = model_card("m", new_run(**changes))
        assert f"\n| {place} | {shown} |\n" in card and words not in card


def test_base_model_card(new_run):
    run = new_run(method=None, ratio=None, seed=None, parent=None, arguments={})
    metrics = {"test_score": Value(value=0.71234, n=397)}
    compare("base.md", model_card("cifar10-mini-resnet", run, metrics=metrics))


def test_unlearned_model_card(new_run, new_row):
    name = "cifar10-mini-resnet-del5-scrub-s0"
    compare("unlearned.md", model_card(name, new_run(), parent="cifar10-mini-resnet", result=new_row(), paper=PAPER))


def test_the_card_of_a_later_request_states_what_it_deleted(new_run):
    card = model_card("m", new_run(deleted_before=2), parent="b")
    assert "`b` after unlearning requests up to 5 % of CIFAR-10" in card
    assert "\nThis request deleted the rows from 2 % on; earlier requests had deleted those before.\n" in card
    assert "requests" not in model_card("m", new_run(), parent="b")


def test_the_card_of_an_unlearned_adopted_model_gives_no_identity_as_hash_of_files(new_run):
    foreign = {"foreign_base": "ResNetForImageClassification", "parent": "ab" * 32}
    assert f"SHA-256 over its files `{'ab' * 32}`" in model_card("m", new_run(**foreign))
    card = model_card("m", new_run(**foreign, backbone_start="resnet"))
    assert "`ResNetForImageClassification` of unknown training." in card and "SHA-256" not in card


def test_a_model_card_cites_its_addons(new_run):
    given = {"gamma": 0.9, "curriculum": "superloss", "curriculum_lambda": 10, "sam_rho": 0.1}
    text = model_card("x", new_run(arguments=given), parent="y", paper=PAPER)
    assert "Method: First et al., *A Title*" in text
    assert re.findall(r"^With: (.*?),", text, re.MULTILINE) == ["Castells et al.", "Fan et al."]


def test_results_card(demo_rows):
    compare("results.md", results_card(tables(demo_rows), picture="leaderboard.png"))


def test_the_hub_parses_a_model_card(new_run, new_row):
    name = "cifar10-mini-resnet-del5-scrub-s0"
    card = ModelCard(model_card(name, new_run(), parent="cifar10-mini-resnet", result=new_row(), paper=PAPER))
    assert card.data.base_model == "cifar10-mini-resnet" and card.data.datasets == ["mu-bench"]
    assert "mini" in card.data.tags and card.data.license == "cc-by-4.0"
    named = {result.metric_type: result for result in card.data.eval_results}
    assert named["score"].metric_value == 0.8 and "better: higher" in named["score"].metric_name
    assert "nats" in named["kl_retrained"].metric_name and named["score"].dataset_config == "cifar10_del5"
    assert DatasetCard(results_card(tables([new_row()]))).data.license == "apache-2.0"


def test_every_number_on_a_model_card_has_its_direction(new_run, new_row):
    row = new_row()
    text = model_card("m", new_run(), parent="b", result=row).replace(" (weak) |", " |")
    for name in row.metrics:
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {METRICS[name].title} |")]
        assert f"| {METRICS[name].better} |" in line and "| 60 |" in line


@pytest.mark.parametrize("tier", ["mini", "partial", "full"])
def test_stand_ins_are_marked(new_run, new_row, tier):
    model = model_card("m", new_run(tier=tier), parent="b", result=new_row(tier=tier))
    data = dataset_body([manifest(tier=tier)], repository="mu-bench")
    assert ("a stand-in" in model) == ("stand-ins, not the original data in full" in data) == (tier != "full")
    assert f"({tier})" in results_card(tables([new_row(tier=tier)]))


def test_the_card_of_a_group_family_lists_exact_shares(new_run):
    group = {
        **manifest(),
        "family": "group",
        "forget": {**dict.fromkeys(range(1, 6), 66), **dict.fromkeys(range(6, 11), 133)},
    }
    text = dataset_body([group], repository="mu-bench-group")
    assert "whole groups of rows" in text and '`sha256("0:<task>:<group>")`' in text
    assert f"| CIFAR-10 |{' 66 (5.50 %) |' * 5}{' 133 (11.08 %) |' * 5}\n" in text
    assert f"| task | {' | '.join(f'{ratio} %' for ratio in range(1, 11))} |\n" in text
    assert "for every ratio from 1 % to 10 %" in text and "(position + 0.5)" not in text


def test_the_card_of_published_lists_names_their_faults():
    paper = {**manifest("imdb", "full"), "family": "paper", "forget": {1: 12, 5: 60, 10: 120}}
    text = dataset_body([paper], repository="mu-bench-paper")
    assert f"- IMDB: {PAPER_LISTS['imdb'].fault}." in text and "at 1, 5, 10 %" in text
    assert 'load_dataset("mu-bench-paper", "imdb_del5")' in text
    assert "Known faults" not in dataset_body([manifest()], repository="mu-bench")


def test_the_card_of_a_users_list_names_its_config(new_run, new_row):
    custom = {**manifest(), "family": "custom", "forget": {37: 444}}
    text = dataset_body([custom], repository="mu-bench-custom")
    assert (
        'load_dataset("mu-bench-custom", "cifar10_del37")' in text
        and "| task | 37 % |\n" in text
        and "| CIFAR-10 | 444 (37.00 %) |" in text
    )
    model = model_card("m", new_run(family="custom", ratio=37), parent="b", result=new_row(family="custom", ratio=37))
    assert "cifar10_del37" in model


def test_the_card_of_a_model_trained_from_scratch_names_its_rows(new_run):
    elsewhere = model_card("m", new_run(backbone="resnet-18", parent="0123456789abcdef"))
    assert "A base model outside this folder (run `0123456789ab`), after unlearning" in elsewhere
    assert "base_model" not in elsewhere.split("---")[1]
    whole, half = (model_card("m", new_run(method=m, parent=None)) for m in ("retrain", "retrain_keep50"))
    assert "from scratch without the deleted rows" in whole and "Unlearned models are judged by" in whole
    assert "from scratch without half of the deleted rows" in half and "Unlearned models are judged by" not in half


def test_rows_from_files_have_no_hub_source():
    from_files = {**manifest("ucf101", "partial"), "command": "build ucf101 --tier partial --raw DIR --allow_partial"}
    text = dataset_body([from_files], repository="mu-bench")
    assert "from files in the layout of UCF101" in text and "or other rows in its place" in text
    assert "| UCF101 | that of the files given | unknown |" in text and "- Source" not in text
    online = {**manifest("ucf101", "partial"), "command": "build ucf101 --tier partial --max_train_rows 9"}
    assert "- Source: [" in dataset_body([online], repository="mu-bench")


def test_a_branch_is_no_revision():
    assert _revision("0" * 40) == f"revision `{'0' * 40}`"
    assert _revision("refs/convert/parquet") == "branch `refs/convert/parquet`" and _revision(None) == "default branch"


def test_mini_rows_are_numbered_and_redistributable():
    text = dataset_body([manifest("nlvr2")], repository="mu-bench")
    assert "| NLVR2 | apache-2.0 | unknown | no | yes |" in text
    assert "- `example_id`: row numbers" in text


@pytest.mark.parametrize(
    ("tier", "options", "licence"),
    [
        ("mini", "", "apache-2.0"),
        ("partial", " --raw DIR --allow_partial", "other"),
        ("partial", " --max_train_rows 9", "cc-by-4.0"),
        ("full", " --raw DIR", "cc-by-4.0"),
    ],
)
def test_only_rows_of_the_original_carry_its_licence_and_citation(tier, options, licence, new_run, tmp_path):
    one = manifest("speech_commands", tier)
    one["command"] += options
    one["shards"] = {"train": []}
    body, head = dataset_body([one], repository="mu-bench"), write_readme(tmp_path, manifests=[one]).read_text()
    doubt = (
        "These rows may not be those of Speech Commands. Where they are, its licence (cc-by-4.0) and citation apply"
    )
    assert TASKS["speech_commands"].licence == "cc-by-4.0" and f"license:\n- {licence}\n" in head
    assert (TASKS["speech_commands"].citation in body) == (tier != "mini")
    assert ("These rows are not Speech Commands, whose licence and citation are not theirs" in body) == (
        tier == "mini"
    )
    assert (doubt in body) == (licence == "other")
    model = model_card("m", new_run(task="speech_commands", backbone="wav2vec2", tier=tier), parent="b")
    expected = {"mini": "apache-2.0", "partial": "other", "full": "cc-by-4.0"}[tier]
    assert ModelCard(model).data.license == expected
    assert f"Licence of the rows: {'that of the dataset, see its card' if tier == 'partial' else expected}." in model
    assert (doubt in model) == (TASKS["speech_commands"].citation in model) == (tier == "partial")


def test_a_card_has_the_headings_that_publishing_needs():
    text = dataset_body([manifest()], repository="mu-bench")
    assert f"\n{LICENCES_HEADING}\n" in text and f"\n{READING_HEADING}\n" in text


def test_a_card_names_the_family_to_report_results_on():
    group = {**manifest("tofu"), "family": "group"}
    reason = ", since in others the retain set keeps rows of the same group as deleted ones\n"
    families = {
        "this family\n": manifest(),
        f"the group family{reason}": manifest("tofu"),
        f"this family{reason}": group,
    }
    for family, one in families.items():
        assert f"- Report results on {family}" in dataset_body([one], repository="mu-bench")
    for tier, words in (("mini", "this family\n"), ("partial", "the group family"), ("full", "the group family")):
        text = dataset_body([manifest("tiny_imagenet", tier)], repository="mu-bench")
        assert f"- Report results on {words}" in text


def test_a_card_names_the_repositories_of_every_family_and_tier_with_their_namespace():
    text = dataset_body([manifest()], repository="mu-bench")
    line = "| `mu-bench-group` | `{0}/mu-bench-group`, `{0}/mu-bench-group-partial`, `{0}/mu-bench-group-mini` | whole"
    assert line.format(NAMESPACE) in text and f"| `mu-bench-paper` | `{NAMESPACE}/mu-bench-paper` | the sets" in text
    published = rewrite_card(text, "me/mu-bench-mini", [])
    assert line.format("me") in published and NAMESPACE not in published


def test_flags_and_a_missing_signal_are_named(new_run, new_row):
    flagged = model_card("m", new_run(), parent="b", result=new_row(flags=["equals_base"]))
    silent = model_card("m", new_run(), parent="b", result=new_row(no_signal="no signal: because"))
    assert "Flags: equals_base; this run is not ranked" in flagged and "no signal: because" in silent
    assert "Not judged." in model_card("m", new_run(), parent="b")


def test_a_repository_without_tasks_has_no_card():
    with pytest.raises(ValueError, match="at least 1 task in mu-bench, got 0"):
        dataset_body([], repository="mu-bench")
