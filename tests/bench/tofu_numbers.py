"""TOFU's own numbers of SmolLM2-135M on real rows: a base model, one retrained without some authors, three methods.

The authors that have a paraphrase and wrong answers, 20 first and 20 last ones, are cut to ``--authors``, half of them
from each end. Needs the extra [weights] and TOFU's files. Prints a row of a Markdown table per model as it is ready.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from mubench.hub_builders.dataset.build import build
from mubench.trainers import NegGradPlusTrainer, NpoTrainer, SimnpoTrainer
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.inference.generate import GenerationRequest, sample_rows
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.metrics.truth_ratio import tofu_numbers
from mubench.trainers.models.setting import Setting, load_setting

QUESTIONS, RATIO = 20, 10
FORGET, RETAIN, OOD = 40, 30, 15  # rows of a part that are looked at, at most
COLUMNS = ("truth_ratio", "probability", "rouge_l", "model_utility", "forget_quality")
METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "grad_diff": (NegGradPlusTrainer, {"anchor": "forget", "alpha": 0.5}),
    "npo": (NpoTrainer, {}),
    "simnpo": (SimnpoTrainer, {}),
}


def cut_files(raw: Path, authors: int, folder: Path) -> None:
    """Write TOFU's files with the first and the last authors alone into a folder."""
    with tarfile.open(raw / "tofu.tar.xz") as archive:
        texts = {
            Path(one.name).stem: archive.extractfile(one).read().decode()  # type: ignore[union-attr]
            for one in archive
            if one.name.endswith(".json")
        }
    tables = {name: [json.loads(line) for line in io.StringIO(text)] for name, text in texts.items()}
    first = tables["retain_perturbed"][: QUESTIONS * (authors // 2)]
    last = tables["forget10_perturbed"][-QUESTIONS * (authors - authors // 2) :]
    tables |= {"retain_perturbed": first, "forget10_perturbed": last}
    tables["full"] = [{name: row[name] for name in ("question", "answer")} for row in [*first, *last]]
    folder.mkdir(parents=True)
    for name in ("full", "retain_perturbed", "forget10_perturbed", "real_authors", "world_facts"):
        for file in {name, f"{name}_perturbed"} & tables.keys():
            (folder / f"{file}.json").write_text("".join(f"{json.dumps(row)}\n" for row in tables[file]))


def outputs_of(setting: Setting, model: Any, processor: Any) -> SplitOutputs:
    """Return the outputs on forget, retain and ood rows, with generated texts and losses on other answers."""
    forget = setting.forget_mask(RATIO)
    train, ood = setting.rows["train"], setting.rows["ood"]
    groups = np.array(ood["group"])
    places = {
        "forget": ("train", np.flatnonzero(forget)[:FORGET]),
        "retain": ("train", _sample(train, np.flatnonzero(~forget), RETAIN)),
        "ood": ("ood", np.concatenate([_sample(ood, np.flatnonzero(groups == g), OOD) for g in np.unique(groups)])),
    }
    found: dict[str, Outputs] = {}
    for name, (split, positions) in places.items():
        rows = setting.rows[split].select(positions)
        encoded: Any = Subset(setting.encode(split, processor), positions.tolist())
        plain = setting.modality.predict(model, processor, rows, encoded)
        request = GenerationRequest(
            split=name, rows=rows, positions=np.arange(len(rows)), max_length=setting.recipe.max_length
        )
        found[name] = setting.modality.add_generated(plain, model, processor, request)
    return found


def _sample(rows: Any, positions: Any, size: int) -> Any:
    return positions[sample_rows(list(rows.select(positions)["example_id"]), size)]


def write_row(cells: Iterable[Any]) -> None:
    """Print a row of a Markdown table."""
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
    sys.stdout.flush()


def report(name: str, model: SplitOutputs, retrained: SplitOutputs, seconds: float) -> None:
    """Print the row of a model."""
    numbers = tofu_numbers(model, retrained)
    write_row([name, *(f"{numbers[column]:.3g}" for column in COLUMNS), f"{seconds:.0f}"])


def main() -> None:
    """Train, look at and print all models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, required=True, help="folder with tofu.tar.xz")
    parser.add_argument("--authors", type=int, default=13)
    parser.add_argument("--epochs", type=int, default=4, help="epochs of the base and the retrained model")
    parser.add_argument("--learning_rate", type=float, default=3e-4, help="rate of both; 8 rows per step")
    parser.add_argument("--method_rate", type=float, default=1e-4, help="rate of the methods")
    parser.add_argument("--method_epochs", type=int, default=3, help="passes over the forget set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backbone", default="smollm2-135m")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run(given, Path(temporary))


def run(given: argparse.Namespace, folder: Path) -> None:
    """Train, look at and print all models, with what is written in a folder."""
    cut_files(given.raw, given.authors, folder / "raw" / "tofu")
    data = build("tofu", tier="partial", raw=folder / "raw", allow_partial=True, family="group", out=folder)
    setting = load_setting("tofu", given.backbone, data=str(data), family="group")
    start, processor = setting.fresh_model(given.seed)
    sets = setting.forget_retain_sets(RATIO, processor)
    sys.stdout.write(
        f"forget {len(sets['forget'])}, retain {len(sets['retain'])} rows, seed {given.seed}, {start.device}\n"
    )
    shared = {
        "output_dir": str(folder / "work"), "seed": given.seed, "report_to": "none", "save_strategy": "no",
        "disable_tqdm": True, "logging_strategy": "epoch", "warmup_steps": 0.1, "weight_decay": 0.01,
    }  # fmt: skip

    def train(rows: Any) -> tuple[Any, float]:
        model, begin = copy.deepcopy(start), time.process_time()
        args = TaskArguments(**shared, num_train_epochs=given.epochs, learning_rate=given.learning_rate,
                             per_device_train_batch_size=8)  # fmt: skip
        TaskTrainer(
            model=model, args=args, train_dataset=rows, data_collator=setting.modality.collator(processor)
        ).train()
        return model, time.process_time() - begin

    names = ("model", *COLUMNS, "seconds")
    write_row(names)
    write_row(["---"] * len(names))
    model, seconds = train(sets["retain"])
    retrained = outputs_of(setting, model, processor)
    report("retrained", retrained, retrained, seconds)
    base, seconds = train(setting.encode("train", processor))
    report("base", outputs_of(setting, base, processor), retrained, seconds)
    for name, (method, own) in METHODS.items():
        model, begin = copy.deepcopy(base), time.process_time()
        args = method.arguments(**shared, **own, num_train_epochs=given.method_epochs, learning_rate=given.method_rate,
                                per_device_train_batch_size=8)  # fmt: skip
        method(model, args, train_dataset=sets, data_collator=setting.modality.collator(processor),
               processing_class=processor).train()  # fmt: skip
        seconds = time.process_time() - begin
        report(name, outputs_of(setting, model, processor), retrained, seconds)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
