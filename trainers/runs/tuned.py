"""What tuning found for mini backbones: arguments in place of the first guesses of ``recipes.py``.

How each line was found: by `mubench.trainers.tuning`, on other draws of the rows to forget than the published one,
with base seed 0, run seed 0 and two retrained models, maximising S with validation rows in place of test rows. There
were six rounds.

In the first, on the first task and draw of ``ON`` alone (``worst_of`` 1), and the second, on what ``ON`` names, S was
the worst of them: eight trials a method (six for summaries, of twelve that some have had the first six), the default
of the time among them, in wider spaces in the first round (rates a tenth to ten times the default). Methods with 16
trials went through both, and start the second from what the first had found; where a second round had twelve, the
first eight count.

The third was of some methods that are made for most kinds of task, because those that forget had had too few steps and
nothing that held them back: S is the mean of deletion seeds 1, 2 and 3 of every task of the kind (``mean_of``). Its
trials start from settings that had come out well among 188 tried by hand on the same draws; 16 trials, 12 of pairs of
images, 8 of models that write (of `simnpo` of 8 the first 4). They lie in ``cards/trials``; those by hand do not, and
lines that are of these alone say so (``by_hand``). ``first`` is the first of them. Of texts `npo` and `wga` keep
defaults that had .19 each there, against .18 and .16.

The fourth, by hand on the same draws, was of `random_label` and `salun`, which had become methods for models that
write and draw, and of `eu_k`, `neg_grad_plus` and `simnpo` where they came out low: a setting that fell below .2 to
.35 on a draw was spared the others, and such a first one counts with what it had. `eu_k` starts anew all but the first
convolution of models that hear, and all but the embeddings of those that sum up.

The fifth was of some methods for images that had had no trial yet, on deletion seed 1 of both tasks (``mean_of`` 2),
and of `l1_sparse` on drawings, on three draws: eight trials each, with rates as wide as in the first round and up to
four times the epochs. They lie in ``cards/trials``, too. `finetune` of texts was tried by hand, on three draws of both
tasks.

The sixth was of methods that had had no trial: `ssd` and `cf_k` on all kinds but images and drawings, `influence` on
all but summaries and drawings, the boundary methods on images, `rmu`, `msg` and `boundary_expand` on texts. Each had
eight trials on deletion seed 1 of every task of the kind, `influence` and `boundary_expand` on images 16, all in
``cards/trials``. `scrub` and `neg_grad_plus` of texts were tried by hand on the same draws.

So methods have not had the same number of trials, those of the third and fourth round more than others; most methods
on drawings none, nor the boundary methods, `rmu` and `msg` on other kinds than these, `influence` on summaries, and
`unsir`, which forgets whole classes. `fisher` has had none either: on mini CIFAR-10 it takes .58 of retraining at any
setting, more than a trial may.

Where no trial had an S above 0 the default stays; where that leaves one class, on these rows or on the published ones,
the trial that came nearest instead, of several the one with the smallest rate. A few trials are few: S of the best is
optimistic. A method that is not here has had none, or its default was chosen anew since, as ``recipes.py`` says. Those
of images in the first two rounds were found on mini CIFAR-10 with another seed of its noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mubench.hub_builders.tasks import Kind


class Tuned(NamedTuple):
    """What tuning found.

    Attributes:
        arguments: Arguments of the best trial, in place of those of the first guess.
        first: S of the first trial, on the rows and models of tuning.
        best: S of the best trial there.
        worst_of: Of how many tasks or draws S is the worst, 0 if it is their mean.
        trials: How many trials there were, in the rounds that led to the arguments.
        mean_of: Of how many tasks and draws S is the mean, 0 if it is the worst.
        by_hand: Whether the settings were tried by hand, and are published nowhere.
    """

    arguments: Mapping[str, Any]
    first: float
    best: float
    worst_of: int
    trials: int
    mean_of: int = 0
    by_hand: bool = False


# fmt: off
# What each was tuned on: mini tasks, and in the first two rounds, which drawings had no part in, the draw's seed.
ON: dict[tuple[Kind, str], tuple[tuple[str, int], ...]] = {
    ("audio_classification", "mini-wav2vec2"): (("speech_commands", 1), ("speech_commands", 2)),
    ("image_classification", "mini-resnet"): (("cifar10", 1), ("cifar100", 1)),
    ("image_pair_classification", "mini-vilt"): (("nlvr2", 1), ("nlvr2", 2)),
    ("summarization", "mini-t5"): (("samsum", 1), ("samsum", 2)),
    ("text_classification", "mini-bert"): (("imdb", 1), ("ddi2013", 1)),
    ("text_generation", "mini-llama"): (("tofu", 1), ("celeb_profile", 1)),
    ("text_to_image", "mini-unet"): (("tiny_imagenet", 1),),
    ("video_classification", "mini-videomae"): (("ucf101", 1), ("ucf101", 2)),
}
TUNED: dict[tuple[Kind, str], dict[str, Tuned]] = {
    ("audio_classification", "mini-wav2vec2"): {
        "finetune": Tuned({"learning_rate": 0.0035, "num_train_epochs": 4}, 0.60, 0.61, 2, 8),
        "neg_grad": Tuned({"learning_rate": 0.00036, "num_train_epochs": 2}, 0.43, 0.43, 2, 16),
        "random_label": Tuned({"learning_rate": 0.002, "num_train_epochs": 1}, 0.00, 0.42, 0, 14, 3, True),
        "salun": Tuned({"learning_rate": 0.00062, "num_train_epochs": 4, "rho": 0.2}, 0.37, 0.54, 1, 8),
        "bad_teaching": Tuned({"learning_rate": 0.0017, "num_train_epochs": 2, "retain_share": 1.0}, 0.00, 0.33, 1, 8),
        "scrub": Tuned({}, 0.76, 0.76, 2, 16),
        "neg_grad_plus": Tuned({"learning_rate": 0.0027, "num_train_epochs": 4, "alpha": 0.98}, 0.59, 0.75, 0, 16, 3),
        "l1_sparse": Tuned({}, 0.52, 0.52, 2, 8),
        "eu_k": Tuned({"learning_rate": 0.005, "num_train_epochs": 8, "blocks": "wav2vec2.feature_extractor.conv_layers"}, 0.00, 0.76, 0, 4, 3, True),  # noqa: E501
        "noise_ft": Tuned({"learning_rate": 0.004, "num_train_epochs": 5, "sigma": 0.065}, 0.63, 0.70, 0, 16, 3),
        "delete": Tuned({"learning_rate": 0.00034, "num_train_epochs": 2}, 0.02, 0.36, 1, 8),
        "lotus": Tuned({"learning_rate": 0.002, "num_train_epochs": 1, "alpha": 1.1, "retain_share": 1.0}, 0.08, 0.48, 1, 8),  # noqa: E501
        "undial": Tuned({"learning_rate": 0.00017, "num_train_epochs": 2, "beta": 10.0, "alpha": 1.0}, 0.37, 0.37, 2, 16),  # noqa: E501
        "kl_min": Tuned({"learning_rate": 0.0011, "num_train_epochs": 16, "alpha": 27.0}, 0.62, 0.62, 2, 16),
        "npo": Tuned({"learning_rate": 0.0031, "num_train_epochs": 32, "alpha": 78.0, "beta": 0.77}, 0.58, 0.60, 0, 16, 3),  # noqa: E501
        "simnpo": Tuned({"learning_rate": 0.0015, "num_train_epochs": 32, "gamma": 0.1, "beta": 3.0}, 0.58, 0.58, 0, 16, 3),  # noqa: E501
        "wga": Tuned({"learning_rate": 0.0016, "num_train_epochs": 32, "alpha": 1.8, "beta": 19.0}, 0.56, 0.61, 0, 16, 3),  # noqa: E501
        "task_vector": Tuned({}, 0.42, 0.42, 2, 8),
        "undo": Tuned({"learning_rate": 0.0035, "num_train_epochs": 4, "alpha": 0.47, "first_rate": 0.0003}, 0.50, 0.60, 2, 8),  # noqa: E501
        "sfron": Tuned({"learning_rate": 0.084, "num_train_epochs": 2, "alpha": 12.0, "gamma": 2.1}, 0.09, 0.46, 2, 8),
        "amun": Tuned({"learning_rate": 0.002, "num_train_epochs": 1, "radius": 0.041}, 0.00, 0.41, 1, 8),
        "cf_k": Tuned({"learning_rate": 0.029, "num_train_epochs": 3}, 0.00, 0.20, 0, 8, 1),
        "influence": Tuned({}, 0.13, 0.13, 0, 8, 1),
        "ssd": Tuned({"alpha": 2.7, "dampening": 0.51}, 0.06, 0.09, 0, 8, 1),
    },
    ("image_classification", "mini-resnet"): {
        "finetune": Tuned({"learning_rate": 0.0097, "num_train_epochs": 3}, 0.00, 0.83, 2, 8),
        "neg_grad": Tuned({"learning_rate": 0.00034, "num_train_epochs": 8}, 0.27, 0.27, 2, 16),
        "random_label": Tuned({"learning_rate": 0.01, "num_train_epochs": 2, "redraw": True}, 0.54, 0.66, 0, 6, 6, True),  # noqa: E501
        "salun": Tuned({"learning_rate": 0.012, "num_train_epochs": 2, "rho": 0.6}, 0.62, 0.64, 0, 15, 6, True),
        "bad_teaching": Tuned({}, 0.00, 0.00, 1, 8),
        "scrub": Tuned({"learning_rate": 0.0044, "num_train_epochs": 4, "alpha": 0.49, "msteps": 2}, 0.78, 0.78, 2, 16),  # noqa: E501
        "neg_grad_plus": Tuned({"learning_rate": 0.012, "num_train_epochs": 3, "alpha": 0.995}, 0.84, 0.88, 0, 16, 6),
        "l1_sparse": Tuned({"learning_rate": 0.0089, "num_train_epochs": 2, "gamma": 0.0011}, 0.13, 0.70, 2, 8),
        "eu_k": Tuned({"learning_rate": 0.0096, "num_train_epochs": 5, "k": 2}, 0.88, 0.93, 0, 16, 6),
        "noise_ft": Tuned({"learning_rate": 0.01, "num_train_epochs": 4, "sigma": 0.083}, 0.84, 0.90, 2, 8),
        "delete": Tuned({}, 0.00, 0.00, 1, 8),
        "lotus": Tuned({"learning_rate": 0.013, "num_train_epochs": 1, "alpha": 4.9, "retain_share": 1.0}, 0.00, 0.51, 1, 8),  # noqa: E501
        "undial": Tuned({}, 0.00, 0.00, 2, 16),
        "kl_min": Tuned({"learning_rate": 0.0034, "num_train_epochs": 16, "alpha": 44.0}, 0.62, 0.66, 2, 16),
        "npo": Tuned({"learning_rate": 0.0021, "num_train_epochs": 8, "beta": 0.63, "alpha": 4.4}, 0.35, 0.69, 2, 16),
        "simnpo": Tuned({"learning_rate": 0.0049, "num_train_epochs": 32, "gamma": 0.78, "beta": 9.7}, 0.54, 0.66, 0, 16, 6),  # noqa: E501
        "wga": Tuned({"learning_rate": 0.0021, "num_train_epochs": 8, "beta": 0.37, "alpha": 4.4}, 0.34, 0.66, 2, 16),
        "task_vector": Tuned({"learning_rate": 0.00012, "num_train_epochs": 4, "alpha": 7.1}, 0.30, 0.35, 2, 8),
        "undo": Tuned({"learning_rate": 0.014, "num_train_epochs": 4, "alpha": 0.51, "first_rate": 0.00023}, 0.00, 0.78, 2, 8),  # noqa: E501
        "sfron": Tuned({"learning_rate": 0.015, "num_train_epochs": 2, "alpha": 240.0, "gamma": 0.33}, 0.00, 0.22, 2, 8),  # noqa: E501
        "amun": Tuned({"learning_rate": 0.0025, "num_train_epochs": 4, "radius": 0.84}, 0.00, 0.44, 1, 8),
        "ce_u": Tuned({}, 0.00, 0.00, 0, 8, 2),
        "cf_k": Tuned({"learning_rate": 0.028, "num_train_epochs": 1}, 0.00, 0.16, 0, 8, 2),
        "ct": Tuned({}, 0.96, 0.96, 0, 8, 2),
        "msg": Tuned({}, 0.65, 0.65, 0, 8, 2),
        "rmu": Tuned({"learning_rate": 0.006, "num_train_epochs": 23, "c": 3.6, "alpha": 65.0}, 0.03, 0.51, 0, 8, 2),
        "ssd": Tuned({"alpha": 2.7, "dampening": 0.51}, 0.00, 0.02, 0, 8, 2),
        "boundary_expand": Tuned({"learning_rate": 0.0014, "num_train_epochs": 1}, 0.00, 0.03, 0, 16, 2),
        "boundary_shrink": Tuned({"learning_rate": 0.0012, "num_train_epochs": 1, "epsilon": 0.024}, 0.00, 0.03, 0, 8, 2),  # noqa: E501
        "influence": Tuned({"alpha": 6.9, "damping": 0.15}, 0.08, 0.35, 0, 16, 2),
    },
    ("image_pair_classification", "mini-vilt"): {
        "random_label": Tuned({"learning_rate": 0.0011, "num_train_epochs": 1}, 0.54, 0.54, 0, 5, 3, True),
        "salun": Tuned({"learning_rate": 0.0011, "num_train_epochs": 1, "rho": 0.2}, 0.00, 0.46, 2, 8),
        "bad_teaching": Tuned({"learning_rate": 0.00089, "num_train_epochs": 2, "retain_share": 0.1}, 0.00, 0.14, 2, 8),  # noqa: E501
        "scrub": Tuned({"learning_rate": 0.0024, "num_train_epochs": 1, "alpha": 0.22, "msteps": 3}, 0.00, 0.30, 2, 8),
        "neg_grad_plus": Tuned({"learning_rate": 0.0001, "num_train_epochs": 2, "alpha": 0.95}, 0.05, 0.05, 0, 12, 3),
        "l1_sparse": Tuned({"learning_rate": 0.0004, "num_train_epochs": 2, "gamma": 0.0011}, 0.34, 0.75, 2, 8),
        "eu_k": Tuned({"learning_rate": 0.0012, "num_train_epochs": 2, "k": 1}, 0.00, 0.35, 0, 12, 3),
        "noise_ft": Tuned({"learning_rate": 0.002, "num_train_epochs": 4, "sigma": 0.1}, 0.42, 0.42, 0, 16, 3),
        "delete": Tuned({"learning_rate": 1e-05, "num_train_epochs": 4}, 0.00, 0.00, 2, 8),
        "lotus": Tuned({"learning_rate": 0.0012, "num_train_epochs": 4, "alpha": 2.6, "retain_share": 0.1}, 0.00, 0.25, 2, 8),  # noqa: E501
        "ce_u": Tuned({"learning_rate": 1e-05, "num_train_epochs": 4}, 0.00, 0.00, 2, 8),
        "kl_min": Tuned({"learning_rate": 5.3e-05, "num_train_epochs": 32, "alpha": 31.0}, 0.08, 0.28, 0, 12, 3),
        "npo": Tuned({"learning_rate": 5e-05, "num_train_epochs": 32, "alpha": 5.0, "beta": 5.0}, 0.30, 0.30, 0, 12, 3),  # noqa: E501
        "simnpo": Tuned({"learning_rate": 0.00012, "num_train_epochs": 32, "gamma": 0.2, "beta": 5.0, "per_device_train_batch_size": 64}, 0.32, 0.32, 0, 1, 3, True),  # noqa: E501
        "wga": Tuned({"learning_rate": 0.0001, "num_train_epochs": 32, "beta": 5.0, "alpha": 2.0, "per_device_train_batch_size": 64}, 0.00, 0.44, 0, 23, 3, True),  # noqa: E501
        "cf_k": Tuned({"learning_rate": 0.0034, "num_train_epochs": 1}, 0.00, 0.30, 0, 8, 1),
        "influence": Tuned({}, 0.00, 0.00, 0, 8, 1),
        "ssd": Tuned({"alpha": 8.6, "dampening": 0.27}, 0.06, 0.96, 0, 8, 1),
    },
    ("summarization", "mini-t5"): {
        "neg_grad": Tuned({"learning_rate": 0.0015, "num_train_epochs": 4}, 0.00, 0.07, 2, 6),
        "scrub": Tuned({"learning_rate": 0.02, "num_train_epochs": 4, "alpha": 0.3, "msteps": 2}, 0.27, 0.52, 0, 4, 3, True),  # noqa: E501
        "l1_sparse": Tuned({"learning_rate": 0.019, "num_train_epochs": 4, "gamma": 0.0018}, 0.55, 0.60, 2, 6),
        "noise_ft": Tuned({"learning_rate": 0.013, "num_train_epochs": 2, "sigma": 0.12}, 0.28, 0.45, 2, 6),
        "kl_min": Tuned({"learning_rate": 0.019, "num_train_epochs": 8, "alpha": 9.6}, 0.12, 0.29, 2, 6),
        "npo": Tuned({}, 0.52, 0.52, 2, 6),
        "wga": Tuned({"learning_rate": 0.015, "num_train_epochs": 16, "beta": 4.0, "alpha": 4.0}, 0.56, 0.56, 0, 8, 3),
        "task_vector": Tuned({"learning_rate": 0.00049, "num_train_epochs": 4, "alpha": 7.1}, 0.10, 0.12, 2, 6),
        "undo": Tuned({}, 0.51, 0.51, 2, 6),
        "finetune": Tuned({"learning_rate": 0.025, "num_train_epochs": 6}, 0.24, 0.35, 0, 6, 3, True),
        "simnpo": Tuned({"learning_rate": 0.022, "num_train_epochs": 8, "beta": 1.4, "gamma": 0.058}, 0.22, 0.34, 0, 8, 3),  # noqa: E501
        "random_label": Tuned({"learning_rate": 0.02, "num_train_epochs": 6}, 0.48, 0.52, 0, 2, 3, True),
        "salun": Tuned({"learning_rate": 0.02, "num_train_epochs": 6, "rho": 0.8}, 0.57, 0.57, 0, 1, 3, True),
        "neg_grad_plus": Tuned({"learning_rate": 0.025, "num_train_epochs": 3, "alpha": 0.999}, 0.34, 0.37, 0, 2, 3, True),  # noqa: E501
        "eu_k": Tuned({"learning_rate": 0.01, "num_train_epochs": 6, "blocks": "encoder.block"}, 0.31, 0.45, 0, 3, 3, True),  # noqa: E501
        "cf_k": Tuned({"learning_rate": 0.055, "num_train_epochs": 3}, 0.00, 0.34, 0, 8, 1),
        "ssd": Tuned({"alpha": 1.8, "dampening": 0.26}, 0.00, 0.46, 0, 8, 1),
    },
    ("text_classification", "mini-bert"): {
        "finetune": Tuned({"learning_rate": 0.003, "num_train_epochs": 4, "per_device_train_batch_size": 16}, 0.00, 0.30, 0, 13, 6, True),  # noqa: E501
        "neg_grad": Tuned({"learning_rate": 1e-05, "num_train_epochs": 4}, 0.00, 0.00, 2, 8),
        "random_label": Tuned({"learning_rate": 6e-05, "num_train_epochs": 3}, 0.00, 0.00, 2, 8),
        "salun": Tuned({}, 0.00, 0.00, 2, 8),
        "bad_teaching": Tuned({"learning_rate": 0.0011, "num_train_epochs": 1, "retain_share": 0.1}, 0.00, 0.11, 2, 8),
        "scrub": Tuned({"learning_rate": 0.003, "num_train_epochs": 3, "alpha": 0.1, "msteps": 1, "per_device_train_batch_size": 16}, 0.00, 0.35, 0, 7, 2, True),  # noqa: E501
        "neg_grad_plus": Tuned({"learning_rate": 0.004, "num_train_epochs": 2, "alpha": 0.9998, "per_device_train_batch_size": 16}, 0.00, 0.30, 0, 5, 2, True),  # noqa: E501
        "l1_sparse": Tuned({"learning_rate": 0.00041, "num_train_epochs": 2, "gamma": 0.0017}, 0.42, 0.74, 2, 8),
        "eu_k": Tuned({"learning_rate": 0.0018, "num_train_epochs": 4, "k": 1}, 0.48, 0.55, 2, 8),
        "delete": Tuned({"learning_rate": 1.3e-05, "num_train_epochs": 4}, 0.00, 0.00, 2, 8),
        "lotus": Tuned({"learning_rate": 0.002, "num_train_epochs": 3, "alpha": 5.5, "retain_share": 0.3}, 0.00, 0.06, 2, 8),  # noqa: E501
        "undial": Tuned({"learning_rate": 1.3e-05, "num_train_epochs": 4, "beta": 3.1, "alpha": 1.0}, 0.00, 0.00, 2, 8),  # noqa: E501
        "ce_u": Tuned({"learning_rate": 1.3e-05, "num_train_epochs": 4}, 0.00, 0.00, 2, 8),
        "kl_min": Tuned({"learning_rate": 1.9e-05, "num_train_epochs": 32, "alpha": 2.3}, 0.26, 0.30, 0, 16, 6),
        "npo": Tuned({}, 0.00, 0.00, 2, 8),
        "simnpo": Tuned({}, 0.00, 0.00, 2, 8),
        "wga": Tuned({}, 0.00, 0.00, 2, 8),
        "task_vector": Tuned({"learning_rate": 5.9e-05, "num_train_epochs": 4, "alpha": 7.2}, 0.00, 0.39, 2, 8),
        "sfron": Tuned({}, 0.00, 0.00, 2, 8),
        "undo": Tuned({"learning_rate": 0.0025, "num_train_epochs": 4, "alpha": 0.85, "first_rate": 3.5e-05}, 0.34, 0.48, 0, 16, 6),  # noqa: E501
        "boundary_expand": Tuned({}, 0.00, 0.00, 0, 8, 2),
        "cf_k": Tuned({"learning_rate": 0.0042, "num_train_epochs": 1}, 0.00, 0.47, 0, 8, 2),
        "influence": Tuned({}, 0.00, 0.00, 0, 8, 2),
        "msg": Tuned({}, 0.00, 0.00, 0, 8, 2),
        "rmu": Tuned({}, 0.00, 0.00, 0, 8, 2),
        "ssd": Tuned({"alpha": 7.1, "dampening": 0.3}, 0.56, 0.67, 0, 8, 2),
    },
    ("text_generation", "mini-llama"): {
        "neg_grad": Tuned({"learning_rate": 0.00021, "num_train_epochs": 8}, 0.08, 0.53, 1, 8),
        "bad_teaching": Tuned({"learning_rate": 0.00068, "num_train_epochs": 1, "retain_share": 1.0}, 0.00, 0.03, 1, 8),  # noqa: E501
        "scrub": Tuned({"learning_rate": 0.016, "num_train_epochs": 2, "alpha": 0.019, "msteps": 1}, 0.00, 0.60, 2, 16),  # noqa: E501
        "neg_grad_plus": Tuned({"learning_rate": 0.02, "num_train_epochs": 1, "alpha": 0.9995}, 0.47, 0.50, 0, 5, 6, True),  # noqa: E501
        "l1_sparse": Tuned({"learning_rate": 0.0024, "num_train_epochs": 4, "gamma": 0.0018}, 0.58, 0.71, 2, 8),
        "eu_k": Tuned({"learning_rate": 0.0094, "num_train_epochs": 2, "k": 2}, 0.65, 0.66, 0, 8, 6),
        "noise_ft": Tuned({"learning_rate": 0.0061, "num_train_epochs": 4, "sigma": 0.081}, 0.00, 0.62, 2, 8),
        "delete": Tuned({}, 0.33, 0.33, 1, 8),
        "undial": Tuned({"learning_rate": 0.0014, "num_train_epochs": 8, "beta": 7.4, "alpha": 0.0}, 0.32, 0.53, 1, 8),
        "kl_min": Tuned({"learning_rate": 0.021, "num_train_epochs": 32, "alpha": 9300.0}, 0.57, 0.58, 0, 8, 6),
        "npo": Tuned({"learning_rate": 0.021, "num_train_epochs": 32, "alpha": 18.0, "beta": 31.0}, 0.57, 0.65, 0, 8, 6),  # noqa: E501
        "simnpo": Tuned({"learning_rate": 0.021, "num_train_epochs": 32, "gamma": 0.1, "beta": 30.0}, 0.23, 0.65, 0, 29, 6, True),  # noqa: E501
        "jensun": Tuned({"learning_rate": 0.0016, "num_train_epochs": 16, "alpha": 6.5}, 0.00, 0.38, 1, 8),
        "wga": Tuned({"learning_rate": 0.00024, "num_train_epochs": 16, "beta": 0.47, "alpha": 0.92}, 0.00, 0.10, 1, 8),  # noqa: E501
        "undo": Tuned({"learning_rate": 0.02, "num_train_epochs": 3}, 0.58, 0.58, 0, 2, 6, True),
        "random_label": Tuned({"learning_rate": 0.02}, 0.12, 0.54, 0, 5, 6, True),
        "salun": Tuned({"learning_rate": 0.02, "rho": 0.8}, 0.51, 0.51, 0, 2, 6, True),
        "cf_k": Tuned({}, 0.00, 0.00, 0, 8, 2),
        "influence": Tuned({"alpha": 0.2, "damping": 0.012}, 0.00, 0.02, 0, 8, 2),
        "ssd": Tuned({"alpha": 1.5, "dampening": 0.12}, 0.01, 0.59, 0, 8, 2),
    },
    ("text_to_image", "mini-unet"): {
        "random_label": Tuned({"learning_rate": 0.006, "num_train_epochs": 16}, 0.11, 0.54, 0, 3, 3, True),
        "salun": Tuned({"learning_rate": 0.006, "num_train_epochs": 16, "rho": 0.8}, 0.73, 0.73, 0, 1, 3, True),
        "l1_sparse": Tuned({"learning_rate": 0.0025, "num_train_epochs": 6, "gamma": 0.00019}, 0.00, 0.51, 0, 8, 3),
    },
    ("video_classification", "mini-videomae"): {
        "neg_grad": Tuned({"learning_rate": 7.6e-05, "num_train_epochs": 16}, 0.03, 0.40, 1, 8),
        "random_label": Tuned({"learning_rate": 0.004, "num_train_epochs": 4}, 0.67, 0.73, 0, 6, 3, True),
        "salun": Tuned({"learning_rate": 0.004, "num_train_epochs": 4, "rho": 0.8}, 0.66, 0.66, 0, 3, 3, True),
        "bad_teaching": Tuned({}, 0.43, 0.43, 1, 8),
        "scrub": Tuned({"learning_rate": 0.011, "num_train_epochs": 4, "alpha": 0.38, "msteps": 2}, 0.00, 0.71, 2, 16),
        "neg_grad_plus": Tuned({"learning_rate": 0.0031, "num_train_epochs": 3, "alpha": 0.98}, 0.43, 0.88, 0, 16, 3),
        "l1_sparse": Tuned({}, 0.64, 0.64, 2, 8),
        "eu_k": Tuned({}, 0.62, 0.62, 2, 8),
        "noise_ft": Tuned({"learning_rate": 0.0035, "num_train_epochs": 4, "sigma": 0.29}, 0.33, 0.69, 2, 8),
        "delete": Tuned({}, 0.00, 0.00, 1, 8),
        "lotus": Tuned({"learning_rate": 0.00057, "num_train_epochs": 4, "alpha": 7.4, "retain_share": 0.3}, 0.18, 0.34, 1, 8),  # noqa: E501
        "undial": Tuned({"learning_rate": 0.0024, "num_train_epochs": 8, "beta": 4.8, "alpha": 1.0}, 0.00, 0.56, 1, 8),
        "kl_min": Tuned({"learning_rate": 0.00062, "num_train_epochs": 16, "alpha": 24.0}, 0.70, 0.76, 2, 16),
        "npo": Tuned({"learning_rate": 0.0027, "num_train_epochs": 32, "alpha": 27.0, "beta": 15.0}, 0.66, 0.71, 0, 16, 3),  # noqa: E501
        "simnpo": Tuned({"learning_rate": 0.0044, "num_train_epochs": 32, "gamma": 0.0057, "beta": 11.0}, 0.61, 0.71, 0, 16, 3),  # noqa: E501
        "wga": Tuned({"learning_rate": 0.0071, "num_train_epochs": 32, "alpha": 17.0, "beta": 7.9}, 0.68, 0.72, 0, 16, 3),  # noqa: E501
        "amun": Tuned({"learning_rate": 0.00071, "num_train_epochs": 4, "radius": 0.33}, 0.00, 0.60, 1, 8),
        "cf_k": Tuned({"learning_rate": 0.028, "num_train_epochs": 1}, 0.00, 0.63, 0, 8, 1),
        "ssd": Tuned({"alpha": 1.2, "dampening": 0.53}, 0.08, 0.31, 0, 8, 1),
        "influence": Tuned({"alpha": 2.0, "damping": 0.012}, 0.00, 0.82, 0, 8, 1),
    },
}
# fmt: on
