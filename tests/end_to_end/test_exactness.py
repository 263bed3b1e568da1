"""Every kind of model: the same seed the same bits, a cut step the same step, a resumed run the uninterrupted one."""

import dataclasses
import shutil

import pytest
import torch
from safetensors.torch import load_file

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.models.base_models import train_base
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.jobs import QUIET
from tests.fixtures.few import RATIO, few_rows
from tests.fixtures.toy import KillAt, Killed, distance, snapshot

pytestmark = pytest.mark.slow
# One backbone of each kind of task.
KINDS = ("vit", "bert", "vilt", "wav2vec2", "videomae", "t5", "llama")
# The image classifier is trained beside a text-to-image model.
UNET = pytest.param("unet", marks=pytest.mark.nightly)
# Other families of architectures; ViT, Swin and VideoMAE are saved under other names than they run under.
OTHERS = ("resnet", "swin", "convnext", "whisper", "timesformer", "deberta", "bart", "gpt2")
FAMILIES = (*KINDS, *(pytest.param(name, marks=pytest.mark.nightly) for name in OTHERS))
CPU_BF16 = {"bf16": True, "use_cpu": True}
PLAIN = {"optim": "sgd", "learning_rate": 0.05}


def weights(folder):
    """Return the weights of a folder, of all parts of a model that draws."""
    files = sorted(folder.rglob("*.safetensors"))
    assert files
    return {f"{file.relative_to(folder)} {name}": part for file in files for name, part in load_file(file).items()}


def equal(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# A run that goes on after it was killed shows the same of the others.
@pytest.mark.parametrize(
    "backbone",
    [name if name in ("vit", "llama") else pytest.param(name, marks=pytest.mark.nightly) for name in KINDS] + [UNET],
)
def test_the_same_seed_gives_the_same_bits(backbone, tmp_path, monkeypatch):
    setting = few_rows(monkeypatch, backbone, tmp_path, epochs=1)
    folders = []
    for number, seed in enumerate((3, 3, 4)):
        torch.manual_seed(number)  # the global state is what must not matter
        folders.append(train_base(setting, seed, models=tmp_path / str(number), **QUIET))
    one, same, other = map(weights, folders)
    assert equal(one, same)
    assert not equal(one, other)


@pytest.mark.parametrize("backbone", ["bert", "vit", "t5", "llama"])
def test_t_ga_four_times_two_rows_are_eight(backbone, tmp_path, monkeypatch):
    setting = few_rows(monkeypatch, backbone, tmp_path, epochs=1, batch_size=8, **PLAIN)
    model, _ = setting.fresh_model(0)
    start = snapshot(model)
    cut = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    models = [tmp_path / "whole", tmp_path / "cut"]
    folders = [train_base(setting, 0, models=m, **QUIET, **given) for m, given in zip(models, ({}, cut), strict=True)]
    assert folders[0].name == folders[1].name
    assert read_run(folders[0]).identity == read_run(folders[1]).identity
    one, two = (setting.modality.load(folder)[0] for folder in folders)
    assert distance(one, snapshot(two)) < 1e-5
    assert distance(one, start) > 1e-3


def doomed(step):
    """Return a way of making a trainer whose run is killed after a step."""
    make = TaskTrainer.__init__

    def init(self, *args, **kwargs):
        make(self, *args, **kwargs)
        self.add_callback(KillAt(step))

    return init


@pytest.mark.parametrize("backbone", [*FAMILIES, UNET])
def test_a_killed_run_goes_on_exactly(backbone, tmp_path, monkeypatch):
    setting = few_rows(monkeypatch, backbone, tmp_path)
    saved = {"save_strategy": "steps", "save_steps": 2, "disable_tqdm": True}
    whole = train_base(setting, 0, models=tmp_path / "whole", **saved)
    torch.manual_seed(1)  # the global state is what must not matter
    with monkeypatch.context() as patch:
        patch.setattr(TaskTrainer, "__init__", doomed(5))
        with pytest.raises(Killed):
            train_base(setting, 0, models=tmp_path / "killed", **saved)
    (kept,) = tmp_path.glob("killed/.work/*/checkpoint-4")
    shutil.rmtree(kept.with_name("checkpoint-2"))
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(TaskTrainer, "after_step", lambda self: steps.append(self.state.global_step))
        killed = train_base(setting, 0, models=tmp_path / "killed", **saved)
    assert steps[:2] == [4, 5]  # of six; the classifier of drawings comes afterwards
    assert equal(weights(whole), weights(killed))


@pytest.mark.parametrize("backbone", ["vit", "llama"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_run_in_bfloat16_is_another_run_and_records_it(backbone, tmp_path, monkeypatch):
    setting, models = few_rows(monkeypatch, backbone, tmp_path), tmp_path / "models"
    plain, half = (train_base(setting, 0, models=models, **QUIET, **given) for given in ({}, CPU_BF16))
    assert read_run(half).arguments == {"bf16": True}
    assert plain.name != half.name and not equal(weights(plain), weights(half))
    assert {weight.dtype for weight in weights(half).values()} == {torch.float32}
    arguments = {**QUIET, **CPU_BF16, "num_train_epochs": 1, "msteps": 1}
    request = UnlearningRequest(
        setting=setting, method="scrub", ratio=RATIO, models=models, arguments=arguments, base=half
    )
    folder = unlearn(resolve(request))
    assert read_run(folder).arguments["bf16"] is True
    assert not equal(weights(folder), weights(half))


def test_the_precision_of_a_recipe_is_that_of_its_methods_and_is_recorded(tmp_path, monkeypatch):
    plain = few_rows(monkeypatch, "resnet", tmp_path)
    half = dataclasses.replace(plain, recipe=dataclasses.replace(plain.recipe, precision="bf16"), encoded={})
    base, other = (train_base(one, 0, models=tmp_path / one.recipe.precision, **QUIET) for one in (half, plain))
    assert (read_run(base).arguments, read_run(base).recipe["precision"]) == ({}, "bf16")
    assert "precision" not in read_run(other).recipe  # as in runs from before recipes had one
    assert base.name == other.name and not equal(weights(base), weights(other))
    models = {"models": tmp_path / "bf16"}
    for method, arguments in (("scrub", {"num_train_epochs": 1, "msteps": 1}), ("retrain", {})):
        plan = resolve(UnlearningRequest(setting=half, method=method, ratio=RATIO, arguments=arguments, **models))
        assert (plan.arguments.bf16, plan.run.arguments["bf16"]) == (True, True)
    with pytest.raises(ValueError, match="expected the recipe's bf16, which all base and retrained models"):
        train_base(half, 1, models=tmp_path / "bf16", bf16=False)


def test_a_compiled_model_is_trained_recorded_counted_and_saved_like_any_other(tmp_path, monkeypatch):
    # The backend that compiles nothing: what is looked at is what is wrapped around the model.
    init = TaskArguments.__post_init__

    def eager(self):
        self.torch_compile_backend = "eager" if self.torch_compile else None
        init(self)

    monkeypatch.setattr(TaskArguments, "__post_init__", eager)
    setting, models = few_rows(monkeypatch, "vit", tmp_path, **PLAIN), tmp_path / "models"
    compiled = {**QUIET, "torch_compile": True}
    folders = [train_base(setting, 0, models=models, **given) for given in (QUIET, compiled)]
    assert read_run(folders[1]).arguments == {"torch_compile": True}
    assert folders[0].name != folders[1].name
    one, two = (setting.modality.load(folder)[0] for folder in folders)
    assert distance(one, snapshot(two)) < 1e-5
    runs = []
    for given in (QUIET, compiled):
        arguments = {**given, "num_train_epochs": 1, "msteps": 1}
        request = UnlearningRequest(
            setting=setting, method="scrub", ratio=RATIO, models=models, arguments=arguments, base=folders[0]
        )
        runs.append(read_run(unlearn(resolve(request))))
    assert runs[1].arguments["torch_compile"] is True
    for count in ("forward", "backward"):
        assert runs[0].cost[count] == runs[1].cost[count] > 0
