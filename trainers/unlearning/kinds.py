"""Groups of the kinds of task that methods are defined for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mubench.hub_builders.tasks import Kind

CLASSIFICATION: tuple[Kind, ...] = (
    "image_classification", "text_classification", "image_pair_classification", "audio_classification",
    "video_classification",
)  # fmt: skip
# Those with a continuous input; of image pairs with a statement, the images.
CONTINUOUS: tuple[Kind, ...] = (
    "image_classification", "image_pair_classification", "audio_classification", "video_classification",
)  # fmt: skip
TEXT_GENERATION: tuple[Kind, ...] = ("summarization", "text_generation")
TEXT_TO_IMAGE: tuple[Kind, ...] = ("text_to_image",)
ALL_KINDS: tuple[Kind, ...] = (*CLASSIFICATION, *TEXT_GENERATION, *TEXT_TO_IMAGE)
