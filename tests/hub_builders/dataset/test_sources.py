"""Checked rows of a task: counts, labels, ids, subsets and held-out rows."""

import dataclasses

import pytest

from mubench.hub_builders.dataset import sources
from mubench.hub_builders.dataset.sources import check_options, load_rows, with_source_labels
from mubench.hub_builders.deletion.ranks import held_out_groups, validation_rows
from mubench.hub_builders.raw import HUB, LABELS
from mubench.hub_builders.tasks import TASKS

IMDB = TASKS["imdb"]


def rows(count, name="r", **more):
    return [{"example_id": f"{name}{i}", "label": i % 2, "text": "x", **more} for i in range(count)]


@pytest.fixture
def hub(monkeypatch):
    """Return a function that sets the Hub's rows of imdb."""
    return lambda **splits: monkeypatch.setitem(
        HUB, "imdb", lambda: {name: list(part) for name, part in splits.items()}
    )


def load(task=IMDB, **options):
    return load_rows(task, "partial", None, True, **options)


def test_validation_rows_are_taken_from_test_and_splits_are_ordered(hub):
    test = rows(40, "t")
    hub(ood=rows(2, "o"), test=test, train=rows(6))
    splits = load()
    assert list(splits) == ["train", "validation", "test", "ood"]
    chosen = validation_rows([row["example_id"] for row in test], [row["label"] for row in test], task="imdb")
    assert splits["validation"] == [row for row, yes in zip(test, chosen, strict=True) if yes]
    assert splits["test"] == [row for row, yes in zip(test, chosen, strict=True) if not yes]
    assert len(splits["validation"]) == 8


def test_existing_validation_rows_are_kept(hub):
    hub(train=rows(6), validation=rows(3, "v"), test=rows(10, "t"))
    assert {name: len(part) for name, part in load().items()} == {"train": 6, "validation": 3, "test": 10}


def test_groups_are_held_out_of_a_task_without_test_rows(hub):
    task = dataclasses.replace(IMDB, group="author")
    train = [{**row, "group": f"a{i // 2}"} for i, row in enumerate(rows(40))]
    hub(train=train)
    place = held_out_groups([row["group"] for row in train], task="imdb")
    splits = load(task)
    assert {name: len(part) for name, part in splits.items()} == {"train": 34, "validation": 2, "test": 4}
    for name in ("validation", "test"):
        assert splits[name] == [row for row in train if place.get(row["group"]) == name]
    assert load(task, hold_out=False) == {"train": train}
    with pytest.raises(ValueError, match="expected test rows of imdb, got none"):
        load()


def test_counts_must_be_those_of_a_release(hub, monkeypatch):
    monkeypatch.setitem(IMDB.counts, "full", {"train": 6, "validation": 1, "test": 4})
    task = dataclasses.replace(IMDB, releases={"second": {"train": 8, "validation": 1, "test": 4}})
    for count in (6, 8):
        hub(train=rows(count), validation=rows(1, "v"), test=rows(4, "t"))
        assert len(load_rows(task, "full", None)["train"]) == count
    hub(train=rows(7), validation=rows(1, "v"), test=rows(4, "t"))
    with pytest.raises(
        ValueError, match=r"expected 6 train, 1 validation, 4 test or 8 train, .* rows of imdb, got 7 train"
    ):
        load_rows(task, "full", None)
    assert sources._merge_held_out_counts({"train": 6, "validation": 1, "test": 4, "ood": 2}) == {
        "train": 11,
        "ood": 2,
    }


def test_a_subset_has_the_given_size(hub):
    hub(train=rows(20), validation=rows(1, "v"), test=rows(4, "t"))
    kept = load(max_train_rows=6)["train"]
    assert [row["label"] for row in kept].count(0) == 3 and len(kept) == 6
    assert len(load(max_train_rows=20)["train"]) == 20
    for size in (0, 21):
        with pytest.raises(ValueError, match=f"expected max_train_rows from 1 to 20, got {size}"):
            load(max_train_rows=size)


@pytest.mark.parametrize(("options", "message"), [
    ({"tier": "huge"}, "tier must be one of full, partial, mini, got 'huge'"),
    ({"tier": "partial", "max_train_rows": 0}, "expected max_train_rows of 1 or more, got 0"),
    ({"tier": "full", "allow_partial": True}, "tier partial with allow_partial or max_train_rows, got tier full"),
    ({"tier": "mini", "max_train_rows": 1}, "tier partial with allow_partial or max_train_rows, got tier mini"),
    ({"tier": "partial"}, "expected allow_partial or max_train_rows with tier partial, got neither"),
])  # fmt: skip
def test_incompatible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=f"{message}$"):
        check_options(IMDB, **options)


def test_compatible_options_are_accepted(tmp_path):
    check_options(IMDB, "mini")
    check_options(IMDB, "full", tmp_path)
    check_options(IMDB, "partial", tmp_path, allow_partial=True)
    check_options(IMDB, "partial", max_train_rows=1)
    check_options(TASKS["celeb_profile"], "partial", tmp_path, allow_partial=True, max_train_rows=1)
    for tier, options in (("full", {}), ("partial", {"max_train_rows": 1})):
        with pytest.raises(ValueError, match="which was never released, got "):
            check_options(TASKS["celeb_profile"], tier, **options)


def test_class_names_of_the_files_replace_those_of_the_task(tmp_path, monkeypatch):
    monkeypatch.setitem(LABELS, "imdb", lambda raw: ("bad", "good"))
    assert with_source_labels(IMDB, "partial", tmp_path).labels == ("bad", "good")
    assert with_source_labels(IMDB, "partial", None) is IMDB
    with pytest.raises(ValueError, match=r"expected the 2 classes of IMDB in tier full, got 2 others such as bad"):
        with_source_labels(IMDB, "full", tmp_path)
    monkeypatch.setitem(LABELS, "imdb", lambda raw: IMDB.labels)
    assert with_source_labels(IMDB, "full", tmp_path).labels == IMDB.labels
