"""Every method's own arguments: what is accepted at the ends of a range, and what is refused beyond them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from mubench.trainers.methods import METHODS
from mubench.trainers.unlearning.unlearning_trainer import UnlearningArguments
from tests.fixtures import toy

AT_LEAST_0, AT_LEAST_1, POSITIVE = ((0,), (-1,)), ((1,), (0,)), ((0.5,), (0.0, -1.0))
SHARE, SHARE_OR_0 = ((0.1, 1.0), (0.0, 1.1)), ((0.0, 1.0), (-0.1, 1.1))
# Accepted and refused values of every argument that has a range.
RANGES: dict[str, dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]]] = {
    "amun": {"steps": AT_LEAST_1, "radius": POSITIVE},
    "bad_teaching": {"retain_share": SHARE, "temperature": POSITIVE},
    "boundary_shrink": {"epsilon": SHARE},
    "ce_u": {"ignore_first_n": AT_LEAST_0},
    "cf_k": {"k": AT_LEAST_0},
    "altpo": {"beta": POSITIVE, "alpha": AT_LEAST_0},
    "dpo": {"beta": POSITIVE, "alpha": AT_LEAST_0, "answers": (("idk", "alt"), ("no",))},
    "esd": {"eta": AT_LEAST_0, "trained": (("xattn", "noxattn", "all"), ("attn",))},
    "fisher": {"alpha": AT_LEAST_0},
    "influence": {"samples": AT_LEAST_1, "damping": POSITIVE},
    "jensun": {"alpha": AT_LEAST_0, "refusal": (("no",), (" ",)),
               "prefix": (("answer", "refusal"), ("prompt",))},
    "kl_min": {"alpha": AT_LEAST_0},
    "l1_sparse": {"gamma": AT_LEAST_0, "no_l1_epochs": AT_LEAST_0},
    "lotus": {"retain_share": SHARE},
    "msg": {"share": SHARE_OR_0, "rest": SHARE_OR_0},
    "multi_delete": {"alpha": AT_LEAST_0, "beta": AT_LEAST_0, "gamma": AT_LEAST_0},
    "neg_grad_plus": {"alpha": SHARE_OR_0, "anchor": (("retain", "forget"), ("both",))},
    "noise_ft": {"sigma": AT_LEAST_0},
    "npo": {"beta": POSITIVE, "alpha": AT_LEAST_0, "retain_loss": (("nll", "kl"), ("ce",))},
    "retrain_at": {"percent": ((1, 100), (0, 101))},
    "rmu": {"trained": AT_LEAST_1, "c": POSITIVE, "alpha": AT_LEAST_0, "weights": (("", "mlp"), ("(",))},
    "salun": {"rho": SHARE_OR_0},
    "scrub": {"msteps": AT_LEAST_0, "temperature": POSITIVE},
    "sfron": {"period": AT_LEAST_1, "gamma": AT_LEAST_0, "power": AT_LEAST_0, "clip": POSITIVE},
    "simnpo": {"beta": POSITIVE, "gamma": AT_LEAST_0, "alpha": AT_LEAST_0},
    "ssd": {"alpha": AT_LEAST_0, "dampening": AT_LEAST_0},
    "undial": {"beta": AT_LEAST_0, "alpha": AT_LEAST_0},
    "undo": {
        "first": (("npo", "wga"), ("scrub",)), "first_rate": AT_LEAST_0, "first_epochs": POSITIVE, "alpha": SHARE_OR_0,
        "beta": AT_LEAST_0, "temperature": POSITIVE,
    },
    "unsir": {"noise_steps": AT_LEAST_1, "per_class": AT_LEAST_1},
    "satimp": {"beta1": AT_LEAST_0, "beta2": AT_LEAST_0, "gamma": AT_LEAST_0, "alpha": AT_LEAST_0},
    "pdu": {
        "gamma": AT_LEAST_0, "alpha": AT_LEAST_0, "epsilon": AT_LEAST_0, "dual_rate": AT_LEAST_0,
        "dual_warmup_epochs": AT_LEAST_0,
    },
    "wga": {"beta": AT_LEAST_0, "gamma": AT_LEAST_0, "alpha": AT_LEAST_0},
}  # fmt: skip


@pytest.mark.parametrize(("method", "name"), [(method, name) for method, names in RANGES.items() for name in names])
def test_arguments_are_accepted_up_to_the_ends_of_their_range_and_refused_beyond(
    method: str, name: str, tmp_path: Path
) -> None:
    accepted, refused = RANGES[method][name]
    for value in accepted:
        assert getattr(METHODS[method].arguments(**toy.settings(tmp_path, **{name: value})), name) == value
    for value in refused:
        with pytest.raises(ValueError, match=rf"(?=.*\b{name}\b).*must .*got.*{re.escape(str(value))}"):
            METHODS[method].arguments(**toy.settings(tmp_path, **{name: value}))


@pytest.mark.parametrize("method", METHODS)
def test_every_argument_of_a_method_has_a_help_text(method: str) -> None:
    general = {field.name for field in dataclasses.fields(UnlearningArguments)}
    own = [field for field in dataclasses.fields(METHODS[method].arguments) if field.name not in general]
    assert all(field.metadata["help"] for field in own)
