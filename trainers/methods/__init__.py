"""The table of unlearning methods: file name, command-line name and trainer."""

from mubench.trainers.base import UnlearningTrainer
from mubench.trainers.methods.bad_teaching import BadTeachingTrainer
from mubench.trainers.methods.finetune import FinetuneTrainer
from mubench.trainers.methods.neg_grad import NegGradTrainer
from mubench.trainers.methods.random_label import RandomLabelTrainer
from mubench.trainers.methods.retrain import RetrainTrainer
from mubench.trainers.methods.salun import SalunTrainer
from mubench.trainers.methods.scrub import ScrubTrainer

__all__ = [
    "METHODS",
    "BadTeachingTrainer",
    "FinetuneTrainer",
    "NegGradTrainer",
    "RandomLabelTrainer",
    "RetrainTrainer",
    "SalunTrainer",
    "ScrubTrainer",
]

METHODS: dict[str, type[UnlearningTrainer]] = {
    "retrain": RetrainTrainer,
    "finetune": FinetuneTrainer,
    "neg_grad": NegGradTrainer,
    "random_label": RandomLabelTrainer,
    "salun": SalunTrainer,
    "bad_teaching": BadTeachingTrainer,
    "scrub": ScrubTrainer,
}
