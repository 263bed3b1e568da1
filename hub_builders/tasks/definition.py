"""`Definition`: a task that a user's YAML file describes, as builds, runs and result rows carry it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mubench.hub_builders.tasks.schema import Kind, Recipe, Source, Task
from mubench.hub_builders.tasks.table import BACKBONES, TASKS, get_task
from mubench.hub_builders.utils.text import quote

# The columns of each kind, by type, and the task of the table whose recipes and reported metrics hold for the kind.
COLUMNS: dict[Kind, Mapping[str, Any]] = {
    "image_classification": {"image": "image", "label": "label"},
    "text_classification": {"text": "string", "label": "label"},
    "image_pair_classification": {"image_0": "image", "image_1": "image", "text": "string", "label": "label"},
    "audio_classification": {"audio": "audio", "label": "label"},
    "video_classification": {"video": "video", "label": "label"},
    "summarization": {"dialogue": "string", "summary": "string"},
    "text_generation": {"prompt": "string", "text": "string"},
    "text_to_image": {"image": "image", "caption": "string", "label": "label"},
}
# Those of text generation without prompts: documents, cut into rows.
PREFIX_FREE: Mapping[str, Any] = {"text": "string"}
MODELS: dict[Kind, str] = {
    "image_classification": "cifar10",
    "text_classification": "imdb",
    "image_pair_classification": "nlvr2",
    "audio_classification": "speech_commands",
    "video_classification": "ucf101",
    "summarization": "samsum",
    "text_generation": "celeb_profile",
    "text_to_image": "tiny_imagenet",
}
# Kinds whose rows training may change at random.
AUGMENTED: tuple[Kind, ...] = (
    "image_classification", "image_pair_classification", "audio_classification", "video_classification",
)  # fmt: skip
# Longest text of a mini backbone, in tokens, where that is not the task's.
MINI_LENGTHS: dict[Kind, int] = {"text_classification": 128, "summarization": 256}
MAX_PROMPT = 200  # characters of a system prompt, which every row carries
_RECIPE = TypeAdapter(Recipe)
KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
# Endings that are reserved for names of configs.
_TAKEN = re.compile(r".*_(ids|del\d+)")
ID_RULE = "sha256 of split, label and content, and a counter among equal rows"

Line = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def check_key(key: str) -> str:
    """Return the key of a custom task, which becomes part of paths, configs and names of repositories.

    Raises:
        ValueError: If it is not a valid key, or is that of a task of the table.
    """
    if not KEY.fullmatch(key) or _TAKEN.fullmatch(key):
        raise ValueError(
            "expected a key of 1 to 40 lower-case letters, digits and '_' that begins with a letter and does not end "
            f"in _ids or _del and digits, got {key!r}"
        )
    if key in TASKS:
        raise ValueError(f"expected a key that no task of the suite has, got {key!r}")
    return key


class Definition(BaseModel):
    """What makes a `Task` of a user's YAML file. Paths on the user's machine are left out.

    Attributes:
        file: SHA-256 of the YAML file.
        reader: SHA-256 of the Python file that read the rows; ``None`` without one.
        title: Display name.
        kind: Kind of task.
        prefix_free: Whether rows of text generation are texts without prompts.
        labels: Class names; empty without labels, and in the records of runs.
        group: Meaning of a group of rows; ``None`` without groups.
        source: Hub id or file name of the rows.
        is_hub: Whether ``source`` is a Hub id.
        revision: Commit or branch on the Hub; ``None`` is the default branch.
        licence: Licence of the rows.
        redistributable: Whether the rows may be pushed.
        recipes: Recipe by backbone; empty for those of the kind, and in the records of runs.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    file: Sha256
    reader: Sha256 | None = None
    title: Line
    kind: Kind
    prefix_free: bool = False
    labels: list[Line] = []
    group: Line | None = None
    source: Line
    is_hub: bool = False
    revision: Line | None = None
    licence: Line = "unknown"
    redistributable: bool = False
    recipes: dict[str, dict[str, Any]] = {}

    def record(self) -> dict[str, Any]:
        """Return what a run carries: all but class names and recipes, of which it has its own."""
        return {**self.model_dump(), "labels": [], "recipes": {}}


def kind_columns(kind: Kind, *, prefix_free: bool = False) -> Mapping[str, Any]:
    """Return the columns of a kind by type; ``prefix_free`` for text generation without prompts."""
    return PREFIX_FREE if prefix_free else COLUMNS[kind]


def kind_recipes(kind: Kind, *, prefix_free: bool = False) -> dict[str, Recipe]:
    """Return the recipes of a kind by backbone, mini ones first, which fit small data and one core.

    They are those of a task of the table, whose mini texts are short: mini backbones read longer ones here. Texts
    without prompts have no turns, so that none of theirs is in a chat template.
    """
    longer = MINI_LENGTHS.get(kind)
    found = {
        backbone: replace(recipe, max_length=longer) if longer and BACKBONES[backbone].is_mini else recipe
        for backbone, recipe in TASKS[MODELS[kind]].recipes.items()
    }
    if prefix_free:
        return {backbone: replace(recipe, template="none", system_prompt=None) for backbone, recipe in found.items()}
    return found


def read_recipes(
    kind: Kind, given: Mapping[str, Mapping[str, Any]], *, prefix_free: bool = False
) -> dict[str, Recipe]:
    """Return recipes in place of those of the kind; a backbone's fields that are not given are the kind's.

    Raises:
        ValueError: If the kind has no such backbone, or a recipe no such field or value, or augmentation of a kind
            without it, or a chat template for texts without prompts.
    """
    known, found = kind_recipes(kind, prefix_free=prefix_free), {}
    for backbone, fields in given.items():
        if backbone not in known:
            raise ValueError(f"expected backbones of {kind}, {', '.join(known)}, got {backbone!r}")
        if unknown := [name for name in fields if name not in Recipe.__dataclass_fields__]:
            known_fields = ", ".join(Recipe.__dataclass_fields__)
            raise ValueError(f"expected the fields {known_fields} of a recipe, got {quote(unknown[0])}")
        without_turns = {"system_prompt": None} if fields.get("template") == "none" else {}
        try:
            recipe = _RECIPE.validate_python({**asdict(known[backbone]), **without_turns, **fields})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = first["loc"][0]
            wanted = first["msg"].removeprefix("Input should be ")
            raise ValueError(f"expected {wanted} as {name} of {backbone}, got {quote(first['input'])}") from error
        if recipe.epochs < 1 or recipe.batch_size < 1 or not recipe.learning_rate > 0:
            raise ValueError(
                f"expected learning_rate above 0, epochs and batch_size of 1 or more of {backbone}, "
                f"got {quote(fields)}"
            )
        _check_template(kind, backbone, recipe)
        if recipe.augment and kind not in AUGMENTED:
            raise ValueError(f"expected augment false of {backbone}, since rows of {kind} are not augmented, got true")
        if prefix_free and recipe.template != "none":
            raise ValueError(
                f"expected template none of {backbone}, since texts without prompts have no turns, got "
                f"{recipe.template}"
            )
        found[backbone] = recipe
    return found or known


def _check_template(kind: Kind, backbone: str, recipe: Recipe) -> None:
    """Raise ``ValueError`` for a chat template of another kind, or a system prompt without one."""
    if recipe.template != "none" and kind != "text_generation":
        raise ValueError(f"expected template none of {backbone}, since {kind} has no turns, got {recipe.template}")
    system = recipe.system_prompt
    if system is None:
        return
    if recipe.template != "chat":
        raise ValueError(f"expected template chat beside system_prompt of {backbone}, got {recipe.template}")
    if not system.isprintable() or not 0 < len(system) <= MAX_PROMPT or system.startswith(("/", "~", "hf_")):
        raise ValueError(
            f"expected one line of at most {MAX_PROMPT} characters, no path, as system_prompt of {backbone}, got "
            f"{quote(system)}"
        )


@lru_cache(maxsize=256)
def _as_task(key: str, text: str) -> Task:
    found = Definition.model_validate_json(text)
    like = TASKS[MODELS[found.kind]]
    source = Source(
        hub_id=found.source if found.is_hub else None,
        revision=found.revision,
        files=(found.source,),
        id_rule=ID_RULE,
    )
    return Task(
        key=check_key(key),
        title=found.title,
        kind=found.kind,
        columns=kind_columns(found.kind, prefix_free=found.prefix_free),
        labels=tuple(found.labels),
        group=found.group,
        reported=like.reported,
        source=source,
        licence=found.licence,
        redistributable=found.redistributable,
        citation="",
        counts={},
        mini="",
        recipes=read_recipes(found.kind, found.recipes, prefix_free=found.prefix_free),
        classifiers=like.classifiers,
    )


def resolve_task(key: str, definition: Definition | Mapping[str, Any] | None) -> Task:
    """Return a task of the table or, with a definition, a custom one.

    Raises:
        ValueError: If there is no such task, or the definition is malformed.
    """
    if definition is None:
        return get_task(key)
    try:
        found = definition if isinstance(definition, Definition) else Definition.model_validate(definition)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        what = f"{first['msg']} at {quote('.'.join(map(str, first['loc'])))}"
        raise ValueError(f"expected the definition of {quote(key)}, got another ({what})") from error
    return _as_task(key, found.model_dump_json())
