"""Base models: trained from a task's recipe into ``./models/<task>-<backbone>``, with their reference outputs."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import PreTrainedModel, TrainerCallback

from mubench.hub_builders.hub.model_folder import REFERENCE, Run, is_complete, work_folder
from mubench.hub_builders.tasks import BACKBONES, Recipe, get_recipe, names
from mubench.hub_builders.utils.atomic import WORK, staged_folder
from mubench.trainers.engine.checkpointing import last_checkpoint, read_cost
from mubench.trainers.engine.distributed import STEP, on_main_process, step_arguments, world_size
from mubench.trainers.engine.errors import EVALUATION, TRAINING, explain_out_of_memory
from mubench.trainers.engine.lora import LORA
from mubench.trainers.engine.task_arguments import SPEED, TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.engine.unrecorded_arguments import check_arguments
from mubench.trainers.engine.weights import has_batch_norm
from mubench.trainers.inference.image_classifier import ImageClassifier
from mubench.trainers.inference.predict import batches_of
from mubench.trainers.inference.storage import Outputs, write_outputs
from mubench.trainers.models.setting import Setting

# Arguments that a recipe leaves open, as LoRA's; a base model that has one lies in a folder of its own.
SWITCHES = ("augment", *SPEED)
VERSIONED = ("torch", "transformers", "datasets", "accelerate", "numpy")


def recipe_arguments(recipe: Recipe, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a recipe as `TaskArguments` fields for each of the processes there are.

    Args:
        recipe: The recipe.
        given: Arguments that say how its steps are cut, see `step_arguments`.
    """
    return {
        **step_arguments(recipe.batch_size, given or {}),
        "learning_rate": recipe.learning_rate,
        "num_train_epochs": recipe.epochs,
        "warmup_steps": recipe.warmup,
        "weight_decay": recipe.weight_decay,
        "optim": recipe.optim,
        "lr_scheduler_type": recipe.scheduler,
    }


def _check_devices(args: TaskArguments) -> None:
    """Check that every process has one device, and that all that were started are in this run."""
    if args.n_gpu > 1:
        raise ValueError(
            f"expected one GPU a process (set CUDA_VISIBLE_DEVICES, or start one process a GPU with torchrun), got "
            f"{args.n_gpu} GPUs"
        )
    if args.world_size != world_size():
        raise ValueError(f"expected a run of {world_size()} processes, got one of {args.world_size}")


def fit(trainer: TaskTrainer, work: Path) -> dict[str, float]:
    """Train, going on from the newest finished checkpoint in ``work``, and return what all of it cost."""
    found = last_checkpoint(work)
    if found is not None:
        trainer.cost_before_resume = read_cost(found)
    trainer.train(resume_from_checkpoint=str(found) if found else None)
    return trainer.total_cost()


def surroundings(device: torch.device) -> dict[str, Any]:
    """Return the library versions and the device of every process, for ``run.json``."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    many = f"{world_size()} x " if world_size() > 1 else ""
    return {"versions": {name: importlib.metadata.version(name) for name in VERSIONED}, "device": f"{many}{name}"}


def outputs_of(
    setting: Setting,
    model: PreTrainedModel,
    processor: Any,
    models: Path = Path("models"),
    *,
    batch_size: int | None = None,
) -> dict[str, Outputs]:
    """Return what a model says about every row of every stored split.

    Args:
        setting: Task and backbone.
        model: The model.
        processor: Its processor.
        models: Folder of all models: that of the classifier of drawings, where the task has one, which is trained
            first if it is not there.
        batch_size: Rows a forward pass; ``None`` leaves it to the modality.
    """
    if setting.task.classifiers:
        processor = dataclasses.replace(processor, image_classifier=train_image_classifier(setting, models))
    with batches_of(batch_size):
        return {
            split: setting.modality.answers(model, processor, rows, setting.encode(split, processor))
            for split, rows in setting.rows.items()
        }


def save_model(folder: Path, model: PreTrainedModel, processor: Any, outputs: Mapping[str, Outputs], run: Run) -> None:
    """Write a model folder, whole or not at all."""
    with staged_folder(folder) as stage:
        model.save_pretrained(stage)
        processor.save_pretrained(stage)
        write_outputs(stage / REFERENCE, outputs)
        run.write(stage)


def train_into(
    folder: Path, run: Run, trainer: TaskTrainer, setting: Setting, processor: Any, *, batch_size: int | None = None
) -> None:
    """Train, ask the model about every row, and write its folder, whole or not at all.

    Of several processes the first asks and writes, and the others wait.

    Args:
        folder: Where the model goes.
        run: What is run.
        trainer: The trainer, whose ``output_dir`` is the run's scratch folder; that is removed at the end.
        setting: Task and backbone.
        processor: The model's processor.
        batch_size: Rows the model is asked about at once; ``None`` leaves it to the modality.

    Raises:
        TooLittleMemoryError: If memory runs out.
        ValueError: If a process has several devices.
    """
    _check_devices(trainer.args)  # type: ignore[arg-type]
    work = Path(str(trainer.args.output_dir))
    with explain_out_of_memory("a step of training", TRAINING):
        cost = fit(trainer, work)
    history = trainer.history()
    done = dataclasses.replace(run, cost=cost, history=history, **surroundings(trainer.args.device))

    if setting.task.classifiers:
        train_image_classifier(setting, folder.parent)  # by all processes, before one of them asks it

    def write() -> None:
        model: Any = trainer.model
        with explain_out_of_memory("a look at every row", EVALUATION):
            outputs = outputs_of(setting, model, processor, folder.parent, batch_size=batch_size)
        save_model(folder, model, processor, outputs, done)
        shutil.rmtree(work)

    on_main_process(write)


def check_cut(model: torch.nn.Module, args: TaskArguments) -> None:
    """Check that a recipe's steps are not cut where the cut would show.

    Raises:
        ValueError: If they are cut for a model with BatchNorm.
    """
    if args.gradient_accumulation_steps > 1 and has_batch_norm(model):
        raise ValueError(
            f"expected gradient_accumulation_steps 1, since the BatchNorm of {type(model).__name__} has to see "
            f"a whole step of its recipe; got {args.gradient_accumulation_steps}"
        )


def recorded_options(args: TaskArguments) -> dict[str, Any]:
    """Return what a base model records beside its recipe: LoRA, where it is trained so, and what is switched on."""
    lora = {name: getattr(args, name) for name in LORA} if args.lora_rank is not None else {}
    return {**lora, **{name: True for name in SWITCHES if getattr(args, name)}}


def _check_recipe(setting: Setting, given: Mapping[str, Any]) -> None:
    """Refuse to change what base and retrained models share: they must differ in nothing but the rows."""
    fixed = sorted({*given} & {*recipe_arguments(setting.recipe)} - {*STEP})
    if fixed:
        raise ValueError(
            f"expected the recipe's {', '.join(fixed)}, which all base and retrained models of {setting.task.key} "
            f"share (`recipes` in hub_builders/tasks/table.py), got "
            f"{', '.join(f'{name}={given[name]}' for name in fixed)}"
        )


def train_base(
    setting: Setting,
    base_seed: int,
    *,
    models: Path = Path("models"),
    callbacks: Sequence[TrainerCallback] = (),
    **arguments: Any,
) -> Path:
    """Train a base model by its recipe, unless it is there already.

    Args:
        setting: Task and backbone.
        base_seed: Seed of initialisation and data order.
        models: Folder of all models.
        callbacks: Told how it gets on; they change nothing.
        **arguments: `TaskArguments` that change no result (checkpoints, logging, how a step is cut into batches, of
            which there may be more), LoRA's, and those of `SWITCHES`; all others are the recipe's.

    Returns:
        The model's folder.

    Raises:
        ValueError: If an argument could change the result, or has no meaning for the task, or the seed is none.
    """
    names.check_seed("base_seed", base_seed)
    _check_recipe(setting, arguments)
    check_arguments(arguments, (*STEP, *LORA, *SWITCHES))
    settings = {**arguments, **recipe_arguments(setting.recipe, arguments)}
    if (rows := settings[STEP[0]] * settings[STEP[1]] * world_size()) != setting.recipe.batch_size:
        raise ValueError(f"expected the recipe's {setting.recipe.batch_size} rows a step, got {rows}")
    options = recorded_options(TaskArguments(**{**settings, "output_dir": ""}))
    transform = setting.train_transform("augment" in options)
    run = setting.run(ratio=None, base_seed=base_seed, arguments=options)
    name = names.base_model(
        run.task,
        run.tier,
        run.backbone,
        family=run.family,
        base_seed=base_seed,
        eval_seed=run.eval_seed,
        arguments=options,
    )
    folder = models / name
    if is_complete(folder, run):
        return folder
    model, processor = setting.fresh_model(base_seed)
    work = work_folder(folder, run)
    args = TaskArguments(**{**settings, "seed": base_seed, "output_dir": str(work)})
    check_cut(model, args)
    trainer = TaskTrainer(
        model=model,
        args=args,
        train_dataset=setting.encode("train", processor),
        data_collator=setting.modality.collator(processor),
        transform=transform,
        callbacks=list(callbacks),
    )
    asked = arguments.get("per_device_eval_batch_size")
    train_into(folder, run, trainer, setting, processor, batch_size=asked)
    return folder


def train_image_classifier(setting: Setting, models: Path) -> ImageClassifier:
    """Return the classifier that looks at a task's drawings, a base model of its own; train it if it is not there."""
    mini = setting.info.tier == "mini"
    backbone = next(key for key in setting.task.classifiers if (BACKBONES[key].hub_id is None) == mini)
    task = dataclasses.replace(
        setting.task, kind="image_classification", recipes=setting.task.classifiers, classifiers={}
    )
    own = dataclasses.replace(
        setting, task=task, backbone=backbone, recipe=get_recipe(task, backbone), encoded={}, eval_seed=0
    )
    lock = models / WORK / f"{task.key}-{backbone}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    # Runs side by side share one; the processes of one run train it together.
    with FileLock(lock) if world_size() == 1 else nullcontext():
        folder = train_base(own, 0, models=models, save_strategy="no", disable_tqdm=True)
    return ImageClassifier(*own.modality.load(folder), seed=setting.eval_seed)
