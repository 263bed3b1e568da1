"""The front doors under ``torchrun`` and ``accelerate launch``: two processes do what one does, and one writes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import TrainerCallback

from mubench.hub_builders.utils.atomic import WORK
from mubench.trainers.__main__ import main as room_two
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.evaluation import judge_runs as scoring
from mubench.trainers.evaluation import result as results
from mubench.trainers.evaluation import validation_score as oracle
from mubench.trainers.metrics import SplitOutputs
from mubench.trainers.models import base_models
from mubench.trainers.unlearning import epoch_evaluation as epochs
from tests.fixtures.few import RATIO, ROWS, TASK_OF, few_rows, shrink
from tests.fixtures.toy import KillAt, Killed

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
BACKBONES = ("vit", "llama")
# Adam makes steps of the rounding noise in gradients that are zero, such as those of the biases of attention's keys,
# which change no softmax; plain descent does not, and Adam does not either where its epsilon is far above the noise.
PLAIN = {"optim": "sgd", "learning_rate": 0.05}
SCRUB = [
    "--optim=sgd",
    "--learning_rate=0.05",
    "--num_train_epochs=2",
    "--msteps=1",
    "--max_grad_norm=0",
    "--remember=False",
]
ADAM = [
    "--optim=adamw_torch",
    "--adam_epsilon=0.001",
    "--learning_rate=0.01",
    "--num_train_epochs=2",
    "--remember=False",
]
ADDON_ARGUMENTS = [
    "--curriculum=superloss",
    "--curriculum_lambda=0.5",
    "--harmonise=munba",
    "--dual_optim=sgd",
    "--sam_rho=0.05",
]
SOPHIA = ["--optim=sophia", "--learning_rate=0.001", "--num_train_epochs=2"]
# Methods that start from the base model that one process has made: a mask may turn over on its last bits.
MORE = {
    "vit": [
        ["salun", *ADAM],
        ["neg_grad_plus", *SCRUB[:2], *ADDON_ARGUMENTS],
        ["finetune", *SCRUB[:2], "--lora_rank=2"],
        ["finetune", *SOPHIA],
        ["neg_grad_plus", *SCRUB[:2], "--bf16=True", "--use_cpu=True"],
    ],
    "llama": [["npo", *ADAM]],
}

SCRIPT = """
import sys
from tests.end_to_end.test_processes import walk
walk(sys.argv[1])
"""


def words(backbone: str, task: str, models: str) -> list[str]:
    return [f"--task={task}", f"--backbone={backbone}", f"--models={models}"]


def walk(models: str) -> None:
    """Run base, retrain and some methods of every backbone in the current folder, where the data are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epochs, "proxy", doubt)
        patch.setattr(oracle, "validation_score", lambda model, *_: doubt(model, model))
        if os.environ.get("RANK", "0") != "0":
            patch.setattr(base_models, "staged_folder", forbidden)
            patch.setattr(epochs, "save_model", forbidden)
            for module in (results, scoring):
                patch.setattr(module, "write_result", forbidden)
        for backbone in BACKBONES:
            where = words(backbone, shrink(patch, backbone, **PLAIN), models)
            base = ["base", *where, "--save_strategy=steps", "--save_steps=2", "--logging_steps=1"]
            if models == "two" and backbone == "vit":
                kill(patch, lambda command=base: room_two(command))
            assert room_two(base) == 0
            judged = backbone == "vit"
            for seed in range(1 + judged):
                assert room_two(["retrain", *where, f"--ratio={RATIO}", f"--base_seed={seed}"]) == 0
            unlearn(backbone, where, models, judged=judged)


def unlearn(backbone: str, where: list[str], models: str, *, judged: bool) -> None:
    """Run the methods of a backbone; a run that is judged has retrained models, which may choose an epoch, too."""
    scrub = ["scrub", *where, *SCRUB, f"--ratio={RATIO}"]
    assert room_two([*scrub, f"--judge={judged}", "--results", models]) == 0
    for keep in ("best", "oracle")[: 1 + judged]:
        assert room_two([*scrub, "--judge=False", f"--keep={keep}"]) == 0
    start = f"--base_model=one/{TASK_OF[backbone]}-mini-{backbone}"
    for method, *options in MORE[backbone]:
        assert room_two([method, *where, *options, f"--ratio={RATIO}", "--judge=False", start]) == 0


def doubt(model: SplitOutputs, _: SplitOutputs) -> float:
    """Stand in for P, of which base models of two epochs know too little."""
    return -float(model["forget"].true_probability.mean())


def forbidden(*_: object, **__: object) -> None:
    raise AssertionError("a process that is not the first writes")


def kill(patch: pytest.MonkeyPatch, run: Callable[[], int]) -> None:
    """Kill a run after its third step, which is after its first checkpoint."""
    with patch.context() as inner:
        start = TaskTrainer.__init__

        def doomed(self: TaskTrainer, *args: object, **kwargs: object) -> None:
            start(self, *args, **kwargs)
            callback: TrainerCallback = KillAt(3)
            self.add_callback(callback)

        inner.setattr(TaskTrainer, "__init__", doomed)
        with pytest.raises(Killed):
            run()


def launch(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=root, env=environment, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which one process and two have done the same."""
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        for backbone in BACKBONES:
            few_rows(patch, backbone, folder)
        patch.chdir(folder)
        walk("one")
    (folder / "script.py").write_text(SCRIPT)
    split = ("--log-dir", "logs", "--redirects", "3")
    launch(folder, "torch.distributed.run", "--standalone", "--nproc_per_node=2", *split, "script.py", "two")
    return folder


def folders(root: Path, models: str) -> list[str]:
    return sorted(
        path.name for path in (root / models).iterdir() if path.is_dir() and path.name not in (WORK, "evidence")
    )


def test_two_processes_make_the_models_of_one(root):
    made = folders(root, "one")
    assert made == folders(root, "two")
    assert len(made) == 16
    for name in made:
        one, two = (load_file(root / models / name / "model.safetensors") for models in ("one", "two"))
        runs = [json.loads((root / models / name / "run.json").read_text()) for models in ("one", "two")]
        given = runs[0]["arguments"]
        # Such a bias changes nothing: its gradient is rounding, along which Sophia takes whole steps.
        same = [key for key in one if not (given.get("optim") == "sophia" and key.endswith(".key.bias"))]
        close = 1e-4 if given.get("bf16") else 1e-5  # half a sum rounds otherwise
        assert max(float((one[key] - two[key]).abs().max()) for key in same) < close, name
        assert runs[0]["identity"] == runs[1]["identity"]
        assert runs[1]["device"] == "2 x cpu"
        assert_same_history(*(run["history"] for run in runs), length=2 if "keep" in given else 0)
        masks = (ROWS["train"] * RATIO + 50) // 100 if "-salun-" in name else 0  # each process makes its own
        for count in ("forward", "backward"):
            assert runs[0]["cost"].get(count, 0) + masks == runs[1]["cost"].get(count, 0)
            assert isinstance(runs[1]["cost"].get(count, 0), int)


def assert_same_history(one: list[dict[str, float]], two: list[dict[str, float]], *, length: int) -> None:
    assert len(one) == len(two) == length
    for first, second in zip(one, two, strict=True):
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert second[name] == pytest.approx(value, abs=1e-5)


def test_only_the_first_process_writes_and_talks(root):
    assert not list((root / "two" / WORK).iterdir())
    rows = [sorted(path.name for path in (root / models).glob("*.json")) for models in ("one", "two")]
    assert rows[0] == rows[1] != []
    first, other = (next((root / "logs").glob(f"*/attempt_0/{rank}")) for rank in (0, 1))
    output = (first / "stdout.log").read_text()
    assert output.count("model: two/") == 14
    assert output.count("epoch ") == 6
    assert output.count("row:   two/") == 1
    assert "it/s" in (first / "stderr.log").read_text()
    assert (other / "stdout.log").read_text() == ""
    assert "it/s" not in (other / "stderr.log").read_text()


@pytest.mark.nightly
def test_accelerate_starts_the_front_door_too(root):
    command = ["scrub", *words("vit", "cifar10", "one"), *SCRUB, f"--ratio={RATIO}", "--judge=False"]
    base = root / "one" / "cifar10-mini-vit"
    options = ["--num_processes=2", "--multi_gpu", "--mixed_precision=no", "--dynamo_backend=no", "--num_machines=1"]
    halves = ["--per_device_train_batch_size=8", "--models=three", f"--base_model={base}"]
    output = launch(root, "accelerate.commands.launch", *options, "-m", "mubench.trainers", *command, *halves).stdout
    (made,) = folders(root, "three")
    assert output.splitlines()[-1] == f"model: three/{made}"
    assert output.count("model: ") == 1
    alone = ["--per_device_train_batch_size=16", "--models=four", f"--base_model={base}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        shrink(patch, "vit", **PLAIN)
        assert room_two([*command, *alone]) == 0
    assert folders(root, "four") == [made]
    one, two = (load_file(root / models / made / "model.safetensors") for models in ("four", "three"))
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-5


def test_grids_refuse_to_be_started_twice(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert room_two(["sweep", "--task=cifar10"]) == 2
    assert capsys.readouterr().err == "mubench: expected one process, since sweep starts workers of its own, got 2\n"
