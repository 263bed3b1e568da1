"""Runs a plan, and writes the folder of the unlearned model and its outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Subset
from transformers import PreTrainedModel, TrainerCallback

from mubench.hub_builders.hub.model_folder import RUN_FILE, work_folder
from mubench.trainers.engine.distributed import own_run
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.validation_score import ValidationScore
from mubench.trainers.inference.predict import eval_batch_size
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.models.base_models import check_accumulation, train_image_classifier, train_into
from mubench.trainers.models.foreign_models import load_start
from mubench.trainers.models.modalities.pretrained import LoadOptions
from mubench.trainers.models.setting import Setting
from mubench.trainers.runs.plan import Plan
from mubench.trainers.unlearning.cost_counter import CostCounter
from mubench.trainers.unlearning.epoch_evaluation import OutputFunction, sample_retain_rows
from mubench.trainers.unlearning.progress import ProgressCallback
from mubench.trainers.unlearning.unlearning_arguments import ORACLE
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer


def starting_model(plan: Plan) -> tuple[PreTrainedModel, Any]:
    """Return the model to change, and its processor.

    Raises:
        ValueError: If the model's folder is damaged, or the model has other classes than the split.
    """
    request, folder = plan.request, plan.base_folder
    setting, options = request.setting, LoadOptions.of(plan.arguments)
    if folder is None:
        return setting.fresh_model(request.base_seed, options)
    if plan.run.foreign_base and not (folder / RUN_FILE).is_file():  # an adopted model is a folder of the suite
        return load_start(setting, folder, plan.run.parent, options)
    again = "" if request.base else f"remove the folder and make it again with: {request.base_command}"
    return setting.load(folder, again, options)


def unlearn(plan: Plan, callbacks: Sequence[TrainerCallback] = ()) -> Path:
    """Run a method, unless its finished model is there already, and return the model's folder.

    Another process that does the same is waited for.

    Args:
        plan: What to run, see `resolve`.
        callbacks: Callbacks that report progress and change nothing.
    """
    with own_run(plan.folder, plan.run) as missing:
        if missing:
            _make(plan, callbacks)
    return plan.folder


def _make(plan: Plan, callbacks: Sequence[TrainerCallback]) -> None:
    plan.arguments.output_dir = str(work_folder(plan.folder, plan.run))  # follows from the identity
    model, processor = starting_model(plan)
    trainer = _trainer(plan, model, processor, callbacks)
    for callback in callbacks:
        if isinstance(callback, ProgressCallback):
            callback.trainer = trainer
    batch_size = plan.request.arguments.get("per_device_eval_batch_size")
    with CostCounter(trainer) as trainer.cost_counter:
        train_into(plan.folder, plan.run, trainer, plan.request.setting, processor, batch_size=batch_size)


def _trainer(
    plan: Plan, model: PreTrainedModel, processor: Any, callbacks: Sequence[TrainerCallback]
) -> UnlearningTrainer:
    """Return the method's trainer with the setting's rows."""
    request, args = plan.request, plan.arguments
    setting, method, evaluated = request.setting, request.trainer, processor
    if args.evaluates_epochs and setting.task.classifiers:  # before the trainer seeds this run's random numbers
        evaluated = dataclasses.replace(processor, image_classifier=train_image_classifier(setting, request.models))
    if method.from_scratch:
        check_accumulation(model, args)
    trainer = method(
        model,
        args,
        train_dataset=setting.forget_retain_sets(request.ratio, processor, request.deleted_before),
        eval_dataset={"validation": setting.encode("validation", processor)} if method.needs_validation else None,
        data_collator=setting.modality.collator(processor),
        processing_class=processor,
        transform=setting.train_transform(args.augment),
        callbacks=list(callbacks),
    )
    trainer.encode_answer = setting.modality.answer_encoder(processor)
    trainer.encode_prompt = setting.modality.prompt_encoder(processor)
    if args.evaluates_epochs:
        batch_size = request.arguments.get("per_device_eval_batch_size")
        trainer.output_function = _output_function(setting, request.ratio, evaluated, batch_size)
    if args.keep == ORACLE:
        trainer.validation_score = ValidationScore(find_group(setting, request.ratio, request.models))
    return trainer


def _output_function(setting: Setting, ratio: int, processor: Any, batch_size: int | None) -> OutputFunction:
    """Return the output function of a setting's forget, retain and validation rows; no other split is read."""
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
