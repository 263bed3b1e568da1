"""The output function of a setting: outputs that are evaluated after every epoch of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Subset

from mubench.trainers.inference.predict import eval_batch_size
from mubench.trainers.metrics.case import SplitOutputs
from mubench.trainers.models.setting import Setting
from mubench.trainers.unlearning.epoch_evaluation import OutputFunction, sample_retain_rows


def setting_output_function(
    setting: Setting, ratio: int, processor: Any, *, batch_size: int | None = None
) -> OutputFunction:
    """Return the output function of a setting's forget, retain and validation rows; no other split is read.

    Args:
        setting: Task and backbone.
        ratio: Percentage to delete.
        processor: The model's processor, with the image classifier where the task has one.
        batch_size: Rows a forward pass; ``None`` takes the modality's.
    """
    forget_mask = setting.forget_mask(ratio)
    places = {
        "forget": ("train", np.flatnonzero(forget_mask)),
        "retain": ("train", sample_retain_rows(np.flatnonzero(~forget_mask))),
        "validation": ("validation", np.arange(len(setting.rows["validation"]))),
    }

    def compute_outputs(model: Any) -> SplitOutputs:
        outputs = {}
        for name, (split, rows) in places.items():
            encoded: Any = Subset(setting.encode(split, processor), rows.tolist())
            with eval_batch_size(batch_size):
                outputs[name] = setting.modality.predict(model, processor, setting.rows[split].select(rows), encoded)
        return outputs

    return compute_outputs
