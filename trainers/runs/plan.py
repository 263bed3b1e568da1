"""`Request`: what to unlearn and how, which model that starts from, where it goes, and the run that it would be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mubench.hub_builders.hub.model_folder import Run, is_complete, read_run
from mubench.hub_builders.tasks import BACKBONES, names
from mubench.hub_builders.utils.hints import command
from mubench.trainers.engine.distributed import STEP, step_arguments, world_size
from mubench.trainers.engine.unrecorded_arguments import check_arguments
from mubench.trainers.models.base_models import recipe_arguments
from mubench.trainers.models.setting import Setting
from mubench.trainers.runs.applicability import check_request, get_method
from mubench.trainers.runs.defaults import default_arguments
from mubench.trainers.runs.recorded_arguments import for_one_of, recorded_arguments, recorded_names
from mubench.trainers.unlearning.epoch_evaluation import check_epochs
from mubench.trainers.unlearning.unlearning_trainer import UnlearningArguments, UnlearningTrainer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What to unlearn, with which method.

    Attributes:
        setting: Task and backbone.
        method: Method key.
        ratio: Percentage to delete.
        base_seed: Seed of the base model; of the fresh model for methods that retrain.
        seed: Seed of the unlearning run; methods that retrain use the base seed.
        arguments: Method or training arguments in place of the defaults.
        base: Folder of the model to start from; ``None`` takes the setting's own base model.
        models: Folder of all models.
    """

    setting: Setting
    method: str
    ratio: int
    base_seed: int = 0
    seed: int = 0
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    base: Path | None = None
    models: Path = Path("models")

    @property
    def trainer(self) -> type[UnlearningTrainer]:
        """The method's class."""
        return get_method(self.method)

    @property
    def defaults(self) -> dict[str, Any]:
        """Arguments that hold where the request says nothing."""
        if self.trainer.from_scratch:
            return recipe_arguments(self.setting.recipe)
        family = BACKBONES[self.setting.backbone].family
        found = default_arguments(self.setting.task.kind, family, self.method)
        return for_one_of(world_size(), {STEP[0]: getattr(self.trainer.arguments, STEP[0]), **found})

    @property
    def own_base(self) -> Path:
        """Folder of the setting's own base model."""
        info = self.setting.info
        name = names.base_model(
            info.task,
            info.tier,
            self.setting.backbone,
            family=info.family,
            base_seed=self.base_seed,
            eval_seed=self.setting.eval_seed,
        )
        return self.models / name

    @property
    def base_command(self) -> str:
        """Command that makes the setting's own base model."""
        return command(
            "trainers",
            "base",
            task=self.setting.task.key,
            backbone=self.setting.backbone,
            base_seed=self.base_seed,
            eval_seed=self.setting.eval_seed,
            data=self.setting.data,
            family=self.setting.info.family,
            models=self.models,
        )

    def base_folder(self) -> Path:
        """Return the folder of the model to start from.

        Raises:
            FileNotFoundError: If it is not there; the message names the command that makes it.
            ValueError: If it holds a model of another task, tier, split, backbone or base seed.
        """
        setting, info = self.setting, self.setting.info
        folder = self.base or self.own_base
        if not folder.is_dir():
            making = "" if self.base else f"; make it with: {self.base_command}"
            raise FileNotFoundError(f"expected a base model in {folder}, got none{making}")
        run = read_run(folder)
        wanted = (setting.task.key, info.tier, info.split, setting.backbone, self.base_seed)
        if (run.task, run.tier, run.split, run.backbone, run.base_seed) != wanted:
            raise ValueError(
                f"expected a {setting.backbone} trained on {setting.task.key} ({info.tier} tier, split "
                f"{info.split[:12]}) with base seed {self.base_seed}, got "
                f"{folder}: {run.backbone} on {run.task} ({run.tier} tier, split "
                f"{run.split[:12]}) with base seed {run.base_seed}"
            )
        return folder

    def folder(self, run: Run) -> Path:
        """Return the folder of the unlearned model."""
        info, seed = self.setting.info, self.base_seed if self.trainer.from_scratch else self.seed
        base_seed = 0 if self.trainer.from_scratch else self.base_seed
        base = names.base_model(
            run.task, run.tier, run.backbone, family=info.family, base_seed=base_seed, eval_seed=run.eval_seed
        )
        recorded = recorded_arguments(self.trainer, self.training_arguments("", plain=True))
        changed = {key: value for key, value in run.arguments.items() if recorded.get(key) != value}
        if self.base and run.parent and not is_complete(self.own_base, read_run(self.base)):
            changed["base_model"] = run.parent
        return self.models / names.unlearned_model(
            base,
            self.ratio,
            self.method,
            seed,
            family=run.family,
            deletion_seed=run.deletion_seed,
            changed_arguments=changed,
        )

    def training_arguments(self, output: str, *, plain: bool = False) -> UnlearningArguments:
        """Return the method's arguments; ``plain`` leaves out what the request changes."""
        seed = self.base_seed if self.trainer.from_scratch else self.seed
        changes = {} if plain else dict(self.arguments)
        if changes and self.trainer.from_scratch:
            changes |= step_arguments(self.setting.recipe.batch_size, changes)
        return self.trainer.arguments(**{**self.defaults, **changes, "seed": seed, "output_dir": output})


def plan_run(request: Request) -> Run:
    """Return the run a request asks for, without doing it.

    Raises:
        FileNotFoundError: If the model to start from is not there.
        ValueError: If the data have no such ratio, the model to start from is another one, or an argument would change
            the result without being recorded, or the method is not made for the task, backbone or forget rows.
    """
    request.setting.info.forget_size(request.ratio)
    check_request(request.method, request.setting, request.ratio)
    check_arguments(request.arguments, recorded_names(request.trainer))
    scratch = request.trainer.from_scratch
    if scratch and request.base:
        raise ValueError(f"expected no base model, {request.method} starts from a fresh one; got {request.base}")
    given = request.training_arguments("")
    check_epochs(request.trainer, given)
    request.setting.train_transform(given.augment)  # refuses it where rows have none
    arguments = recorded_arguments(request.trainer, given)
    plain = recorded_arguments(request.trainer, request.training_arguments("", plain=True))
    return request.setting.run(
        ratio=request.ratio,
        base_seed=request.base_seed,
        method=request.method,
        seed=request.base_seed if scratch else request.seed,
        arguments=arguments,
        tuned="default" if arguments == plain else "custom",
        parent=None if scratch else read_run(request.base_folder()).identity,
    )
