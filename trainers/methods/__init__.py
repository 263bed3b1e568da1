"""The table of unlearning methods: file name, command-line name and trainer."""

from mubench.trainers.base import UnlearningTrainer
from mubench.trainers.methods.bad_teaching import BadTeachingTrainer
from mubench.trainers.methods.finetune import FinetuneTrainer
from mubench.trainers.methods.neg_grad import NegGradTrainer
from mubench.trainers.methods.random_label import RandomLabelTrainer
from mubench.trainers.methods.retrain import RetrainTrainer
from mubench.trainers.methods.retrain_keep50 import RetrainKeep50Trainer
from mubench.trainers.methods.salun import SalunTrainer
from mubench.trainers.methods.scrub import ScrubTrainer

__all__ = [
    "METHODS",
    "BadTeachingTrainer",
    "FinetuneTrainer",
    "NegGradTrainer",
    "RandomLabelTrainer",
    "RetrainKeep50Trainer",
    "RetrainTrainer",
    "SalunTrainer",
    "ScrubTrainer",
]

METHODS: dict[str, type[UnlearningTrainer]] = {
    "retrain": RetrainTrainer,
    "retrain_keep50": RetrainKeep50Trainer,
    "finetune": FinetuneTrainer,
    "neg_grad": NegGradTrainer,
    "random_label": RandomLabelTrainer,
    "salun": SalunTrainer,
    "bad_teaching": BadTeachingTrainer,
    "scrub": ScrubTrainer,
}
