"""Modalities: how the rows of a kind of task become model input, and which model takes them."""

from __future__ import annotations

from mubench.hub_builders.modalities.audio import AudioModality
from mubench.hub_builders.modalities.base import Modality
from mubench.hub_builders.modalities.causal import CausalModality
from mubench.hub_builders.modalities.image import ImageModality
from mubench.hub_builders.modalities.image_pair import ImagePairModality
from mubench.hub_builders.modalities.seq2seq import Seq2SeqModality
from mubench.hub_builders.modalities.text import TextModality
from mubench.hub_builders.modalities.text_to_image import TextToImageModality
from mubench.hub_builders.modalities.video import VideoModality
from mubench.hub_builders.tasks import Kind

__all__ = ["MODALITIES", "Modality"]

MODALITIES: dict[Kind, Modality] = {
    "image_classification": ImageModality(),
    "text_classification": TextModality(),
    "summarization": Seq2SeqModality(),
    "text_generation": CausalModality(),
    "audio_classification": AudioModality(),
    "video_classification": VideoModality(),
    "image_pair_classification": ImagePairModality(),
    "text_to_image": TextToImageModality(),
}
