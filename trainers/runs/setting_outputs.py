"""The output function of a setting: outputs that are evaluated after every epoch of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Subset

from mubench.trainers.inference.predict import batches_of
from mubench.trainers.metrics.case import SplitOutputs
from mubench.trainers.models.setting import Setting
from mubench.trainers.unlearning.output_functions import OutputFunction, sample_retain_rows


def setting_output_function(
    setting: Setting, ratio: int, processor: Any, *, batch_size: int | None = None
) -> OutputFunction:
    """Return the output function of a setting's forget, retain and validation rows; no other split is read.

    Args:
        setting: Task and backbone.
        ratio: Percentage to delete.
        processor: The model's processor, with the image classifier where the task has one.
        batch_size: Rows a forward pass; ``None`` leaves it to the modality.
    """
    ranks = setting.rows["train"].data.column("deletion_rank").to_numpy()
    forget_mask = ranks < setting.info.forget_size(ratio)
    places = {
        "forget": ("train", np.flatnonzero(forget_mask)),
        "retain": ("train", sample_retain_rows(np.flatnonzero(~forget_mask))),
        "validation": ("validation", np.arange(len(setting.rows["validation"]))),
    }

    def compute_outputs(model: Any) -> SplitOutputs:
        outputs = {}
        for name, (split, rows) in places.items():
            encoded: Any = Subset(setting.encode(split, processor), rows.tolist())
            with batches_of(batch_size):
                outputs[name] = setting.modality.answers(model, processor, setting.rows[split].select(rows), encoded)
        return outputs

    return compute_outputs
