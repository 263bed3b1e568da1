"""Every metric of the suite by name. A new one is one file with a function, and one entry here."""

from __future__ import annotations

import math

from mubench.trainers.metrics.accuracy import accuracy_on, gap, overall
from mubench.trainers.metrics.attacks import loss_mia
from mubench.trainers.metrics.case import Case, Metric, NoSignal, SplitOutputs
from mubench.trainers.metrics.divergence import activation, agreement, js, kl, to_retrained
from mubench.trainers.metrics.frechet import feature_rows, frechet_classifier
from mubench.trainers.metrics.memorisation import (
    auc_of,
    exact_memorisation,
    extraction_strength,
    min_k,
    min_k_plus_plus,
    moment_rows,
    on_forget,
    priv_leak,
    token_rows,
)
from mubench.trainers.metrics.rouge import generated_rows, rouge_on
from mubench.trainers.metrics.score import part_of
from mubench.trainers.metrics.truth_ratio import (
    forget_quality,
    log_forget_quality,
    model_utility,
    probability,
    ratio_rows,
    truth_ratio,
)

__all__ = ["METRICS", "Case", "Metric", "NoSignal", "SplitOutputs"]

_JUDGED = ("forget", "retain", "test")

# fmt: off
METRICS: dict[str, Metric] = {
    "score": Metric(
        compute=part_of("score"), title="S: 1 is retrained, 0 untouched or destroyed",
        better="higher", needs=_JUDGED, references=2, bases=1),
    "row": Metric(
        compute=part_of("row"), title="distance to retrained, row by row", better="lower",
        range=(-math.inf, math.inf), references=2, bases=1),
    "mean": Metric(
        compute=part_of("mean"), title="distance of the mean forget score to retrained",
        better="lower", range=(0, math.inf), references=2, bases=1),
    "membership": Metric(
        compute=part_of("membership"), title="advantage of the strongest attack over retrained",
        better="lower", range=(0, math.inf), needs=("forget", "test"), references=2, bases=1),
    "utility": Metric(
        compute=part_of("utility"), title="share of the retrained score lost on other rows",
        better="lower", range=(0, math.inf), needs=("retain", "test"), references=2, bases=1),
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
    "probability": Metric(
        compute=probability, title="mean probability of the true answers to forget rows, each by its length",
        better="near retrained", paper="arXiv:2401.06121", rows=token_rows),
    "truth_ratio": Metric(
        compute=truth_ratio, title="truth ratio on forget rows: 1 if wrong answers are as probable as the right one",
        better="near retrained", paper="arXiv:2401.06121", rows=ratio_rows),
    "model_utility": Metric(
        compute=model_utility, title="TOFU's model utility: probability, ROUGE-L and truth ratio on other rows",
        better="higher", needs=("retain", "ood"), paper="arXiv:2401.06121", rows=ratio_rows),
    "forget_quality": Metric(
        compute=forget_quality, title="p-value that truth ratios on forget rows are as retrained", better="higher",
        references=1, paper="arXiv:2401.06121", rows=ratio_rows),
    "forget_quality_log10": Metric(
        compute=log_forget_quality, title="decimal logarithm of forget quality", better="higher", range=(-300, 0),
        references=1, paper="arXiv:2401.06121", rows=ratio_rows),
    "rouge_l": Metric(
        compute=rouge_on("forget"), title="ROUGE-L recall of texts generated for forget rows, without stemming",
        better="near retrained", paper="arXiv:2401.06121", rows=generated_rows),
    "rouge_l_test": Metric(
        compute=rouge_on("test"), title="ROUGE-L recall of texts generated for test rows, without stemming",
        better="higher", needs=("test",), paper="arXiv:2401.06121", rows=generated_rows),
    "exact_memorisation": Metric(
        compute=on_forget(exact_memorisation), title="share of the tokens of forget rows predicted, end token apart",
        better="near retrained", paper="arXiv:2303.04129", rows=token_rows),
    "extraction_strength": Metric(
        compute=on_forget(extraction_strength), title="share of an answer at its end that follows from what precedes",
        better="near retrained", paper="arXiv:2012.07805", rows=token_rows),
    "min_k": Metric(
        compute=auc_of(min_k), title="AUC of min-k (20 % least probable tokens), forget against test rows",
        better="near retrained", needs=("forget", "test"), paper="arXiv:2310.16789", rows=token_rows),
    "min_k_plus_plus": Metric(
        compute=auc_of(min_k_plus_plus), title="AUC of min-k++ (20 %), forget against test rows",
        better="near retrained", needs=("forget", "test"), paper="arXiv:2404.02936", rows=moment_rows),
    "priv_leak": Metric(
        compute=priv_leak, title="PrivLeak: below 0 under-unlearned, above 0 over-unlearned (min-k, 40 %)",
        better="near retrained", unit="%", range=(-100, math.inf), needs=("forget", "test"), references=1,
        paper="arXiv:2407.06460", rows=token_rows),
    "frechet_classifier": Metric(
        compute=frechet_classifier, title="Fréchet distance of images of test captions in our classifier's features",
        better="lower", range=(0, math.inf), needs=("test",), rows=feature_rows),
}
# fmt: on
