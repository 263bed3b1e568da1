"""One pass over real rows on a CPU: a fixed subset of CIFAR-10, base, retrained, unlearned, judged."""

import os
from pathlib import Path

import pytest

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import task_info
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.sweep import Sweep, run_sweep
from mubench.trainers.sweeps.worker_pool import Workers

RAW = Path(os.environ.get("MUBENCH_DATA", "../shared/data")) / "raw"


@pytest.mark.nightly
@pytest.mark.skipif(not (RAW / "cifar10.tar.xz").is_file(), reason="needs cifar10.tar.xz in MUBENCH_DATA/raw")
def test_a_subset_of_cifar10_is_unlearned_and_judged(tmp_path):
    data = build("cifar10", tier="partial", raw=RAW, max_train_rows=5_000, out=tmp_path)
    assert task_info("cifar10", data=data).counts == {"train": 5_000, "validation": 2_000, "test": 8_000}
    place = Place(data=str(data), models=tmp_path / "models", results=tmp_path / "results")
    grid = Sweep(
        task="cifar10", ratio=5, backbones=["resnet"], base_seeds=[0], retrain_seeds=[0, 1, 2], seeds=[0],
        methods=["neg_grad", "scrub"], place=place,
    )  # fmt: skip
    run_sweep(grid, executor=Workers(2)).check()
    rows = {(row.method, row.seed): row for row in read_results(place.results)}
    for row in sorted(rows.values(), key=lambda row: row.method):
        score, test = (row.metrics[name].value for name in ("score", "test_score"))
        print(f"{row.method:<15} seed {row.seed}: S = {score:.2f}, test {test:.3f}")  # noqa: T201  (to be quoted)
    for method in ("neg_grad", "scrub"):
        row = rows[method, 0]
        # These rows are no mini task: whether three retrained models agree well enough to rank is told, not asked.
        assert (row.tier, row.flags) == ("partial", []) and row.provisional
        print(f"{method}: {row.no_signal or 'ranked'}")  # noqa: T201  (to be quoted)
    assert min(rows["retrain", seed].metrics["score"].value for seed in (0, 1, 2)) >= 0.8
    assert rows["base", 0].metrics["score"].value <= 0.1
