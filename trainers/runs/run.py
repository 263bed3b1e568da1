"""One run: data, base model and method in, model folder with its outputs out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch.utils.data import Subset
from transformers import PreTrainedModel, TrainerCallback

from mubench.hub_builders.hub.model_folder import is_complete, work_folder
from mubench.trainers.evaluation.references import find_group
from mubench.trainers.evaluation.validation_score import ValidationScore
from mubench.trainers.models.base_models import check_cut, train_image_classifier, train_into
from mubench.trainers.models.setting import Setting
from mubench.trainers.runs.plan import Request, plan_run
from mubench.trainers.runs.setting_outputs import setting_output_function
from mubench.trainers.unlearning.cost_counter import CostCounter
from mubench.trainers.unlearning.epoch_evaluation import ORACLE
from mubench.trainers.unlearning.progress import ProgressCallback
from mubench.trainers.unlearning.unlearning_trainer import CLASSIFICATION, UnlearningTrainer

__all__ = ["Request", "plan_run", "sides", "start", "unlearn"]


def sides(setting: Setting, ratio: int, processor: Any) -> dict[str, Subset[dict[str, Any]]]:
    """Return the model-ready forget and retain rows."""
    ranks = setting.rows["train"].data.column("deletion_rank").to_numpy()
    forgotten = ranks < setting.info.forget_size(ratio)
    rows = setting.encode("train", processor)
    return {
        "forget": Subset(rows, forgotten.nonzero()[0].tolist()),
        "retain": Subset(rows, (~forgotten).nonzero()[0].tolist()),
    }


def start(request: Request) -> tuple[PreTrainedModel, Any]:
    """Return the model to change, and its processor.

    Raises:
        ValueError: If the model's folder is damaged, or the model tells other classes apart than those of the split.
    """
    setting = request.setting
    if request.trainer.from_scratch:
        return setting.fresh_model(request.base_seed)
    folder = request.base_folder()
    try:
        model, processor = setting.modality.load(folder)
    except (OSError, ValueError, SafetensorError) as error:
        again = "" if request.base else f"; remove the folder and make it again with: {request.base_command}"
        raise ValueError(f"expected a whole model in {folder}, got: {str(error).splitlines()[0]}{again}") from error
    if setting.task.kind in CLASSIFICATION:
        named, wanted = tuple((model.config.id2label or {}).values()), setting.info.labels
        if named != wanted:
            raise ValueError(f"expected a model of {_listed(wanted)} in {folder}, got one of {_listed(named)}")
    return model, processor


def _listed(labels: Sequence[str]) -> str:
    """Return how many classes there are, and the first few."""
    return f"{len(labels)} classes ({', '.join(labels[:3])}{', ...' if len(labels) > 3 else ''})"


def unlearn(request: Request, callbacks: Sequence[TrainerCallback] = ()) -> Path:
    """Run a method, unless its result is there already, and return the model's folder.

    Args:
        request: What to unlearn, with which method.
        callbacks: Told how it gets on; they change nothing.
    """
    run = plan_run(request)
    folder = request.folder(run)
    if is_complete(folder, run):
        return folder
    work = work_folder(folder, run)
    model, processor = start(request)
    trainer = _trainer(request, model, processor, work, callbacks)
    for callback in callbacks:
        if isinstance(callback, ProgressCallback):
            callback.trainer = trainer
    with CostCounter(trainer) as trainer.cost_counter:
        train_into(folder, run, trainer, request.setting, processor, batch_size=_eval_rows(request))
    return folder


def _eval_rows(request: Request) -> int | None:
    """Return the rows of a forward pass that the request asks for; ``None`` leaves them to the modality."""
    return request.arguments.get("per_device_eval_batch_size")


def _trainer(
    request: Request, model: PreTrainedModel, processor: Any, work: Path, callbacks: Sequence[TrainerCallback]
) -> UnlearningTrainer:
    """Return the method's trainer with the rows of the setting."""
    setting = request.setting
    validation = {"validation": setting.encode("validation", processor)} if request.trainer.needs_validation else None
    args = request.training_arguments(str(work))
    seeing = processor
    if args.evaluates_epochs and setting.task.classifiers:
        seeing = dataclasses.replace(processor, image_classifier=train_image_classifier(setting, request.models))
    if request.trainer.from_scratch:
        check_cut(model, args)
    trainer = request.trainer(
        model,
        args,
        train_dataset=sides(setting, request.ratio, processor),
        eval_dataset=validation,
        data_collator=setting.modality.collator(processor),
        processing_class=processor,
        transform=setting.train_transform(args.augment),
        callbacks=list(callbacks),
    )
    if args.evaluates_epochs:
        trainer.output_function = setting_output_function(
            setting, request.ratio, seeing, batch_size=_eval_rows(request)
        )
    if args.keep == ORACLE:
        trainer.validation_score = ValidationScore(find_group(setting, request.ratio, request.models))
    return trainer
