"""Base models: trained by a task's recipe into ``./models/<task>-<backbone>``, with their outputs."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback

from mubench.hub_builders.dataset.load import forget_mask
from mubench.hub_builders.hub.model_folder import (
    REFERENCE,
    RUN_FILE,
    Run,
    is_complete,
    read_run,
    remake_command,
    work_folder,
)
from mubench.hub_builders.tasks import BACKBONES, Recipe, get_recipe, names
from mubench.hub_builders.tasks.own_backbones import closest_of, is_adopted
from mubench.hub_builders.utils.atomic import staged_folder
from mubench.trainers.engine.checkpointing import last_checkpoint, read_cost, remove_incomplete
from mubench.trainers.engine.distributed import (
    STEP,
    is_main_process,
    on_main_process,
    own_run,
    step_arguments,
    world_size,
)
from mubench.trainers.engine.errors import (
    EVALUATION,
    TRAINING,
    FullDiskError,
    explain_full_disk,
    explain_out_of_memory,
)
from mubench.trainers.engine.fresh_model import random_copy
from mubench.trainers.engine.parameters import has_batch_norm
from mubench.trainers.engine.task_arguments import LORA, SIZE, SPEED, TaskArguments, check_arguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.inference.generate import SAMPLED_ROWS, GenerationRequest, sample_rows
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.predict import eval_batch_size
from mubench.trainers.inference.predict_images import ImageClassifier
from mubench.trainers.inference.storage import RANDOM, SHIFTED, write_outputs
from mubench.trainers.models.environment import environment
from mubench.trainers.models.modalities.modality import ClassifierModality
from mubench.trainers.models.modalities.pretrained import LoadOptions, check_load_options, hash_files
from mubench.trainers.models.modalities.text_output import PERTURBED
from mubench.trainers.models.setting import Setting

# Arguments that a recipe may leave open, beside LoRA's; a base model with one has a folder of its own.
SWITCHES = ("augment", *SPEED)
# Folder beside model folders that `--report_to tensorboard` writes into.
EVENTS = "tensorboard"


def precision_arguments(recipe: Recipe) -> dict[str, bool]:
    """Return the precision of a recipe as `TaskArguments` fields, which base, retrained and unlearned models share."""
    return {"bf16": True} if recipe.precision == "bf16" else {}


def recipe_arguments(recipe: Recipe, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a recipe as `TaskArguments` fields of each process; `step_arguments` reads the given ones."""
    return {
        **step_arguments(recipe.batch_size, given or {}),
        "learning_rate": recipe.learning_rate,
        "num_train_epochs": recipe.epochs,
        "warmup_steps": recipe.warmup,
        "weight_decay": recipe.weight_decay,
        "optim": recipe.optim,
        "lr_scheduler_type": recipe.scheduler,
        **precision_arguments(recipe),
        **({"augment": True} if recipe.augment else {}),
        **({"optim_args": f"momentum={recipe.momentum},nesterov=true"} if recipe.momentum else {}),
    }


def _check_devices(args: TaskArguments) -> None:
    """Check that every process has one device, and that all processes are in this run."""
    if args.n_gpu > 1:
        raise ValueError(
            f"expected one GPU a process (set CUDA_VISIBLE_DEVICES, or start one process a GPU with torchrun), got "
            f"{args.n_gpu} GPUs"
        )
    if args.world_size != world_size():
        raise ValueError(f"expected a run of {world_size()} processes, got one of {args.world_size}")


def _fit(trainer: TaskTrainer, work: Path) -> dict[str, float]:
    """Train, from the newest finished checkpoint in ``work`` if there is one, and return the whole cost."""
    found = last_checkpoint(work)
    if found is not None:
        trainer.cost_before_resume = read_cost(found)
    try:
        with explain_full_disk(work):
            trainer.train(resume_from_checkpoint=str(found) if found else None)
    except FullDiskError:
        if is_main_process():
            remove_incomplete(work)
        raise
    return trainer.total_cost()


def predict_splits(
    setting: Setting,
    model: PreTrainedModel,
    processor: Any,
    models: Path = Path("models"),
    *,
    batch_size: int | None = None,
) -> dict[str, Outputs]:
    """Return a model's outputs on every stored split, and on the largest forget set with a slightly changed input.

    A forward pass takes ``batch_size`` rows, by default the modality's.
    The image classifier of a text-to-image task is in ``models``, the folder of all models, or is trained first.
    """
    processor = with_image_classifier(setting, processor, models)
    with eval_batch_size(batch_size):
        splits = {split: _predict_split(setting, model, processor, split) for split in setting.rows}
        if (shifted := setting.encode_shifted(processor)) is not None:
            splits[SHIFTED] = setting.modality.predict(model, processor, setting.largest_forget_set, shifted)
    return splits


def _predict_split(setting: Setting, model: PreTrainedModel, processor: Any, split: str) -> Outputs:
    """Return the outputs on a split, with what the model generates for the largest forget set and a sample of rows.

    Rows that have wrong answers come first into the sample, since the truth ratio is about those.
    """
    rows, modality = setting.rows[split], setting.modality
    outputs = modality.predict(model, processor, rows, setting.encode(split, processor))
    if not modality.generates or split == "validation":  # of which no metric reads what is generated
        return outputs
    forget = first = np.zeros(len(rows), dtype=np.bool_)
    if split == "train":
        forget = setting.forget_mask(max(setting.info.forget))
        first = forget_mask(rows, min(SAMPLED_ROWS, int(forget.sum())))
    rest = np.flatnonzero(~forget)
    answered = np.array([bool(one) for one in rows[PERTURBED]]) if PERTURBED in rows.column_names else None
    sample = rest[
        sample_rows([str(one) for one in outputs.ids[rest]], preferred=None if answered is None else answered[rest])
    ]
    chosen = np.sort(np.concatenate([np.flatnonzero(forget), sample]))
    request = GenerationRequest(
        split=split,
        rows=rows.select(chosen),
        positions=chosen,
        max_length=setting.recipe.max_length,
        sampled=np.flatnonzero(first[chosen]).tolist(),
        seed=setting.eval_seed,
    )
    return modality.add_generated(outputs, model, processor, request)


def _predict_random(setting: Setting, model: PreTrainedModel, processor: Any, seed: int) -> dict[str, Outputs]:
    """Return the outputs of a model with fresh weights on the largest forget set, where these are over classes."""
    if not isinstance(setting.modality, ClassifierModality):
        return {}
    rows, fresh = setting.largest_forget_set, cast("PreTrainedModel", random_copy(model, seed))
    encoded = setting.modality.encode(rows, processor, setting.recipe.max_length)
    return {RANDOM: setting.modality.predict(fresh, processor, rows, encoded)}


def train_into(
    folder: Path, run: Run, trainer: TaskTrainer, setting: Setting, processor: Any, *, batch_size: int | None = None
) -> None:
    """Train, predict every row, and write the model's folder in one step.

    Of several processes the first predicts and writes, and the others wait. The trainer's ``output_dir`` is the run's
    scratch folder, which is removed at the end. Forward passes take ``batch_size`` rows, by default the modality's.

    Raises:
        FullDiskError: If the disk is full; whole checkpoints are left, nothing else.
        TooLittleMemoryError: If memory runs out.
        ValueError: If a process has several devices.
    """
    _check_devices(trainer.args)  # type: ignore[arg-type]
    work = Path(str(trainer.args.output_dir))
    _keep_events(trainer, folder)
    made_with = environment(trainer.args.device)  # now: files of a checkout may change during training
    with explain_out_of_memory("a step of training", TRAINING):
        cost = _fit(trainer, work)
    done = run.finished(cost=cost, history=trainer.history(), **made_with)

    if setting.task.classifiers:
        train_image_classifier(setting, folder.parent)  # by all processes, before one of them uses it

    def write() -> None:
        model: Any = trainer.model
        write_model(folder, done, setting, model, processor, batch_size=batch_size)
        shutil.rmtree(work)

    with explain_full_disk(folder.parent):
        on_main_process(write)


def _keep_events(trainer: TaskTrainer, folder: Path) -> None:
    """Let TensorBoard write beside the model folders, since a run's scratch folder is removed."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback) and callback.logging_dir is None:
            callback.logging_dir = str(folder.parent / EVENTS / folder.name)


def write_model(
    folder: Path, run: Run, setting: Setting, model: Any, processor: Any, *, batch_size: int | None = None
) -> dict[str, Outputs]:
    """Predict every row, write the folder of a model in one step, and return its outputs by split."""
    with explain_out_of_memory("a pass over every row", EVALUATION):
        outputs = predict_splits(setting, model, processor, folder.parent, batch_size=batch_size)
        if run.method is None:
            with eval_batch_size(batch_size):
                outputs |= _predict_random(setting, model, processor, run.base_seed)
    with staged_folder(folder) as stage:
        model.save_pretrained(stage)
        processor.save_pretrained(stage)
        files = hash_files(stage)
        run.finished(files=files, outputs=write_outputs(stage / REFERENCE, outputs)).write(stage)
    return outputs


def check_accumulation(model: torch.nn.Module, args: TaskArguments) -> None:
    """Raise ``ValueError`` if a recipe's steps are accumulated for a model with BatchNorm: that changes the result."""
    if args.gradient_accumulation_steps > 1 and has_batch_norm(model):
        raise ValueError(
            f"expected gradient_accumulation_steps 1, since the BatchNorm of {type(model).__name__} has to see "
            f"a whole step of its recipe; got {args.gradient_accumulation_steps}"
        )


def _recorded_options(args: TaskArguments, recipe: Recipe) -> dict[str, Any]:
    """Return the arguments that a base model records beside its recipe: LoRA's if on, switches, and size."""
    lora = {name: getattr(args, name) for name in LORA} if args.lora_rank is not None else {}
    switches = [name for name in SWITCHES if getattr(args, name) and name not in recipe_arguments(recipe)]
    return {**lora, **dict.fromkeys(switches, True), **args.size_options()}


def _check_recipe(setting: Setting, given: Mapping[str, Any]) -> None:
    """Refuse changes of the recipe: base and retrained models must differ in nothing but the rows."""
    recipe = recipe_arguments(setting.recipe)
    fixed = sorted(name for name in {*given} & {*recipe} - {*STEP} if given[name] != recipe[name])
    if fixed:
        raise ValueError(
            f"expected the recipe's {', '.join(fixed)}, which all base and retrained models of {setting.task.key} "
            f"share (`recipes` in hub_builders/tasks/definitions), got "
            f"{', '.join(f'{name}={given[name]}' for name in fixed)}"
        )


def _base_arguments(setting: Setting, base_seed: int, given: Mapping[str, Any]) -> TaskArguments:
    """Return the recipe with the given arguments, without ``output_dir``; errors are those of `train_base`."""
    _check_recipe(setting, given)
    check_arguments(given, (*STEP, *LORA, *SWITCHES, *SIZE))
    settings = {**given, **recipe_arguments(setting.recipe, given)}
    if (rows := settings[STEP[0]] * settings[STEP[1]] * world_size()) != setting.recipe.batch_size:
        raise ValueError(f"expected the recipe's {setting.recipe.batch_size} rows per step, got {rows}")
    return TaskArguments(**{**settings, "seed": base_seed, "output_dir": ""})


def base_name(run: Run) -> str:
    """Return the name of a base model's folder."""
    return names.base_model(
        run.task,
        run.tier,
        run.backbone,
        family=run.family,
        base_seed=run.base_seed,
        eval_seed=run.eval_seed,
        arguments=run.arguments,
    )


def is_finished_base(folder: Path, run: Run) -> bool:
    """Return whether a folder holds a base model, finished: an adopted one is on the run's rows and of its recipe."""
    if run.backbone_start is None:
        return is_complete(folder, run)
    return (folder / RUN_FILE).is_file() and read_run(folder).has_setting_of(run)


def _find_adopted(setting: Setting, folder: Path, run: Run) -> Path:
    """Return the folder of an adopted base model, which is never trained here."""
    if run.base_seed or run.arguments:
        raise ValueError(
            f"expected base seed 0 and no options of {run.backbone}, an adopted model, in {folder.parent}, got "
            f"{folder.name}; only retrained models are trained, from {run.backbone_start}"
        )
    if not is_finished_base(folder, run):
        got = "one of other rows or another recipe" if (folder / RUN_FILE).is_file() else "none"
        raise ValueError(
            f"expected the adopted model {run.backbone} with the task's rows and recipe in {folder}, got {got}; adopt "
            f"it with: {remake_command(run, folder, setting.data)}"
        )
    return folder


def train_base(
    setting: Setting,
    base_seed: int,
    *,
    models: Path = Path("models"),
    callbacks: Sequence[TrainerCallback] = (),
    **arguments: Any,
) -> Path:
    """Train a base model by its recipe, unless the finished model, or an adopted one, is there already.

    Another process that does the same is waited for.

    Args:
        setting: Task and backbone.
        base_seed: Seed of initialisation and data order.
        models: Folder of all models.
        callbacks: Callbacks that report progress and change nothing.
        **arguments: `TaskArguments` that change no result (checkpoints, logging, the batches of a step), LoRA's, and
            those of `SWITCHES` that the recipe does not set, and those of `SIZE`; all others are the recipe's.

    Returns:
        The model's folder.

    Raises:
        ValueError: If an argument could change the result or does not apply to the task, the seed is invalid, or the
            base model is an adopted one that is not there.
    """
    names.check_seed("base_seed", base_seed)
    args = _base_arguments(setting, base_seed, arguments)
    check_load_options(setting.task.kind, args)
    options = _recorded_options(args, setting.recipe)
    transform = setting.train_transform(args.augment)
    run = setting.run(ratio=None, base_seed=base_seed, arguments=options)
    folder = models / base_name(run)
    if is_adopted(setting.backbone):
        return _find_adopted(setting, folder, run)
    with own_run(folder, run) as missing:
        if missing:
            model, processor = setting.fresh_model(base_seed, LoadOptions.of(args))
            args.output_dir = str(work_folder(folder, run))  # follows from the identity
            check_accumulation(model, args)
            trainer = TaskTrainer(
                model=model,
                args=args,
                train_dataset=setting.encode("train", processor),
                data_collator=setting.modality.collator(processor),
                transform=transform,
                callbacks=list(callbacks),
            )
            batch_size = arguments.get("per_device_eval_batch_size")
            train_into(folder, run, trainer, setting, processor, batch_size=batch_size)
    return folder


def with_image_classifier(setting: Setting, processor: Any, models: Path) -> Any:
    """Return a processor that judges generated images, where the task has any: with the classifier in ``models``."""
    if not setting.task.classifiers:
        return processor
    return dataclasses.replace(processor, image_classifier=train_image_classifier(setting, models))


def _classifier_backbone(setting: Setting) -> str:
    """Return the backbone of the classifier of a task's generated images: published beside published weights."""
    if setting.info.tier in ("mini", "custom"):  # rows of one's own are judged alike with every backbone
        return next(key for key in setting.task.classifiers if BACKBONES[key].is_mini)
    made_here = BACKBONES[closest_of(setting.backbone, setting.task.recipes)].hub_id is None
    larger = (key for key in setting.task.classifiers if not BACKBONES[key].is_mini)
    return next(key for key in larger if (BACKBONES[key].hub_id is None) == made_here)


def train_image_classifier(setting: Setting, models: Path) -> ImageClassifier:
    """Return the classifier of a task's generated images, a base model of its own; train it if it is missing."""
    backbone = _classifier_backbone(setting)
    task = dataclasses.replace(
        setting.task, kind="image_classification", recipes=setting.task.classifiers, classifiers={}
    )
    own = dataclasses.replace(
        setting, task=task, backbone=backbone, recipe=get_recipe(task, backbone), encoded={}, eval_seed=0
    )
    folder = train_base(own, 0, models=models, save_strategy="no", disable_tqdm=True)
    return ImageClassifier(*own.load(folder, f"remove {folder}, and it is trained again"), seed=setting.eval_seed)
