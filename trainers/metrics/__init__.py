"""Every metric of the suite by name. A new one is one file with a function, and one entry here."""

from __future__ import annotations

import math

from mubench.trainers.metrics.accuracy import accuracy_on, gap, overall
from mubench.trainers.metrics.attacks import loss_mia
from mubench.trainers.metrics.case import Case, Description, Metric, NoSignal
from mubench.trainers.metrics.divergence import activation, agreement, js, kl, to_retrained
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.metrics.score import attack_area, part_of, row_shifted

__all__ = ["DESCRIPTIONS", "METRICS", "WEIGHT_METRICS", "Case", "Description", "Metric", "NoSignal", "SplitOutputs"]

_JUDGED = ("forget", "retain", "test")

# fmt: off
METRICS: dict[str, Metric] = {
    "score": Metric(
        compute=part_of("score"), title="S: 1 is retrained, 0 untouched or destroyed",
        better="higher", needs=_JUDGED, references=2, bases=1, evidence=True),
    "row": Metric(
        compute=part_of("row"), title="distance to retrained, row by row", better="lower",
        range=(-math.inf, math.inf), references=2, bases=1, evidence=True),
    "mean": Metric(
        compute=part_of("mean"), title="distance of the mean forget score to retrained",
        better="lower", range=(0, math.inf), references=2, bases=1, evidence=True),
    "membership": Metric(
        compute=part_of("membership"), title="advantage of the strongest attack over retrained",
        better="lower", range=(0, math.inf), needs=("forget", "test"), references=2, bases=1, evidence=True),
    "utility": Metric(
        compute=part_of("utility"), title="share of the retrained score lost on other rows",
        better="lower", range=(0, math.inf), needs=("retain", "test"), references=2, bases=1, evidence=True),
    "row_shifted": Metric(
        compute=row_shifted, title="row on slightly moved inputs: memorised answers fail there", better="lower",
        range=(-math.inf, math.inf), needs=("shifted",), references=2, bases=1, evidence=True),
    "gap": Metric(
        compute=gap, title="mean distance of averages to retrained (can be cheated)", better="lower", needs=_JUDGED,
        references=1, paper="arXiv:2310.12508"),
    "overall": Metric(
        compute=overall, title="the original paper's score (aims at chance on forget rows)", better="higher",
        needs=("forget", "test"), bases=1, paper="arXiv:2406.14796"),
    "forget_score": Metric(
        compute=accuracy_on("forget"), title="task score on forget rows", better="near retrained"),
    "retain_score": Metric(
        compute=accuracy_on("retain"), title="task score on retain rows", better="higher", needs=("retain",)),
    "validation_score": Metric(
        compute=accuracy_on("validation"), title="task score on validation rows", better="higher",
        needs=("validation",)),
    "test_score": Metric(
        compute=accuracy_on("test"), title="task score on test rows", better="higher", needs=("test",)),
    "ood_score": Metric(
        compute=accuracy_on("ood"), title="task score on rows from elsewhere", better="higher", needs=("ood",)),
    "loss_mia": Metric(
        compute=loss_mia, title="AUC of low loss as a sign of membership, forget against test rows",
        better="near retrained", needs=("forget", "test"), paper="arXiv:1709.01604"),
    "rmia": Metric(
        compute=attack_area("rmia"), title="AUC of the offline attack RMIA, forget against test rows",
        better="near retrained", needs=("forget", "test"), references=1, evidence=True, paper="arXiv:2312.03262"),
    "logistic_mia": Metric(
        compute=attack_area("logistic"), title="AUC of a cross-validated logistic regression on all attacks",
        better="near retrained", needs=("forget", "test"), references=1, evidence=True),
    "kl_retrained": Metric(
        compute=to_retrained(kl), title="KL divergence of the model from retrained on forget rows",
        better="lower", unit="nats", range=(0, math.inf), references=1, paper="arXiv:1911.04933"),
    "js_retrained": Metric(
        compute=to_retrained(js), title="Jensen-Shannon divergence to retrained on forget rows", better="lower",
        unit="nats", range=(0, math.log(2)), references=1, paper="arXiv:2205.08096"),
    "activation": Metric(
        compute=to_retrained(activation), title="Euclidean distance of probabilities to retrained on forget rows",
        better="lower", range=(0, math.sqrt(2)), references=1, paper="arXiv:2012.13431"),
    "agreement": Metric(
        compute=to_retrained(agreement), title="share of forget rows with the retrained model's class",
        better="higher", references=1),
}
# Values that need a model's weights; the command `robustness` adds them to rows.
WEIGHT_METRICS: dict[str, Description] = {
    "relearn": Description(
        title="share of forgotten knowledge that comes back after 10 steps on the other half of the forget set",
        better="lower", range=(0, math.inf), references=2, bases=1),
    "ain": Description(
        title="steps to relearn the forget set, as a multiple of retrained", better="near retrained",
        range=(0, math.inf), references=2, bases=1, paper="arXiv:2201.05629"),
    "score_int8": Description(
        title="S with weights rounded to 8 bits", better="higher", needs=_JUDGED, references=2, bases=1,
        paper="arXiv:2410.16454"),
    "score_int4": Description(
        title="S with weights rounded to 4 bits", better="higher", needs=_JUDGED, references=2, bases=1,
        paper="arXiv:2410.16454"),
}
# fmt: on
DESCRIPTIONS: dict[str, Description] = {**METRICS, **WEIGHT_METRICS}
