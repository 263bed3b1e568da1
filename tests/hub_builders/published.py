"""The published backbones as their authors describe them: what their ``config.json`` says, and how large they are.

Nothing here comes from our own code or is read off a model that it made. Sizes are those of the paper or of the
authors' repository, exact where there is an exact one (torchvision's documentation, for models with 1,000 classes).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published backbone.

    Attributes:
        kind: ``model_type`` of its config.
        architecture: Class that its weights were saved from.
        counted: Class that the published size is about; ``None`` is the same one.
        millions: That size, in million parameters.
        within: How far off it may be, as a share: authors round.
        without: Part of a parameter's name that the authors do not count.
        config: What its config says; sizes all, defaults of the class only where they matter.
    """

    kind: str
    architecture: str
    counted: str | None = None
    millions: float
    within: float = 0.01
    without: str | None = None
    config: dict[str, Any] = field(default_factory=dict)


EXACT = 1e-6
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
BERT = {"vocab_size": 30522, "max_position_embeddings": 512, "type_vocab_size": 2}
ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
ROBERTA |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
CLASSES = {"num_labels": 1000}
PATCHES = {"image_size": 224, "patch_size": 16, "num_channels": 3, "qkv_bias": True}
RESNET = {"embedding_size": 64, "downsample_in_first_stage": False, **CLASSES}
BASIC = {**RESNET, "hidden_sizes": [64, 128, 256, 512], "layer_type": "basic"}
BOTTLENECK = {**RESNET, "hidden_sizes": [256, 512, 1024, 2048], "layer_type": "bottleneck"}
SWIN = {"image_size": 224, "patch_size": 4, "window_size": 7, "mlp_ratio": 4.0, "qkv_bias": True, **CLASSES}
CONVNEXT = {"depths": [3, 3, 27, 3], "hidden_sizes": [128, 256, 512, 1024], "patch_size": 4, **CLASSES}
EAR = {
    "conv_dim": [512] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16,
}  # fmt: skip
# The large models norm every layer of the ear, the base models the first one; Wav2Vec2 large is of the base kind.
EAR_BASE = {**EAR, "feat_extract_norm": "group", "conv_bias": False, "do_stable_layer_norm": False}
EAR_LARGE = {**EAR, "feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}
WHISPER = {"num_mel_bins": 80, "vocab_size": 51865, "max_source_positions": 1500, "max_target_positions": 448}
VIDEO = {**PATCHES, "num_frames": 16, "tubelet_size": 2, "use_mean_pooling": True}
T5 = {"d_kv": 64, "vocab_size": 32128, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
T5 |= {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1}


def _whisper(width: int, layers: int, heads: int) -> dict[str, Any]:
    side = {"layers": layers, "attention_heads": heads, "ffn_dim": 4 * width}
    both = {f"{name}_{entry}": value for name in ("encoder", "decoder") for entry, value in side.items()}
    return {**WHISPER, "d_model": width, **both}


def _t5(width: int, inner: int, layers: int, heads: int) -> dict[str, Any]:
    return {**T5, "d_model": width, "d_ff": inner, "num_layers": layers, "num_heads": heads}


# fmt: off
PUBLISHED: dict[str, Published] = {
    "resnet-18": Published(
        kind="resnet", architecture="ResNetForImageClassification", millions=11.689512, within=EXACT,
        config={**BASIC, "depths": [2, 2, 2, 2]}),
    "resnet-34": Published(
        kind="resnet", architecture="ResNetForImageClassification", millions=21.797672, within=EXACT,
        config={**BASIC, "depths": [3, 4, 6, 3]}),
    "resnet-50": Published(
        kind="resnet", architecture="ResNetForImageClassification", millions=25.557032, within=EXACT,
        config={**BOTTLENECK, "depths": [3, 4, 6, 3]}),
    "swin-tiny": Published(
        kind="swin", architecture="SwinForImageClassification", millions=28.288354, within=EXACT,
        config={**SWIN, "embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24]}),
    "swin-base": Published(
        kind="swin", architecture="SwinForImageClassification", millions=87.768224, within=EXACT,
        config={**SWIN, "embed_dim": 128, "depths": [2, 2, 18, 2], "num_heads": [4, 8, 16, 32]}),
    "mobilenet-v2": Published(
        kind="mobilenet_v2", architecture="MobileNetV2ForImageClassification", millions=3.504872, within=EXACT,
        config={"depth_multiplier": 1.0, "image_size": 224, "tf_padding": True, **CLASSES}),
    "convnext-base": Published(
        kind="convnext", architecture="ConvNextForImageClassification", millions=88.591464, within=EXACT,
        config=CONVNEXT),
    # As trained, it tells 21,841 classes apart; the paper gives the size with 1,000.
    "convnext-base-22k": Published(
        kind="convnext", architecture="ConvNextForImageClassification", millions=88.591464, within=EXACT,
        config=CONVNEXT),
    # The sizes with a head of 1,000 classes; as published, they have a pooler in its place.
    "vit-base": Published(
        kind="vit", architecture="ViTModel", counted="ViTForImageClassification", millions=86.567656, within=EXACT,
        config={**BASE, **PATCHES, **CLASSES, "layer_norm_eps": 1e-12}),
    "vit-large": Published(
        kind="vit", architecture="ViTModel", counted="ViTForImageClassification", millions=304.326632, within=EXACT,
        config={**LARGE, **PATCHES, **CLASSES, "layer_norm_eps": 1e-12}),
    # Table 6 of the paper counts what looks at pictures and words, not the table of words.
    "vilt-b32": Published(
        kind="vilt", architecture="ViltForImagesAndTextClassification", counted="ViltModel", millions=87.4,
        without="word_embeddings",
        config={**BASE, **PATCHES, "image_size": 384, "patch_size": 32, "vocab_size": 30522, "num_images": 2,
                "max_position_embeddings": 40, "modality_type_vocab_size": 3, "type_vocab_size": 2}),
    "bert-base": Published(
        kind="bert", architecture="BertForMaskedLM", counted="BertModel", millions=110, config={**BASE, **BERT}),
    "bert-large": Published(
        kind="bert", architecture="BertForMaskedLM", counted="BertModel", millions=340, within=0.02,
        config={**LARGE, **BERT}),
    "roberta-base": Published(
        kind="roberta", architecture="RobertaForMaskedLM", millions=125, config={**BASE, **ROBERTA}),
    "roberta-large": Published(
        kind="roberta", architecture="RobertaForMaskedLM", millions=355, config={**LARGE, **ROBERTA}),
    "distilbert-base": Published(
        kind="distilbert", architecture="DistilBertForMaskedLM", counted="DistilBertModel", millions=66,
        config={"dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072, "vocab_size": 30522,
                "max_position_embeddings": 512}),
    "electra-base": Published(
        kind="electra", architecture="ElectraForPreTraining", millions=110,
        config={**BASE, **BERT, "embedding_size": 768}),
    # "86M backbone parameters ... 98M parameters in the embedding layer"
    "deberta-base": Published(
        kind="deberta-v2", architecture="DebertaV2ForMaskedLM", counted="DebertaV2Model", millions=184,
        config={**BASE, "vocab_size": 128100, "max_position_embeddings": 512, "type_vocab_size": 0,
                "relative_attention": True, "position_buckets": 256, "norm_rel_ebd": "layer_norm",
                "share_att_key": True, "pos_att_type": "p2c|c2p", "position_biased_input": False,
                "max_relative_positions": -1, "pooler_hidden_size": 768, "pooler_dropout": 0}),
    "albert-base": Published(
        kind="albert", architecture="AlbertForMaskedLM", counted="AlbertModel", millions=12, within=0.04,
        config={**BASE, "vocab_size": 30000, "embedding_size": 128, "num_hidden_groups": 1, "inner_group_num": 1,
                "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu_new"}),
    "minilm": Published(
        kind="bert", architecture="BertModel", millions=22.7,
        config={**BERT, "hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12,
                "intermediate_size": 1536}),
    # BERT with the cased vocabulary.
    "biobert": Published(
        kind="bert", architecture="BertModel", millions=110, within=0.02,
        config={**BASE, **BERT, "vocab_size": 28996}),
    "pubmedbert-abstract": Published(
        kind="bert", architecture="BertForMaskedLM", counted="BertModel", millions=110, config={**BASE, **BERT}),
    "pubmedbert-fulltext": Published(
        kind="bert", architecture="BertForMaskedLM", counted="BertModel", millions=110, config={**BASE, **BERT}),
    "wav2vec2-base": Published(
        kind="wav2vec2", architecture="Wav2Vec2ForPreTraining", millions=95, config={**BASE, **EAR_BASE}),
    "wav2vec2-large": Published(
        kind="wav2vec2", architecture="Wav2Vec2ForPreTraining", millions=317, config={**LARGE, **EAR_BASE}),
    "hubert-base": Published(
        kind="hubert", architecture="HubertModel", millions=95, config={**BASE, **EAR_BASE}),
    "hubert-large": Published(
        kind="hubert", architecture="HubertModel", millions=317, config={**LARGE, **EAR_LARGE}),
    "hubert-xlarge": Published(
        kind="hubert", architecture="HubertModel", millions=964,
        config={**EAR_LARGE, "hidden_size": 1280, "num_hidden_layers": 48, "num_attention_heads": 16,
                "intermediate_size": 5120}),
    "whisper-tiny": Published(
        kind="whisper", architecture="WhisperForConditionalGeneration", millions=39, within=0.04,
        config=_whisper(384, 4, 6)),
    "whisper-base": Published(
        kind="whisper", architecture="WhisperForConditionalGeneration", millions=74, within=0.02,
        config=_whisper(512, 6, 8)),
    "whisper-small": Published(
        kind="whisper", architecture="WhisperForConditionalGeneration", millions=244, within=0.02,
        config=_whisper(768, 12, 12)),
    "videomae-small": Published(
        kind="videomae", architecture="VideoMAEForVideoClassification", millions=22,
        config={**VIDEO, "hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6,
                "intermediate_size": 1536, "num_labels": 400}),
    "videomae-base": Published(
        kind="videomae", architecture="VideoMAEForPreTraining", counted="VideoMAEForVideoClassification", millions=87,
        config={**VIDEO, **BASE, "num_labels": 400}),
    "videomae-large": Published(
        kind="videomae", architecture="VideoMAEForPreTraining", counted="VideoMAEForVideoClassification", millions=305,
        config={**VIDEO, **LARGE, "num_labels": 400}),
    "videomae-huge": Published(
        kind="videomae", architecture="VideoMAEForVideoClassification", millions=633,
        config={**VIDEO, "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16,
                "intermediate_size": 5120, "num_labels": 400}),
    "t5-small": Published(
        kind="t5", architecture="T5ForConditionalGeneration", millions=77, config=_t5(512, 1024, 8, 6)),
    "t5-base": Published(
        kind="t5", architecture="T5ForConditionalGeneration", millions=250, config=_t5(768, 2048, 12, 12)),
    "t5-large": Published(
        kind="t5", architecture="T5ForConditionalGeneration", millions=800, within=0.03,
        config=_t5(1024, 2816, 24, 16)),
    "t5-xl": Published(
        kind="t5", architecture="T5ForConditionalGeneration", millions=3_000, within=0.06,
        config=_t5(2048, 5120, 24, 32)),
    "t5-xxl": Published(
        kind="t5", architecture="T5ForConditionalGeneration", millions=11_000, within=0.02,
        config=_t5(4096, 10240, 24, 64)),
    # "24 layers, 32 heads, and each head has dimension 64": 1.3 billion beside the table of words.
    "phi-1.5": Published(
        kind="phi", architecture="PhiForCausalLM", millions=1_300, within=0.02, without="embed_tokens",
        config={"vocab_size": 51200, "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 32,
                "intermediate_size": 8192, "max_position_embeddings": 2048, "partial_rotary_factor": 0.5,
                "tie_word_embeddings": False}),
    "smollm2-135m": Published(
        kind="llama", architecture="LlamaForCausalLM", millions=135,
        config={"vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9,
                "num_key_value_heads": 3, "intermediate_size": 1536, "max_position_embeddings": 8192,
                "rope_theta": 100_000, "tie_word_embeddings": True}),
    # "6.7B" in the table of the first LLaMA, whose architecture this is.
    "llama2-7b": Published(
        kind="llama", architecture="LlamaForCausalLM", millions=6_700,
        config={"vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
                "num_key_value_heads": 32, "intermediate_size": 11008, "max_position_embeddings": 4096,
                "rms_norm_eps": 1e-5, "tie_word_embeddings": False}),
}
# fmt: on
