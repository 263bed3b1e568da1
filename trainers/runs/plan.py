"""`UnlearningRequest`: what to unlearn and how; `Plan`: the request resolved into run, folder, arguments and base."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mubench.hub_builders.hub.model_folder import Run, is_complete, read_run, remake_command
from mubench.hub_builders.tasks import names
from mubench.hub_builders.tasks.own_backbones import defaults_family
from mubench.trainers.engine.distributed import STEP, step_arguments, world_size
from mubench.trainers.engine.task_arguments import check_arguments, check_number_types
from mubench.trainers.models.base_models import precision_arguments, recipe_arguments
from mubench.trainers.models.foreign_models import check_architecture
from mubench.trainers.models.modalities.pretrained import check_load_options
from mubench.trainers.models.model_files import ForeignModel, read_foreign
from mubench.trainers.models.setting import Setting
from mubench.trainers.runs.defaults import (
    default_arguments,
    for_one_of,
    recorded_arguments,
    recorded_names,
    unset_arguments,
)
from mubench.trainers.runs.method_table import CUSTOM, check_request, get_method
from mubench.trainers.unlearning.unlearning_arguments import check_epochs
from mubench.trainers.unlearning.unlearning_trainer import UnlearningArguments, UnlearningTrainer

# Folder of the models of later requests of a sequence, apart from those that rows are made of.
SEQUENCES = "sequences"


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnlearningRequest:
    """What to unlearn, with which method.

    Attributes:
        setting: Task and backbone.
        method: Method key.
        ratio: Percentage to delete.
        base_seed: Seed of the base model; of the fresh model for methods that retrain.
        seed: Seed of the unlearning run; methods that retrain use the base seed.
        arguments: Method or training arguments in place of the defaults.
        tuned: Whether these are the best that `tune` found, which the run then records.
        base: Folder of the base model; ``None`` takes the setting's own.
        deleted_before: Percentage that earlier requests of a sequence deleted, whose rows are in no set.
        models: Folder of all models.
    """

    setting: Setting
    method: str
    ratio: int
    base_seed: int = 0
    seed: int = 0
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tuned: bool = False
    base: Path | None = None
    deleted_before: int | None = None
    models: Path = Path("models")

    @property
    def trainer(self) -> type[UnlearningTrainer]:
        """The method's class."""
        return get_method(self.method)

    @property
    def run_seed(self) -> int:
        """Seed of the run."""
        return self.base_seed if self.trainer.from_scratch else self.seed

    @property
    def defaults(self) -> dict[str, Any]:
        """Arguments of the method, task and backbone in place of those of the method's dataclass."""
        if self.trainer.from_scratch:
            return recipe_arguments(self.setting.recipe)
        family = defaults_family(self.setting.backbone, self.setting.task.recipes)
        found = default_arguments(self.setting.task.kind, family, self.method)
        precision = precision_arguments(self.setting.recipe)
        return for_one_of(world_size(), {STEP[0]: getattr(self.trainer.arguments, STEP[0]), **found, **precision})

    @property
    def changes(self) -> dict[str, Any]:
        """Arguments in place of the defaults; for a recipe, both of those that divide a step into batches."""
        if self.arguments and self.trainer.from_scratch:
            return {**self.arguments, **step_arguments(self.setting.recipe.batch_size, self.arguments)}
        return dict(self.arguments)

    @property
    def own_base(self) -> Path:
        """Folder of the setting's own base model."""
        return self.models / self._base_name(self.base_seed)

    def _base_name(self, base_seed: int) -> str:
        info = self.setting.info
        seeds: dict[str, Any] = {"base_seed": base_seed, "eval_seed": self.setting.eval_seed}
        return names.base_model(info.task, info.tier, self.setting.backbone, family=info.family, **seeds)

    @property
    def base_command(self) -> str:
        """Command that makes the setting's own base model."""
        return remake_command(self.setting.run(ratio=None, base_seed=self.base_seed), self.own_base, self.setting.data)

    def training_arguments(self) -> UnlearningArguments:
        """Return the method's arguments, without a folder to write to."""
        given = {**self.defaults, **self.changes, "seed": self.run_seed, "output_dir": ""}
        return self.trainer.arguments(**given)

    def find_base(self) -> tuple[Path, Run | ForeignModel]:
        """Return the folder of the base model, and its run, or what is known of a foreign model.

        Raises:
            FileNotFoundError: If it is missing; the message names the command that makes it.
            ValueError: If it holds a model of another task, tier, split, backbone or base seed.
        """
        folder = self.base or self.own_base
        if not folder.is_dir():
            hint = "" if self.base else f"; make it with: {self.base_command}"
            raise FileNotFoundError(f"expected a base model in {folder}, got none{hint}")
        if self.base and (foreign := read_foreign(folder)):
            check_architecture(self.setting, foreign)
            return folder, foreign
        run, wanted = read_run(folder), self.setting.run(ratio=None, base_seed=self.base_seed)
        if any(
            getattr(run, one) != getattr(wanted, one) for one in ("task", "tier", "split", "backbone", "base_seed")
        ):
            raise ValueError(f"expected {_describe(wanted)}, got {folder}: {_describe(run)}")
        return folder, run

    def folder(self, run: Run, changed: Mapping[str, Any]) -> Path:
        """Return the folder of the unlearned model.

        Args:
            run: The run.
            changed: What its name shows beside method, ratio and seeds.
        """
        base = self._base_name(0 if self.trainer.from_scratch else self.base_seed)
        models = self.models if self.deleted_before is None else self.models / SEQUENCES
        return models / names.unlearned_model(
            base,
            self.ratio,
            self.method,
            self.run_seed,
            family=run.family,
            deletion_seed=run.deletion_seed,
            changed_arguments=changed,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A request, resolved: all that training takes.

    Attributes:
        request: The request.
        run: Its run.
        folder: Folder of the unlearned model.
        arguments: The method's arguments; training sets their ``output_dir``.
        base_folder: Folder of the model to start from; ``None`` for methods that start from a fresh one.
    """

    request: UnlearningRequest
    run: Run
    folder: Path
    arguments: UnlearningArguments
    base_folder: Path | None

    @property
    def is_complete(self) -> bool:
        """Whether the model is there, finished."""
        return is_complete(self.folder, self.run)


def _describe(base: Run) -> str:
    where = f"{base.task} ({base.tier} tier, split {base.split[:12]})"
    return f"a {base.backbone} trained on {where} with base seed {base.base_seed}"


def resolve(request: UnlearningRequest) -> Plan:
    """Check a request and return its plan; nothing is trained or written.

    Raises:
        FileNotFoundError: If the base model is missing.
        ValueError: If the data have no such ratio, the base model is another one, or an argument would change the
            result without being recorded, or the method is not made for the task, backbone or forget set.
    """
    setting = request.setting
    setting.info.forget_size(request.ratio)
    if request.deleted_before is not None:
        setting.request_mask(request.ratio, request.deleted_before)  # raises where it is empty
    check_request(request.method, setting, request.ratio)
    trainer = request.trainer
    check_arguments(request.arguments, recorded_names(trainer))
    check_number_types(trainer.arguments, request.arguments)
    if trainer.from_scratch and request.base:
        raise ValueError(f"expected no base model, {request.method} starts from a fresh one; got {request.base}")
    arguments = request.training_arguments()
    check_epochs(trainer, arguments)
    check_load_options(setting.task.kind, arguments)
    setting.train_transform(arguments.augment)  # raises where the task's kind has no augmentation
    recorded, default = recorded_arguments(trainer, arguments), _default_record(request, arguments)
    recorded |= unset_arguments(arguments, recorded, default)
    method_file = CUSTOM[request.method].sha256 if request.method in CUSTOM else None
    base_folder, base = (None, None) if trainer.from_scratch else request.find_base()
    run = setting.run(
        ratio=request.ratio,
        base_seed=request.base_seed,
        method=request.method,
        seed=request.run_seed,
        arguments=recorded,
        tuned="default" if recorded == default else "tuned" if request.tuned else "custom",
        parent=base.identity if base else None,
        foreign_base=_foreign_base(base),
        method_file=method_file,
        deleted_before=request.deleted_before,
    )
    if run.foreign_base:  # its processor may be another: no encoded rows are shared
        request = dataclasses.replace(request, setting=setting.with_own_encoding())
    changed = {key: value for key, value in recorded.items() if default.get(key) != value}
    if base and request.base and (isinstance(base, ForeignModel) or not is_complete(request.own_base, base)):
        changed["base_model"] = base.identity
    if method_file:
        changed["method_file"] = method_file
    if request.deleted_before is not None:
        changed["deleted_before"] = request.deleted_before
    return Plan(
        request=request, run=run, folder=request.folder(run, changed), arguments=arguments, base_folder=base_folder
    )


def _foreign_base(base: Run | ForeignModel | None) -> str | None:
    """Return the architecture of a base model that another program made, adopted or not."""
    if base is None:
        return None
    return base.architecture if isinstance(base, ForeignModel) else base.foreign_base


def _default_record(request: UnlearningRequest, arguments: UnlearningArguments) -> dict[str, Any]:
    """Return what the run would record without the request's changes.

    A copy with defaults in place of changes: to construct arguments a second time takes as long as all else here.
    """
    plain, defaults = copy.copy(arguments), request.defaults
    fields = {field.name: field for field in dataclasses.fields(arguments)}
    for name in request.changes.keys() - defaults.keys():
        factory = fields[name].default_factory
        defaults[name] = fields[name].default if factory is dataclasses.MISSING else factory()
    for name in request.changes:
        setattr(plain, name, defaults[name])
    return recorded_arguments(request.trainer, plain)
