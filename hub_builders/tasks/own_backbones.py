"""Custom backbones, beside those of the table: pretrained models from a folder or the Hub, by their key."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mubench.hub_builders.tasks.schema import Backbone, Recipe, Task, get_recipe
from mubench.hub_builders.tasks.table import BACKBONES

MINI_MILLIONS = 5  # mini backbones have at most 1 million parameters, published ones more
_MADE_HERE = re.compile("^(mini|small|tiny)-")
_MAX_NAME = 32


def is_of_family(family: str, *, architecture: str, model_type: str) -> bool:
    """Whether a type of transformers, such as ``mobilenet_v2``, is of a family of backbones, such as ``mobilenet``."""
    name = _MADE_HERE.sub("", family)
    prefix = architecture.partition("For")[0].lower()  # `ast` of ASTForAudioClassification
    return name in (model_type, re.split(r"[-_]", model_type)[0], prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBackbone(Backbone):
    """A custom pretrained model; ``hub_id`` is the folder of its files here, and ``family`` its type.

    Attributes:
        architecture: Name of the class that saved it, such as ``LlamaForCausalLM``.
        sha256: SHA-256 over its files; of an adopted model, over both its files and its start.
        repository: Its repository on the Hub; ``None`` for a folder.
        start: Of an adopted model, which another program trained on a task, the key of the backbone that retrained
            models start from; else ``None``.
        has_chat_template: Whether its tokenizer has a chat template.
    """

    architecture: str
    sha256: str
    repository: str | None = None
    start: str | None = None
    has_chat_template: bool = False


OWN: dict[str, OwnBackbone] = {}


def own_key(name: str, sha256: str) -> str:
    """Return the key of a model, part of names of folders and files: the last part of its name and of its SHA-256."""
    words = re.sub(r"[^a-z0-9.]+", "-", name.rstrip("/").rpartition("/")[2].lower()).strip("-.")
    return f"{words[:_MAX_NAME].strip('-.') or 'model'}-{sha256[:8]}"


def get_backbone(key: str) -> Backbone:
    """Return a backbone of the table, or a custom one that a command has named."""
    return OWN[key] if key in OWN else BACKBONES[key]


def closest_of(key: str, recipes: Mapping[str, Recipe]) -> str:
    """Return the backbone of the table whose recipe and default arguments hold for another: itself, if it is there.

    For a custom backbone, candidates of its family come first, then those of its size (mini or published), then the
    one with the closest number of parameters. Small backbones that are trained here on real rows are no candidates of
    the family of a published model. Recipes with a chat template count only if its tokenizer has one, or if there are
    no others.
    """
    if key not in OWN:
        return key
    own = OWN[key]
    if own.start is not None:
        return closest_of(own.start, recipes)
    return closest_to(
        recipes,
        architecture=own.architecture,
        model_type=own.family,
        millions=own.millions,
        has_chat_template=own.has_chat_template,
    )


def closest_to(
    recipes: Mapping[str, Recipe],
    *,
    architecture: str,
    model_type: str,
    millions: float | None,
    has_chat_template: bool,
) -> str:
    """Return the backbone of the table that is closest to a model of so many million parameters, see `closest_of`."""
    fitting = [key for key, recipe in recipes.items() if has_chat_template or recipe.template != "chat"]
    known, millions = fitting or list(recipes), millions or 1
    is_mini = millions < MINI_MILLIONS
    of_family = [
        one
        for one in known
        if is_of_family(BACKBONES[one].family, architecture=architecture, model_type=model_type)
        and (is_mini or BACKBONES[one].is_mini or BACKBONES[one].hub_id is not None)
    ]

    def distance(one: str) -> tuple[bool, bool, float]:
        row = BACKBONES[one]
        far = 0.0 if row.millions is None else abs(math.log(row.millions / millions))
        return row.is_mini != is_mini, not is_mini and row.hub_id is None, far

    return min(of_family or known, key=distance)


def defaults_family(key: str, recipes: Mapping[str, Recipe]) -> str:
    """Return the family whose default arguments hold for a backbone; for a custom one, that of the closest."""
    return BACKBONES[closest_of(key, recipes)].family


def is_of_any_family(key: str, families: Iterable[str]) -> bool:
    """Whether a backbone is of one of these families, mini ones not told apart."""
    if key not in OWN:
        return BACKBONES[key].family.removeprefix("mini-") in families
    own = OWN[key]
    if own.start is not None:
        return is_of_any_family(own.start, families)
    return any(is_of_family(one, architecture=own.architecture, model_type=own.family) for one in families)


def is_adopted(key: str) -> bool:
    """Whether a backbone is an adopted model, the only base model that it has."""
    return key in OWN and OWN[key].start is not None


def recipe_of(task: Task, key: str) -> Recipe:
    """Return the recipe of a task and backbone; for a custom backbone, that of the task's closest one.

    Raises:
        ValueError: If the task has no recipe for the backbone.
    """
    return get_recipe(task, closest_of(key, task.recipes))
