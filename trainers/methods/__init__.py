"""The table of unlearning methods: file name, command-line name and trainer."""

from mubench.trainers.methods.amun import AmunTrainer
from mubench.trainers.methods.bad_teaching import BadTeachingTrainer
from mubench.trainers.methods.boundary_expand import BoundaryExpandTrainer
from mubench.trainers.methods.boundary_shrink import BoundaryShrinkTrainer
from mubench.trainers.methods.ce_u import CeUTrainer
from mubench.trainers.methods.cf_k import CfKTrainer
from mubench.trainers.methods.ct import CtTrainer
from mubench.trainers.methods.delete import DeleteTrainer
from mubench.trainers.methods.dpo import DpoTrainer
from mubench.trainers.methods.esd import EsdTrainer
from mubench.trainers.methods.eu_k import EuKTrainer
from mubench.trainers.methods.finetune import FinetuneTrainer
from mubench.trainers.methods.fisher import FisherTrainer
from mubench.trainers.methods.influence import InfluenceTrainer
from mubench.trainers.methods.jensun import JensunTrainer
from mubench.trainers.methods.kl_min import KlMinTrainer
from mubench.trainers.methods.l1_sparse import L1SparseTrainer
from mubench.trainers.methods.lotus import LotusTrainer
from mubench.trainers.methods.msg import MsgTrainer
from mubench.trainers.methods.multi_delete import MultiDeleteTrainer
from mubench.trainers.methods.neg_grad import NegGradTrainer
from mubench.trainers.methods.neg_grad_plus import NegGradPlusTrainer
from mubench.trainers.methods.noise_ft import NoiseFtTrainer
from mubench.trainers.methods.npo import NpoTrainer
from mubench.trainers.methods.random_label import RandomLabelTrainer
from mubench.trainers.methods.retrain import RetrainTrainer
from mubench.trainers.methods.retrain_keep50 import RetrainKeep50Trainer
from mubench.trainers.methods.rmu import RmuTrainer
from mubench.trainers.methods.salun import SalunTrainer
from mubench.trainers.methods.scrub import ScrubTrainer
from mubench.trainers.methods.sfron import SfronTrainer
from mubench.trainers.methods.simnpo import SimnpoTrainer
from mubench.trainers.methods.ssd import SsdTrainer
from mubench.trainers.methods.task_vector import TaskVectorTrainer
from mubench.trainers.methods.undial import UndialTrainer
from mubench.trainers.methods.undo import UndoTrainer
from mubench.trainers.methods.unsir import UnsirTrainer
from mubench.trainers.methods.wga import WgaTrainer
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

__all__ = [
    "METHODS",
    "AmunTrainer",
    "BadTeachingTrainer",
    "BoundaryExpandTrainer",
    "BoundaryShrinkTrainer",
    "CeUTrainer",
    "CfKTrainer",
    "CtTrainer",
    "DeleteTrainer",
    "DpoTrainer",
    "EsdTrainer",
    "EuKTrainer",
    "FinetuneTrainer",
    "FisherTrainer",
    "InfluenceTrainer",
    "JensunTrainer",
    "KlMinTrainer",
    "L1SparseTrainer",
    "LotusTrainer",
    "MsgTrainer",
    "MultiDeleteTrainer",
    "NegGradPlusTrainer",
    "NegGradTrainer",
    "NoiseFtTrainer",
    "NpoTrainer",
    "RandomLabelTrainer",
    "RetrainKeep50Trainer",
    "RetrainTrainer",
    "RmuTrainer",
    "SalunTrainer",
    "ScrubTrainer",
    "SfronTrainer",
    "SimnpoTrainer",
    "SsdTrainer",
    "TaskVectorTrainer",
    "UndialTrainer",
    "UndoTrainer",
    "UnsirTrainer",
    "WgaTrainer",
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
    "neg_grad_plus": NegGradPlusTrainer,
    "l1_sparse": L1SparseTrainer,
    "cf_k": CfKTrainer,
    "eu_k": EuKTrainer,
    "noise_ft": NoiseFtTrainer,
    "delete": DeleteTrainer,
    "lotus": LotusTrainer,
    "undial": UndialTrainer,
    "ce_u": CeUTrainer,
    "kl_min": KlMinTrainer,
    "npo": NpoTrainer,
    "simnpo": SimnpoTrainer,
    "dpo": DpoTrainer,
    "jensun": JensunTrainer,
    "wga": WgaTrainer,
    "rmu": RmuTrainer,
    "multi_delete": MultiDeleteTrainer,
    "esd": EsdTrainer,
    "task_vector": TaskVectorTrainer,
    "undo": UndoTrainer,
    "ssd": SsdTrainer,
    "fisher": FisherTrainer,
    "influence": InfluenceTrainer,
    "sfron": SfronTrainer,
    "msg": MsgTrainer,
    "ct": CtTrainer,
    "boundary_shrink": BoundaryShrinkTrainer,
    "boundary_expand": BoundaryExpandTrainer,
    "unsir": UnsirTrainer,
    "amun": AmunTrainer,
}
