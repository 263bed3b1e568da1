"""Every metric of the suite by name. A new one is one file with a function, and one entry here."""

from __future__ import annotations

import math

from mubench.trainers.inference.image_outputs import ImageOutputs
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics.accuracy import accuracy_on, gap, macro_f1, overall
from mubench.trainers.metrics.attacks import loss_mia
from mubench.trainers.metrics.case import Case, Description, Metric, NoSignal, NotDefined
from mubench.trainers.metrics.classical_attacks import (
    entropy_attack,
    low_false_positive_attack,
    scrub_attack,
    svc_attack,
    threshold_attack,
)
from mubench.trainers.metrics.divergence import activation, agreement, js, kl, to_retrained
from mubench.trainers.metrics.ensembles import EnsembleMetric
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.metrics.forgetting_score import neurips_forgetting, neurips_score
from mubench.trainers.metrics.frechet import feature_rows, frechet_classifier
from mubench.trainers.metrics.klom import klom_of
from mubench.trainers.metrics.leak import leak, sampled_rows
from mubench.trainers.metrics.likelihood_ratio import u_lira
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
from mubench.trainers.metrics.retraining_scores import (
    knowledge_gap,
    normalized_score,
    tug_of_war,
    tug_of_war_mia,
    zrf,
    zrf_uniform,
)
from mubench.trainers.metrics.rouge import generated_rows, rouge_on
from mubench.trainers.metrics.row_shifted import row_shifted
from mubench.trainers.metrics.score import attack_area, part_of
from mubench.trainers.metrics.truth_ratio import (
    forget_quality,
    log_forget_quality,
    model_utility,
    probability,
    ratio_rows,
    truth_ratio,
)

__all__ = [
    "DESCRIPTIONS", "ENSEMBLE_METRICS", "METRICS", "WEIGHT_METRICS", "Case", "Description", "EnsembleMetric", "Metric",
    "NoSignal", "NotDefined", "SplitOutputs",
]  # fmt: skip

_JUDGED = ("forget", "retain", "test")
# Outputs with a probability for every class.
_CLASSES = (ClassOutputs, ImageOutputs)
_TEXTS, _IMAGES = (TokenOutputs,), (ImageOutputs,)

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
    "svc_confidence": Metric(
        compute=svc_attack("confidence"), title="share of forget rows an SVC on confidence takes for unseen (SalUn)",
        better="near retrained", needs=_JUDGED, paper="arXiv:2310.12508"),
    "svc_entropy": Metric(
        compute=svc_attack("entropy"), title="share of forget rows an SVC on entropy takes for unseen (SalUn)",
        better="near retrained", needs=_JUDGED, paper="arXiv:2310.12508"),
    "svc_modified_entropy": Metric(
        compute=svc_attack("modified_entropy"),
        title="share of forget rows an SVC on modified entropy takes for unseen (SalUn)", better="near retrained",
        needs=_JUDGED, outputs=_CLASSES, paper="arXiv:2310.12508"),
    "svc_correctness": Metric(
        compute=svc_attack("correctness"), title="share of forget rows an SVC on correctness takes for unseen (SalUn)",
        better="near retrained", needs=_JUDGED, paper="arXiv:2310.12508"),
    "threshold_confidence": Metric(
        compute=threshold_attack("confidence", 1), title="balanced accuracy of a threshold on confidence per class",
        better="near retrained", needs=_JUDGED, paper="arXiv:2003.10595"),
    "threshold_modified_entropy": Metric(
        compute=threshold_attack("modified_entropy", -1),
        title="balanced accuracy of a threshold on modified entropy per class", better="near retrained",
        needs=_JUDGED, outputs=_CLASSES, paper="arXiv:2003.10595"),
    "scrub_mia": Metric(
        compute=scrub_attack, title="accuracy of logistic regression on the loss, forget against test rows (SCRUB)",
        better="near retrained", needs=("forget", "test"), paper="arXiv:2302.09880"),
    "entropy_mia": Metric(
        compute=entropy_attack, title="share of forget rows logistic regression on entropy takes for seen (SSD)",
        better="near retrained", needs=_JUDGED, paper="arXiv:2308.07707"),
    "tpr_at_1_fpr": Metric(
        compute=low_false_positive_attack, title="true positives of the loss attack at 1 % false positives",
        better="near retrained", needs=("forget", "test"), paper="arXiv:2112.03570"),
    "tow": Metric(
        compute=tug_of_war, title="ToW: product of closeness to retrained accuracy on three splits", better="higher",
        needs=_JUDGED, references=1, paper="arXiv:2406.01257"),
    "tow_mia": Metric(
        compute=tug_of_war_mia, title="ToW with svc_confidence in place of forget accuracy", better="higher",
        needs=_JUDGED, references=1, paper="arXiv:2406.01257"),
    "nomus": Metric(
        compute=normalized_score, title="NoMUS: mean of test accuracy and closeness of scrub_mia to chance",
        better="higher", needs=("forget", "test"), paper="arXiv:2311.02240"),
    "knowledge_gap": Metric(
        compute=knowledge_gap, title="(1 + retain accuracy - forget accuracy) / 2; one half is no gap",
        better="near retrained", needs=("forget", "retain"), paper="arXiv:2406.14796"),
    "zrf_uniform": Metric(
        compute=zrf_uniform, title="zero-retrain forgetting with a uniform teacher", better="near retrained",
        unit="nats", range=(1 - math.log(2), 1), outputs=_CLASSES, paper="arXiv:2205.08096"),
    "zrf": Metric(
        compute=zrf, title="zero-retrain forgetting with a randomly initialised model as the teacher",
        better="near retrained", unit="nats", range=(1 - math.log(2), 1), random=True, outputs=(ClassOutputs,),
        paper="arXiv:2205.08096"),
    "forget_macro_f1": Metric(
        compute=macro_f1("forget"), title="mean F1 of classes on forget rows", better="near retrained",
        outputs=_CLASSES),
    "test_macro_f1": Metric(
        compute=macro_f1("test"), title="mean F1 of classes on test rows", better="higher", needs=("test",),
        outputs=_CLASSES),
    "probability": Metric(
        compute=probability, title="mean probability of the true answers to forget rows, each by its length",
        better="near retrained", paper="arXiv:2401.06121", rows=token_rows, outputs=_TEXTS),
    "truth_ratio": Metric(
        compute=truth_ratio, title="truth ratio on forget rows: 1 if wrong answers are as probable as the right one",
        better="near retrained", paper="arXiv:2401.06121", rows=ratio_rows, outputs=_TEXTS),
    "model_utility": Metric(
        compute=model_utility, title="TOFU's model utility: probability, ROUGE-L and truth ratio on other rows",
        better="higher", needs=("retain", "ood"), paper="arXiv:2401.06121", rows=ratio_rows, outputs=_TEXTS),
    "forget_quality": Metric(
        compute=forget_quality, title="p-value that truth ratios on forget rows are as retrained", better="higher",
        references=1, paper="arXiv:2401.06121", rows=ratio_rows, outputs=_TEXTS),
    "forget_quality_log10": Metric(
        compute=log_forget_quality, title="decimal logarithm of forget quality", better="higher", range=(-300, 0),
        references=1, paper="arXiv:2401.06121", rows=ratio_rows, outputs=_TEXTS),
    "rouge_l": Metric(
        compute=rouge_on("forget"), title="ROUGE-L recall of texts generated for forget rows, without stemming",
        better="near retrained", paper="arXiv:2401.06121", rows=generated_rows, outputs=_TEXTS),
    "rouge_l_test": Metric(
        compute=rouge_on("test"), title="ROUGE-L recall of texts generated for test rows, without stemming",
        better="higher", needs=("test",), paper="arXiv:2401.06121", rows=generated_rows, outputs=_TEXTS),
    "leak_at_4": Metric(
        compute=leak, title="leak@4: expected best ROUGE-L recall of 4 texts sampled for a forget row",
        better="near retrained", paper="arXiv:2511.04934", rows=sampled_rows, outputs=_TEXTS),
    "exact_memorisation": Metric(
        compute=on_forget(exact_memorisation), title="share of the tokens of forget rows predicted, end token apart",
        better="near retrained", paper="arXiv:2303.04129", rows=token_rows, outputs=_TEXTS),
    "extraction_strength": Metric(
        compute=on_forget(extraction_strength), title="share of an answer at its end that follows from what precedes",
        better="near retrained", paper="arXiv:2012.07805", rows=token_rows, outputs=_TEXTS),
    "min_k": Metric(
        compute=auc_of(min_k), title="AUC of min-k (20 % least probable tokens), forget against test rows",
        better="near retrained", needs=("forget", "test"), paper="arXiv:2310.16789", rows=token_rows, outputs=_TEXTS),
    "min_k_plus_plus": Metric(
        compute=auc_of(min_k_plus_plus), title="AUC of min-k++ (20 %), forget against test rows",
        better="near retrained", needs=("forget", "test"), paper="arXiv:2404.02936", rows=moment_rows, outputs=_TEXTS),
    "priv_leak": Metric(
        compute=priv_leak, title="PrivLeak: below 0 under-unlearned, above 0 over-unlearned (min-k, 40 %)",
        better="near retrained", unit="%", range=(-100, math.inf), needs=("forget", "test"), references=1,
        paper="arXiv:2407.06460", rows=token_rows, outputs=_TEXTS),
    "frechet_classifier": Metric(
        compute=frechet_classifier, title="Fréchet distance of images of test captions in our classifier's features",
        better="lower", range=(0, math.inf), needs=("test",), rows=feature_rows, outputs=_IMAGES),
}

# Metrics over many runs of one method and many retrained models; `mubench ensemble` computes them.
ENSEMBLE_METRICS: dict[str, EnsembleMetric] = {
    "klom_forget": EnsembleMetric(
        compute=klom_of("forget"), title="KL of margins to retrained, mean over forget rows", better="lower",
        models=16, unit="nats", range=(0, math.inf), paper="arXiv:2410.23232"),
    "klom_forget_p95": EnsembleMetric(
        compute=klom_of("forget", 95), title="KL of margins to retrained, 95th percentile of forget rows",
        better="lower", models=16, unit="nats", range=(0, math.inf), paper="arXiv:2410.23232"),
    "klom_retain": EnsembleMetric(
        compute=klom_of("retain"), title="KL of margins to retrained, mean over retain rows", better="lower",
        models=16, unit="nats", range=(0, math.inf), needs=("retain",), paper="arXiv:2410.23232"),
    "klom_retain_p95": EnsembleMetric(
        compute=klom_of("retain", 95), title="KL of margins to retrained, 95th percentile of retain rows",
        better="lower", models=16, unit="nats", range=(0, math.inf), needs=("retain",), paper="arXiv:2410.23232"),
    "klom_test": EnsembleMetric(
        compute=klom_of("test"), title="KL of margins to retrained, mean over test rows", better="lower",
        models=16, unit="nats", range=(0, math.inf), needs=("test",), paper="arXiv:2410.23232"),
    "klom_test_p95": EnsembleMetric(
        compute=klom_of("test", 95), title="KL of margins to retrained, 95th percentile of test rows",
        better="lower", models=16, unit="nats", range=(0, math.inf), needs=("test",), paper="arXiv:2410.23232"),
    # A target, 8 shadow models of its own pool and 9 of the other: at least 16.
    "u_lira": EnsembleMetric(
        compute=u_lira, title="accuracy of the likelihood-ratio attack with unlearned shadow models",
        better="near retrained", models=9, paper="arXiv:2403.01218"),
    "neurips_forgetting": EnsembleMetric(
        compute=neurips_forgetting, title="F, forgetting quality of the NeurIPS 2023 competition", better="higher",
        models=16, paper="arXiv:2406.09073"),
    "neurips_score": EnsembleMetric(
        compute=neurips_score, title="F times the shares of retrained accuracy kept on retain and test rows",
        better="higher", models=16, range=(0, math.inf), needs=_JUDGED, paper="arXiv:2406.09073"),
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
