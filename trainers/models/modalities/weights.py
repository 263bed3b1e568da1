"""Loading weights: published ones from the Hub or a package, our own from a model folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from mubench.hub_builders.tasks import BACKBONES
from mubench.hub_builders.utils.optional import check_package
from mubench.trainers.models.modalities.weight_packages import package_file

# Otherwise transformers sends the user's token to a converter for a repository without safetensors.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")


def load_published(auto: Any, backbone: str, **config: Any) -> PreTrainedModel:
    """Load the published weights of a backbone, in fp32 whatever they are stored in, to be trained.

    Files are safetensors where the repository has them, and otherwise those that ``torch.load(weights_only=True)``
    reads.

    Args:
        auto: The class to load, such as ``AutoModelForImageClassification``.
        backbone: Key of `mubench.hub_builders.tasks.BACKBONES`.
        **config: Entries of the config in place of the published ones; a head that does not fit them is initialised.
    """
    return auto.from_pretrained(
        **checkpoint_source(backbone), dtype=torch.float32, ignore_mismatched_sizes=True, **config
    )


def load_tokenizer(**source: Any) -> Any:
    """Load a tokenizer as ``AutoTokenizer.from_pretrained`` does.

    Raises:
        FileNotFoundError: If it is stored for sentencepiece, which is not installed.
    """
    try:
        return AutoTokenizer.from_pretrained(**source)
    except (ImportError, ValueError) as error:
        if "sentencepiece" in str(error).lower():
            check_package("sentencepiece")
        raise


def checkpoint_source(backbone: str) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that locate a backbone, on the Hub or in a package.

    Raises:
        FileNotFoundError: If it comes from a package that is not installed.
    """
    row = BACKBONES[backbone]
    if row.package is not None:
        return {"pretrained_model_name_or_path": package_file(row.package, "model/config.json").parent}
    return {"pretrained_model_name_or_path": str(row.hub_id), "revision": row.revision or "main"}


def load_complete(auto: Any, folder: Path | str) -> PreTrainedModel:
    """Load a model that was saved here.

    Raises:
        ValueError: If weights are missing or of another shape; transformers would initialise them silently.
    """
    options = {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    with _quiet():  # the error below replaces a table of missing weights
        model, info = auto.from_pretrained(folder, **options)
    fresh = sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])})
    if fresh:
        raise ValueError(f"expected all weights of the model that its config names, got none that fit {fresh[0]}")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings of transformers."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
