"""Names of repositories, configs and folders as pure functions; no other module composes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Suffix of repository names by deletion family; `deletion.families` describes the families.
FAMILIES: dict[str, str] = {
    "canonical": "",
    "group": "-group",
    "paper": "-paper",
    "custom": "-custom",
    "memorised_low": "-memorised-low",
    "memorised_middle": "-memorised-middle",
    "memorised_high": "-memorised-high",
}
# Forget sets by memorisation, from that of the negative control on; `trainers memorised` lists them.
MEMORISED = ("memorised_low", "memorised_middle", "memorised_high")
# Families whose one forget set is a list of ids.
LISTED = ("custom", *MEMORISED)
# Options that a build of a family requires.
NEEDED: dict[str, dict[str, str]] = {"paper": {"tier": "full"}, **{key: {"forget_ids": "FILE"} for key in LISTED}}
RATIOS: tuple[int, ...] = tuple(range(1, 11))
# A forget set that is a list may have any size.
CUSTOM_RATIOS: tuple[int, ...] = tuple(range(1, 100))
DATASET = "mu-bench"


def check_family(family: str) -> str:
    """Return the name of a deletion family, or raise ``ValueError`` if it is unknown."""
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {family!r}")
    return family


def check_ratio(ratio: int | float | str, family: str = "canonical") -> int:
    """Return a deletion ratio as an integer percentage.

    Raises:
        ValueError: If it is not a whole number from 1 to 10, or to 99 in the families of ``LISTED``.
    """
    known = CUSTOM_RATIOS if check_family(family) in LISTED else RATIOS
    text = str(ratio).strip()
    if text not in map(str, known):
        raise ValueError(f"ratio must be a whole percentage from {known[0]} to {known[-1]}, got {ratio!r}")
    return int(text)


def check_seed(name: str, seed: int) -> int:
    """Return a seed if random generators accept it, else raise ``ValueError`` with its option name."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"{name} must be a whole number from 0 to {2**32 - 1}, got {seed}")
    return seed


def dataset_folder(family: str = "canonical", deletion_seed: int = 0) -> str:
    """Name the local dataset folder of a deletion family."""
    return f"{DATASET}{FAMILIES[check_family(family)]}{_seed_suffix(deletion_seed)}"


def deletion_seed_of(folder: str, family: str = "canonical") -> int:
    """Return the deletion seed in the name of a dataset folder, by default 0."""
    head, _, number = folder.rpartition("-d")
    return int(number) if head == dataset_folder(family) and number.isdecimal() else 0


def is_dataset_folder(folder: str) -> bool:
    """Return whether a name is one that ``build`` gives to folders."""
    return any(folder == dataset_folder(name, deletion_seed_of(folder, name)) for name in FAMILIES)


def family_location(data: str, family: str, deletion_seed: int) -> str:
    """Return the location of a deletion family and seed: beside a folder that has a name of ``build``, else ``data``.

    ``mu-bench`` stands for the folder of any family.
    """
    head, slash, name = data.rpartition("/")
    if name == DATASET and not deletion_seed:
        return data
    built = name in (DATASET, dataset_folder(family, deletion_seed_of(name, family)))
    return f"{head}{slash}{dataset_folder(family, deletion_seed)}" if built else data


def config_name(task: str, ratio: int | None = None, family: str = "canonical") -> str:
    """Name a dataset config, such as ``cifar10`` or ``cifar10_del5``."""
    return task if ratio is None else f"{task}_del{check_ratio(ratio, family)}"


def board_name(task: str, ratio: int, backbone: str, family: str = "canonical") -> str:
    """Name a board of the Hub, such as ``cifar10_del5_resnet``: a table of one config and backbone."""
    return f"{config_name(task, ratio, family)}_{backbone}"


def ids_config(task: str) -> str:
    """Name the config with the ids and ranks of a task whose rows may not be published."""
    return f"{task}_ids"


def check_repository(repository: str, tier: str, *, last: bool) -> str:
    """Return the name of a repository if it states the tier of its rows, else raise ``ValueError``.

    Args:
        repository: ``namespace/name``.
        tier: Tier of the rows; the full tier needs no word.
        last: Whether the name must end in the tier (datasets) or may have it as any of its words (models).
    """
    namespace, _, name = repository.partition("/")
    if not namespace or not name or "/" in name:
        raise ValueError(f"expected a repository like namespace/name, got {repository!r}")
    words = name.split("-")[-1:] if last else name.split("-")
    if tier != "full" and tier not in words:
        how = f"ends in -{tier}" if last else f"contains -{tier}-"
        raise ValueError(f"expected a repository whose name {how}, as it holds tier {tier}, got {repository}")
    return repository


def published_dataset(family: str, deletion_seed: int, tier: str) -> str:
    """Name a published dataset repository, such as ``mu-bench`` or ``mu-bench-mini``: it ends in its tier."""
    scale = {"full": "", "custom": "-tasks-custom"}.get(tier, f"-{tier}")  # -custom alone is a family
    return f"{dataset_folder(family, deletion_seed)}{scale}"


def base_model(
    task: str,
    tier: str,
    backbone: str,
    *,
    family: str = "canonical",
    base_seed: int = 0,
    eval_seed: int = 0,
    arguments: Mapping[str, Any] | None = None,
) -> str:
    """Name a base model's folder, such as ``cifar10-mini-resnet-s1``; another evaluation seed adds ``-e1``.

    Arguments add a hash after the backbone.
    """
    scale = "" if tier == "full" else f"-{tier}"
    seed = f"-s{base_seed}" if base_seed else ""
    evaluated = f"-e{eval_seed}" if eval_seed else ""
    return f"{task}{scale}{FAMILIES[check_family(family)]}-{backbone}{_arguments_suffix(arguments)}{seed}{evaluated}"


def unlearned_model(
    base: str,
    ratio: int,
    method: str,
    seed: int,
    *,
    family: str = "canonical",
    deletion_seed: int = 0,
    changed_arguments: Mapping[str, Any] | None = None,
) -> str:
    """Name an unlearned model's folder after its base, such as ``cifar10-mini-resnet-del5-scrub-s0``.

    Another deletion seed adds ``-d1`` after the ratio.
    """
    deleted = f"del{check_ratio(ratio, family)}{_seed_suffix(deletion_seed)}"
    return f"{base}-{deleted}-{method.replace('_', '-')}{_arguments_suffix(changed_arguments)}-s{seed}"


def _arguments_suffix(arguments: Mapping[str, Any] | None) -> str:
    return f"-{fingerprint(arguments)[:6]}" if arguments else ""


def _seed_suffix(deletion_seed: int) -> str:
    return f"-d{deletion_seed}" if deletion_seed else ""


def fingerprint(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a config as canonical JSON; equal configs have equal fingerprints."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
