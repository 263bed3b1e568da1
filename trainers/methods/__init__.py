"""The table of unlearning methods: command-line name, which is that of its file, and trainer.

Reading a row imports its file; listing the keys imports nothing. May import `tools` and all that `unlearning` may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mubench.hub_builders.utils.registry import Registry

if TYPE_CHECKING:
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

METHODS: Registry[type[UnlearningTrainer]] = Registry({
    "retrain": "RetrainTrainer",
    "retrain_keep50": "RetrainKeep50Trainer",
    "retrain_at": "RetrainAtTrainer",
    "finetune": "FinetuneTrainer",
    "neg_grad": "NegGradTrainer",
    "random_label": "RandomLabelTrainer",
    "salun": "SalunTrainer",
    "bad_teaching": "BadTeachingTrainer",
    "scrub": "ScrubTrainer",
    "neg_grad_plus": "NegGradPlusTrainer",
    "l1_sparse": "L1SparseTrainer",
    "cf_k": "CfKTrainer",
    "eu_k": "EuKTrainer",
    "noise_ft": "NoiseFtTrainer",
    "delete": "DeleteTrainer",
    "lotus": "LotusTrainer",
    "undial": "UndialTrainer",
    "ce_u": "CeUTrainer",
    "kl_min": "KlMinTrainer",
    "npo": "NpoTrainer",
    "simnpo": "SimnpoTrainer",
    "dpo": "DpoTrainer",
    "altpo": "AltpoTrainer",
    "jensun": "JensunTrainer",
    "wga": "WgaTrainer",
    "satimp": "SatimpTrainer",
    "pdu": "PduTrainer",
    "rmu": "RmuTrainer",
    "multi_delete": "MultiDeleteTrainer",
    "esd": "EsdTrainer",
    "task_vector": "TaskVectorTrainer",
    "undo": "UndoTrainer",
    "ssd": "SsdTrainer",
    "fisher": "FisherTrainer",
    "influence": "InfluenceTrainer",
    "sfron": "SfronTrainer",
    "msg": "MsgTrainer",
    "ct": "CtTrainer",
    "boundary_shrink": "BoundaryShrinkTrainer",
    "boundary_expand": "BoundaryExpandTrainer",
    "unsir": "UnsirTrainer",
    "amun": "AmunTrainer",
    "quantile": "QuantileTrainer",
}, package=__name__)  # fmt: skip
