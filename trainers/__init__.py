"""Room 2: training, unlearning and judging. May import `hub_builders`.

A public name, such as ``ScrubTrainer``, is imported when it is read. ``make lists`` writes the names below.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mubench.trainers.methods import METHODS
    from mubench.trainers.methods.altpo import AltpoArguments, AltpoTrainer
    from mubench.trainers.methods.amun import AmunArguments, AmunTrainer
    from mubench.trainers.methods.bad_teaching import BadTeachingArguments, BadTeachingTrainer
    from mubench.trainers.methods.boundary_expand import BoundaryExpandArguments, BoundaryExpandTrainer
    from mubench.trainers.methods.boundary_shrink import BoundaryShrinkArguments, BoundaryShrinkTrainer
    from mubench.trainers.methods.ce_u import CeUArguments, CeUTrainer
    from mubench.trainers.methods.cf_k import CfKArguments, CfKTrainer
    from mubench.trainers.methods.ct import CtArguments, CtTrainer
    from mubench.trainers.methods.delete import DeleteArguments, DeleteTrainer
    from mubench.trainers.methods.dpo import DpoArguments, DpoTrainer
    from mubench.trainers.methods.esd import EsdArguments, EsdTrainer
    from mubench.trainers.methods.eu_k import EuKArguments, EuKTrainer
    from mubench.trainers.methods.finetune import FinetuneArguments, FinetuneTrainer
    from mubench.trainers.methods.fisher import FisherArguments, FisherTrainer
    from mubench.trainers.methods.influence import InfluenceArguments, InfluenceTrainer
    from mubench.trainers.methods.jensun import JensunArguments, JensunTrainer
    from mubench.trainers.methods.kl_min import KlMinArguments, KlMinTrainer
    from mubench.trainers.methods.l1_sparse import L1SparseArguments, L1SparseTrainer
    from mubench.trainers.methods.lotus import LotusArguments, LotusTrainer
    from mubench.trainers.methods.msg import MsgArguments, MsgTrainer
    from mubench.trainers.methods.multi_delete import MultiDeleteArguments, MultiDeleteTrainer
    from mubench.trainers.methods.neg_grad import NegGradArguments, NegGradTrainer
    from mubench.trainers.methods.neg_grad_plus import NegGradPlusArguments, NegGradPlusTrainer
    from mubench.trainers.methods.noise_ft import NoiseFtArguments, NoiseFtTrainer
    from mubench.trainers.methods.npo import NpoArguments, NpoTrainer
    from mubench.trainers.methods.pdu import PduArguments, PduTrainer
    from mubench.trainers.methods.quantile import QuantileArguments, QuantileTrainer
    from mubench.trainers.methods.random_label import RandomLabelArguments, RandomLabelTrainer
    from mubench.trainers.methods.retrain import RetrainArguments, RetrainTrainer
    from mubench.trainers.methods.retrain_at import RetrainAtArguments, RetrainAtTrainer
    from mubench.trainers.methods.retrain_keep50 import RetrainKeep50Trainer
    from mubench.trainers.methods.rmu import RmuArguments, RmuTrainer
    from mubench.trainers.methods.salun import SalunArguments, SalunTrainer
    from mubench.trainers.methods.satimp import SatimpArguments, SatimpTrainer
    from mubench.trainers.methods.scrub import ScrubArguments, ScrubTrainer
    from mubench.trainers.methods.sfron import SfronArguments, SfronTrainer
    from mubench.trainers.methods.simnpo import SimnpoArguments, SimnpoTrainer
    from mubench.trainers.methods.ssd import SsdArguments, SsdTrainer
    from mubench.trainers.methods.task_vector import TaskVectorArguments, TaskVectorTrainer
    from mubench.trainers.methods.undial import UndialArguments, UndialTrainer
    from mubench.trainers.methods.undo import UndoArguments, UndoTrainer
    from mubench.trainers.methods.unsir import UnsirArguments, UnsirTrainer
    from mubench.trainers.methods.wga import WgaArguments, WgaTrainer
    from mubench.trainers.runs.own_models import judge

__all__ = [
    "METHODS", "AltpoArguments", "AltpoTrainer", "AmunArguments", "AmunTrainer", "BadTeachingArguments",
    "BadTeachingTrainer", "BoundaryExpandArguments", "BoundaryExpandTrainer", "BoundaryShrinkArguments",
    "BoundaryShrinkTrainer", "CeUArguments", "CeUTrainer", "CfKArguments", "CfKTrainer", "CtArguments", "CtTrainer",
    "DeleteArguments", "DeleteTrainer", "DpoArguments", "DpoTrainer", "EsdArguments", "EsdTrainer", "EuKArguments",
    "EuKTrainer", "FinetuneArguments", "FinetuneTrainer", "FisherArguments", "FisherTrainer", "InfluenceArguments",
    "InfluenceTrainer", "JensunArguments", "JensunTrainer", "KlMinArguments", "KlMinTrainer", "L1SparseArguments",
    "L1SparseTrainer", "LotusArguments", "LotusTrainer", "MsgArguments", "MsgTrainer", "MultiDeleteArguments",
    "MultiDeleteTrainer", "NegGradArguments", "NegGradPlusArguments", "NegGradPlusTrainer", "NegGradTrainer",
    "NoiseFtArguments", "NoiseFtTrainer", "NpoArguments", "NpoTrainer", "PduArguments", "PduTrainer",
    "QuantileArguments", "QuantileTrainer", "RandomLabelArguments", "RandomLabelTrainer", "RetrainArguments",
    "RetrainAtArguments", "RetrainAtTrainer", "RetrainKeep50Trainer", "RetrainTrainer", "RmuArguments", "RmuTrainer",
    "SalunArguments", "SalunTrainer", "SatimpArguments", "SatimpTrainer", "ScrubArguments", "ScrubTrainer",
    "SfronArguments", "SfronTrainer", "SimnpoArguments", "SimnpoTrainer", "SsdArguments", "SsdTrainer",
    "TaskVectorArguments", "TaskVectorTrainer", "UndialArguments", "UndialTrainer", "UndoArguments", "UndoTrainer",
    "UnsirArguments", "UnsirTrainer", "WgaArguments", "WgaTrainer", "judge",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name.

    Raises:
        AttributeError: If there is none of this name.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "judge":
        return import_module("mubench.trainers.runs.own_models").judge
    methods = import_module("mubench.trainers.methods")
    if name == "METHODS":
        return methods.METHODS
    trainer = f"{name.removesuffix('Trainer').removesuffix('Arguments')}Trainer"
    (key,) = (key for key, name in methods.METHODS.names.items() if name == trainer)
    return getattr(import_module(f"mubench.trainers.methods.{key}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
