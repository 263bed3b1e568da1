"""What tuning found for mini backbones: arguments in place of the first guesses of ``recipes.py``.

How each line was found, with the same budget for all: eight trials of `mubench.trainers.tuning`, the first guess
among them, on deletion seed 1 of the mini task in `ON` with base seed 0, run seed 0 and two retrained models,
maximising S with validation rows in place of test rows. Where none of the eight had an S above 0 the first guess
stays. One seed and eight trials are few: S of the best trial is optimistic, and a method that is not here has had no
trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mubench.hub_builders.tasks import Kind


class Tuned(NamedTuple):
    """What tuning found.

    Attributes:
        arguments: Arguments of the best trial, in place of those of the first.
        first: S of the first trial, on the rows and models of tuning.
        best: S of the best trial there.
    """

    arguments: Mapping[str, Any]
    first: float
    best: float


# fmt: off
# The mini task that each was tuned on.
ON: dict[tuple[Kind, str], str] = {
    ("audio_classification", "mini-wav2vec2"): "speech_commands",
    ("image_classification", "mini-resnet"): "cifar10",
    ("text_generation", "mini-llama"): "tofu",
    ("video_classification", "mini-videomae"): "ucf101",
}
TUNED: dict[tuple[Kind, str], dict[str, Tuned]] = {
    ("audio_classification", "mini-wav2vec2"): {
        "neg_grad": Tuned({"learning_rate": 0.00036, "num_train_epochs": 2}, 0.00, 0.43),
        "random_label": Tuned({"learning_rate": 0.00012, "num_train_epochs": 8}, 0.00, 0.30),
        "salun": Tuned({"learning_rate": 0.00062, "num_train_epochs": 4, "rho": 0.2}, 0.37, 0.54),
        "bad_teaching": Tuned({"learning_rate": 0.0017, "num_train_epochs": 2, "retain_share": 1.0}, 0.00, 0.33),
        "scrub": Tuned({}, 0.87, 0.87),
        "neg_grad_plus": Tuned({}, 0.68, 0.68),
        "delete": Tuned({"learning_rate": 0.00034, "num_train_epochs": 2}, 0.02, 0.36),
        "lotus": Tuned({"learning_rate": 0.002, "num_train_epochs": 1, "alpha": 1.1, "retain_share": 1.0}, 0.08, 0.48),
        "undial": Tuned({"learning_rate": 0.00017, "num_train_epochs": 2, "beta": 10.0, "alpha": 1.0}, 0.03, 0.37),
        "kl_min": Tuned({"learning_rate": 0.0011, "num_train_epochs": 16, "alpha": 27.0}, 0.33, 0.70),
        "npo": Tuned({}, 0.34, 0.34),
        "simnpo": Tuned({"learning_rate": 0.00011, "num_train_epochs": 8, "gamma": 6.7, "beta": 8.8}, 0.26, 0.31),
        "wga": Tuned({}, 0.34, 0.34),
        "amun": Tuned({"learning_rate": 0.002, "num_train_epochs": 1, "radius": 0.041}, 0.00, 0.41),
    },
    ("image_classification", "mini-resnet"): {
        "neg_grad": Tuned({"learning_rate": 0.00034, "num_train_epochs": 8}, 0.08, 0.27),
        "random_label": Tuned({"learning_rate": 0.0076, "num_train_epochs": 1}, 0.00, 0.74),
        "salun": Tuned({"learning_rate": 0.0098, "num_train_epochs": 1, "rho": 0.8}, 0.00, 0.70),
        "bad_teaching": Tuned({}, 0.00, 0.00),
        "scrub": Tuned({"learning_rate": 0.0037, "num_train_epochs": 4, "alpha": 0.079, "msteps": 2}, 0.47, 0.87),
        "neg_grad_plus": Tuned({"learning_rate": 0.00067, "num_train_epochs": 2, "alpha": 0.95}, 0.00, 0.48),
        "delete": Tuned({}, 0.00, 0.00),
        "lotus": Tuned({"learning_rate": 0.013, "num_train_epochs": 1, "alpha": 4.9, "retain_share": 1.0}, 0.00, 0.51),
        "undial": Tuned({}, 0.00, 0.00),
        "kl_min": Tuned({"learning_rate": 0.0011, "num_train_epochs": 16, "alpha": 27.0}, 0.00, 0.62),
        "npo": Tuned({}, 0.35, 0.35),
        "simnpo": Tuned({"learning_rate": 0.00019, "num_train_epochs": 16, "gamma": 8.4, "beta": 2.4}, 0.00, 0.29),
        "wga": Tuned({}, 0.34, 0.34),
        "amun": Tuned({"learning_rate": 0.0025, "num_train_epochs": 4, "radius": 0.84}, 0.00, 0.44),
    },
    ("text_generation", "mini-llama"): {
        "neg_grad": Tuned({"learning_rate": 0.00021, "num_train_epochs": 8}, 0.08, 0.53),
        "bad_teaching": Tuned({"learning_rate": 0.00068, "num_train_epochs": 1, "retain_share": 1.0}, 0.00, 0.03),
        "scrub": Tuned({"learning_rate": 0.0045, "num_train_epochs": 4, "alpha": 0.12, "msteps": 1}, 0.52, 0.65),
        "neg_grad_plus": Tuned({"learning_rate": 0.0014, "num_train_epochs": 1, "alpha": 0.98}, 0.00, 0.53),
        "delete": Tuned({}, 0.33, 0.33),
        "undial": Tuned({"learning_rate": 0.0014, "num_train_epochs": 8, "beta": 7.4, "alpha": 0.0}, 0.32, 0.53),
        "kl_min": Tuned({"learning_rate": 0.00026, "num_train_epochs": 8, "alpha": 10.0}, 0.08, 0.30),
        "npo": Tuned({"learning_rate": 0.00015, "num_train_epochs": 16, "beta": 0.026, "alpha": 6.5}, 0.08, 0.54),
        "simnpo": Tuned({"learning_rate": 0.0024, "num_train_epochs": 2, "gamma": 0.34, "beta": 2.9}, 0.00, 0.58),
        "jensun": Tuned({"learning_rate": 0.0016, "num_train_epochs": 16, "alpha": 6.5}, 0.00, 0.38),
        "wga": Tuned({"learning_rate": 0.00024, "num_train_epochs": 16, "beta": 0.47, "alpha": 0.92}, 0.00, 0.10),
    },
    ("video_classification", "mini-videomae"): {
        "neg_grad": Tuned({"learning_rate": 7.6e-05, "num_train_epochs": 16}, 0.03, 0.40),
        "random_label": Tuned({"learning_rate": 0.0063, "num_train_epochs": 4}, 0.50, 0.74),
        "salun": Tuned({"learning_rate": 0.0062, "num_train_epochs": 2, "rho": 0.5}, 0.28, 0.69),
        "bad_teaching": Tuned({}, 0.43, 0.43),
        "scrub": Tuned({"learning_rate": 0.0094, "num_train_epochs": 4, "alpha": 0.061, "msteps": 1}, 0.63, 0.75),
        "neg_grad_plus": Tuned({"learning_rate": 0.00047, "num_train_epochs": 2, "alpha": 0.9}, 0.00, 0.66),
        "delete": Tuned({}, 0.00, 0.00),
        "lotus": Tuned({"learning_rate": 0.00057, "num_train_epochs": 4, "alpha": 7.4, "retain_share": 0.3}, 0.18, 0.34),  # noqa: E501
        "undial": Tuned({"learning_rate": 0.0024, "num_train_epochs": 8, "beta": 4.8, "alpha": 1.0}, 0.00, 0.56),
        "kl_min": Tuned({"learning_rate": 0.0027, "num_train_epochs": 16, "alpha": 17.0}, 0.58, 0.70),
        "npo": Tuned({}, 0.83, 0.83),
        "simnpo": Tuned({"learning_rate": 0.00034, "num_train_epochs": 16, "gamma": 1.2, "beta": 1.3}, 0.49, 0.80),
        "wga": Tuned({}, 0.84, 0.84),
        "amun": Tuned({"learning_rate": 0.00071, "num_train_epochs": 4, "radius": 0.33}, 0.00, 0.60),
    },
}
# fmt: on
