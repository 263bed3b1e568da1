"""MiB of all tensors that two steps of npo on SmolLM2-135M hold at most, with and without what makes large models fit.

Needs the extra [weights].
"""

from __future__ import annotations

import copy
import tempfile
from typing import Any

import torch

from mubench.trainers import NpoArguments, NpoTrainer
from mubench.trainers.models.modalities.pretrained import LoadOptions
from mubench.trainers.models.modalities.text_generation import load_packaged
from tests.fixtures.memory import MemoryCounter

PAIRS, TOKENS, STEPS = 2, 64, 2
CHECKPOINTING, BFLOAT16, LORA = {"gradient_checkpointing": True}, {"dtype": "bfloat16"}, {"lora_rank": 8}
CASES: dict[str, dict[str, Any]] = {
    "fp32": {},
    "checkpointing": CHECKPOINTING,
    "bf16": BFLOAT16,
    "lora": LORA,
    "checkpointing_bf16_lora": {**CHECKPOINTING, **BFLOAT16, **LORA},
}


def _peak(model: torch.nn.Module, options: dict[str, Any]) -> float:
    """Return the most MiB that a run with some options holds."""
    LoadOptions(dtype=getattr(torch, options.get("dtype", "float32"))).apply(model)
    ids = torch.randint(10, 40_000, (2 * PAIRS * STEPS, TOKENS), generator=torch.Generator().manual_seed(0))
    rows = [{"input_ids": one, "attention_mask": torch.ones_like(one), "labels": one} for one in ids]
    with tempfile.TemporaryDirectory() as folder:
        args = NpoArguments(
            output_dir=folder, max_steps=STEPS, per_device_train_batch_size=PAIRS, report_to="none",
            save_strategy="no", use_cpu=True, disable_tqdm=True, **options,
        )  # fmt: skip
        half = len(rows) // 2
        trainer = NpoTrainer(model, args, train_dataset={"forget": rows[:half], "retain": rows[half:]})
        with MemoryCounter(trainer.model) as counter:
            trainer.train()
    return counter.peak / 2**20


if __name__ == "__main__":
    published, _ = load_packaged("smollm2-135m")
    for name, options in CASES.items():
        print(f"memory_npo_smollm2_{name}_mib {_peak(copy.deepcopy(published), options):.1f}", flush=True)  # noqa: T201
