"""Modalities: the models of a kind of task, and how its rows become their input."""

from __future__ import annotations

from mubench.hub_builders.tasks import Kind
from mubench.trainers.models.modalities.audio_classification import AudioModality
from mubench.trainers.models.modalities.image_classification import ImageModality
from mubench.trainers.models.modalities.image_pair_classification import ImagePairModality
from mubench.trainers.models.modalities.modality import Modality
from mubench.trainers.models.modalities.summarization import Seq2SeqModality
from mubench.trainers.models.modalities.text_classification import TextModality
from mubench.trainers.models.modalities.text_generation import CausalModality
from mubench.trainers.models.modalities.text_to_image import TextToImageModality
from mubench.trainers.models.modalities.video_classification import VideoModality

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
