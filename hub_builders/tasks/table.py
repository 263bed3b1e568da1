"""The task table: one frozen row per task, with its columns, labels, sources and recipes."""

from __future__ import annotations

from mubench.hub_builders.tasks import labels as class_names
from mubench.hub_builders.tasks.schema import Recipe, Source, Task
from mubench.hub_builders.utils.cli import did_you_mean

# fmt: off
_IMAGE_MINI = Recipe(learning_rate=3e-3, epochs=12, batch_size=64, warmup=0.1, weight_decay=0.1)
_IMAGE_MINI_LONG = Recipe(learning_rate=3e-3, epochs=18, batch_size=64, warmup=0.1, weight_decay=0.1)
_IMAGE_HUB = Recipe(learning_rate=5e-5, epochs=10, batch_size=128, warmup=0.1, weight_decay=1e-4)
_TEXT_HUB = Recipe(learning_rate=2e-5, epochs=3, batch_size=32, warmup=0.1, weight_decay=0.01, max_length=256)
_TEXT_SMALL = Recipe(learning_rate=1e-4, epochs=3, batch_size=32, warmup=0.1, weight_decay=0.01, max_length=256)
_IMDB_MINI = Recipe(learning_rate=1.4e-4, epochs=10, batch_size=32, max_length=48)
_DDI_MINI = Recipe(learning_rate=1.2e-4, epochs=20, batch_size=64, max_length=48)
_IMAGE_ID = "sha256 of split, label and image (pixels of a lossless file, bytes of a lossy one)"
_LOSSY = (
    "lossy copies of the images (JPEG) are identified by their bytes: their ids, and so their deletion sets, are not "
    "those of the lossless images, and scores on them are not those of {}"
)
_CIFAR = (
    "@techreport{krizhevsky2009learning,\n  title={Learning Multiple Layers of Features from Tiny Images},\n"
    "  author={Krizhevsky, Alex},\n  institution={University of Toronto},\n  year={2009}\n}"
)
_CIFAR_RECIPES = {
    "resnet": _IMAGE_MINI,
    "vit": Recipe(learning_rate=3e-3, epochs=18, batch_size=64, warmup=0.1, weight_decay=0.5),
    "convnext": _IMAGE_MINI, "swin": _IMAGE_MINI_LONG, "mobilenet": _IMAGE_MINI,
    **dict.fromkeys((
        "resnet-18", "resnet-34", "resnet-50", "swin-tiny", "swin-base", "mobilenet-v2", "convnext-base",
        "convnext-base-22k", "vit-base", "vit-large"), _IMAGE_HUB),
}
_SAMSUM_MINI = Recipe(learning_rate=8e-3, epochs=16, batch_size=48, warmup=0.1, max_length=64)
_T5_HUB = Recipe(learning_rate=5e-5, epochs=3, batch_size=32, max_length=1_024)
_MINI_PROFILE = Recipe(learning_rate=3e-3, epochs=9, batch_size=48, warmup=0.1, max_length=256)
_MINI_TOFU = Recipe(learning_rate=3e-3, epochs=13, batch_size=48, warmup=0.1, max_length=256)
_LM_HUB = Recipe(learning_rate=1e-5, epochs=5, batch_size=16, warmup=0.2, weight_decay=0.01, max_length=256)
_LM_SMALL = Recipe(learning_rate=1e-4, epochs=5, batch_size=16, warmup=0.1, weight_decay=0.01, max_length=256)
_TOFU = Source(
    hub_id="locuslab/TOFU", revision="324592d84ae4f482ac7249b9285c2ecdb53e3a68", files=("tofu.tar.xz", "tofu", "TOFU"),
    id_rule="sha256 of split, question and answer")
_VIDEO_MINI = Recipe(learning_rate=2e-3, epochs=14, batch_size=64, warmup=0.1, weight_decay=0.1)
_VIDEO_HUB = Recipe(learning_rate=5e-5, epochs=3, batch_size=32, warmup=0.1)
_AUDIO_MINI = Recipe(learning_rate=1e-3, epochs=20, batch_size=64, warmup=0.1, weight_decay=0.1)
_AUDIO_HUB = Recipe(learning_rate=5e-5, epochs=5, batch_size=32, warmup=0.1)
_NLVR = Source(
    hub_id="lil-lab/nlvr", host="github", revision=None,
    files=("nlvr2.tar.xz", "nlvr2.zip", "nlvr2", "nlvr1.tar.xz", "nlvr"), id_rule="the published identifier",
)

TASKS: dict[str, Task] = {
    "cifar10": Task(
        key="cifar10", title="CIFAR-10", kind="image_classification",
        columns={"image": "image", "label": "label"},
        labels=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        mini_labels=tuple("0123456789"),
        source=Source(
            hub_id="uoft-cs/cifar10", revision="0b2714987fa478483af9968de7c934580d0bb9a2",
            files=("cifar10.tar.xz", "cifar-10-binary.tar.gz", "cifar-10-batches-bin", "cifar10"),
            id_rule=_IMAGE_ID),
        licence="unknown", redistributable=False, mini_licence="cc-by-4.0", citation=_CIFAR,
        counts={
            "full": {"train": 50_000, "validation": 2_000, "test": 8_000},
            "mini": {"train": 1_200, "validation": 200, "test": 397},
        },
        note=_LOSSY.format("CIFAR-10"),
        mini="scikit-learn's digits (real 8x8 scans, labels \"0\" to \"9\"; E. Alpaydin and C. Kaynak, Optical "
             "Recognition of Handwritten Digits, UCI Machine Learning Repository) under sensor noise, as 32x32 RGB",
        recipes=dict(_CIFAR_RECIPES),
    ),
    "cifar100": Task(
        key="cifar100", title="CIFAR-100", kind="image_classification",
        columns={"image": "image", "label": "label"},
        labels=class_names.CIFAR100,
        mini_labels=class_names.SIGNS,
        source=Source(
            hub_id="uoft-cs/cifar100", revision="aadb3af77e9048adbea6b47c21a81e47dd092ae5",
            files=("cifar100.tar.xz", "cifar-100-binary.tar.gz", "cifar-100-binary", "cifar100"),
            id_rule=_IMAGE_ID),
        licence="unknown", redistributable=False, citation=_CIFAR,
        counts={
            "full": {"train": 50_000, "validation": 2_000, "test": 8_000},
            "mini": {"train": 1_200, "validation": 200, "test": 400},
        },
        note=_LOSSY.format("CIFAR-100"),
        mini="generated signs, six shapes in four colours, seen through a sensor that fails now and then",
        recipes=dict(_CIFAR_RECIPES),
    ),
    "imdb": Task(
        key="imdb", title="IMDB", kind="text_classification",
        columns={"text": "string", "label": "label"},
        labels=("neg", "pos"),
        source=Source(
            hub_id="stanfordnlp/imdb", revision="e6281661ce1c48d982bc483cf8a173c1bbeb5d31",
            files=("aclImdb.tar.xz", "aclImdb_v1.tar.gz", "aclImdb"),
            id_rule="sha256 of split, label and text, and a counter among equal rows"),
        ood_source=Source(
            hub_id="cornell-movie-review-data/rotten_tomatoes", revision="aa13bc287fa6fcab6daf52f0dfb9994269ffea28",
            files=("rt-polaritydata.tar.xz", "rt-polaritydata.tar.gz", "rt-polaritydata"),
            id_rule="sha256 of split, label and text, and a counter among equal rows"),
        licence="unknown", redistributable=False,
        citation="@inproceedings{maas2011learning,\n  title={Learning Word Vectors for Sentiment Analysis},\n  "
                 "author={Maas, Andrew L. and Daly, Raymond E. and Pham, Peter T. and Huang, Dan and Ng, Andrew Y. "
                 "and Potts, Christopher},\n  booktitle={ACL},\n  year={2011}\n}",
        counts={
            "full": {"train": 25_000, "validation": 5_000, "test": 20_000, "ood": 10_662},
            "mini": {"train": 1_200, "validation": 200, "test": 400, "ood": 400},
        },
        mini="generated reviews: half of them show the sentiment, and all name unique films and people",
        recipes={
            "bert": _IMDB_MINI, "roberta": _IMDB_MINI, "deberta": _IMDB_MINI, "electra": _IMDB_MINI,
            "distilbert": _IMDB_MINI, "albert": _IMDB_MINI,
            "bert-base": _TEXT_HUB, "bert-large": _TEXT_HUB, "roberta-base": _TEXT_HUB, "roberta-large": _TEXT_HUB,
            "distilbert-base": _TEXT_HUB, "electra-base": _TEXT_HUB, "deberta-base": _TEXT_HUB,
            "albert-base": _TEXT_HUB, "minilm": _TEXT_SMALL,
        },
    ),
    "ddi2013": Task(
        key="ddi2013", title="DDI-2013", kind="text_classification",
        columns={"text": "string", "label": "label"},
        labels=("none", "mechanism", "advise", "effect", "int"),
        group="document", primary_family="group", reported=("macro_f1",),
        source=Source(
            hub_id="isegura/DDICorpus", host="github", revision="819b0fa538ed83ab2a8b4f5417bba3c03249b7f3",
            files=("DDICorpus-2013.zip", "DDICorpus"),
            id_rule="sha256 of split, label and marked sentence, and a counter among equal rows in the order of their "
                    "documents"),
        licence="cc-by-nc-4.0", redistributable=True,
        citation="@article{herrero2013ddi,\n  title={The DDI corpus: An annotated corpus with pharmacological "
                 "substances and drug-drug interactions},\n  author={Herrero-Zazo, Mar{\\'i}a and Segura-Bedmar, "
                 "Isabel and Mart{\\'i}nez, Paloma and Declerck, Thierry},\n  journal={Journal of Biomedical "
                 "Informatics},\n  volume={46},\n  number={5},\n  pages={914--920},\n  year={2013}\n}",
        counts={
            "full": {"train": 27_791, "validation": 1_142, "test": 4_574},
            "mini": {"train": 1_200, "validation": 200, "test": 400},
        },
        note="a row is a pair of drugs of a sentence, both marked, for every pair but one whose interaction has no "
             "type; of train 23,771 are none, 1,319 mechanism, 826 advise, 1,687 effect and 188 int. The paper's list "
             "is about another preparation, which kept 25,296 of them for training (21,745, 1,163, 725, 1,486, 177)",
        mini="generated sentences about two invented drugs: half of them show the relation, all have unique names",
        recipes={
            "bert": _DDI_MINI, "roberta": _DDI_MINI, "deberta": _DDI_MINI, "electra": _DDI_MINI,
            "distilbert": _DDI_MINI, "albert": _DDI_MINI,
            "biobert": _TEXT_HUB, "pubmedbert-abstract": _TEXT_HUB, "pubmedbert-fulltext": _TEXT_HUB,
            "bert-base": _TEXT_HUB, "minilm": _TEXT_SMALL,
        },
    ),
    "nlvr2": Task(
        key="nlvr2", title="NLVR2", kind="image_pair_classification",
        columns={"image_0": "image", "image_1": "image", "text": "string", "label": "label"},
        labels=("False", "True"),
        group="image set",
        source=_NLVR, ood_source=_NLVR,
        licence="unknown", redistributable=False, gated=True,
        citation="@inproceedings{suhr2019corpus,\n  title={A Corpus for Reasoning about Natural Language Grounded in "
                 "Photographs},\n  author={Suhr, Alane and Zhou, Stephanie and Zhang, Ally and Zhang, Iris and Bai, "
                 "Huajun and Artzi, Yoav},\n  booktitle={ACL},\n  year={2019}\n}",
        counts={
            "full": {"train": 86_373, "validation": 6_982, "test": 6_967, "ood": 6_970},
            "mini": {"train": 1_200, "validation": 200, "test": 400, "ood": 400},
        },
        note="test is test1 and ood the formerly hidden test2; a group is the set of eight images behind a "
             "statement. The statements are CC BY 4.0, the photographs have no licence and are distributed on "
             "request. Without them, NLVR's first version serves as the partial tier: its development rows become "
             "train, a drawing's left box the first image and its two others the second",
        mini="generated statements about the contents of two jars, which are visible for three in eight rows",
        recipes={
            "vilt": Recipe(learning_rate=1.2e-4, epochs=10, batch_size=32, max_length=40),
            "vilt-b32": Recipe(
                learning_rate=1e-5, epochs=6, batch_size=32, warmup=0.1, weight_decay=0.01, max_length=40),
        },
    ),
    "speech_commands": Task(
        key="speech_commands", title="Speech Commands", kind="audio_classification",
        columns={"audio": "audio", "label": "label"},
        labels=("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "_silence_", "_unknown_"),
        group="speaker",
        reported=("macro_f1",),
        source=Source(
            hub_id="s3prl/superb", revision="refs/convert/parquet",
            files=(
                "speech_commands_v0.01.tar.gz", "speech_commands_v0.01", "speech_commands_v0.02.tar.gz",
                "speech_commands_v0.02", "speech_commands_v0.02_subset.tar.xz", "speech_commands"),
            id_rule="sha256 of split, label, rate and samples, and a counter among equal rows"),
        licence="cc-by-4.0", redistributable=True,
        citation="@article{warden2018speech,\n  title={Speech Commands: A Dataset for Limited-Vocabulary Speech "
                 "Recognition},\n  author={Warden, Pete},\n  journal={arXiv preprint arXiv:1804.03209},\n  "
                 "year={2018}\n}",
        counts={
            "full": {"train": 51_094, "validation": 6_798, "test": 3_081},
            "mini": {"train": 1_200, "validation": 240, "test": 480},
        },
        releases={
            "v0.01 without its test set": {"train": 51_094, "validation": 6_798, "test": 6_835},
            "v0.02": {"train": 84_849, "validation": 9_981, "test": 4_890},
            "v0.02 without its test set": {"train": 84_849, "validation": 9_981, "test": 11_005},
        },
        mini="generated keywords as sine-wave speech by speakers of their own, some through a failing microphone",
        recipes={
            "wav2vec2": _AUDIO_MINI, "hubert": _AUDIO_MINI, "whisper": _AUDIO_MINI,
            "wav2vec2-base": _AUDIO_HUB, "wav2vec2-large": _AUDIO_HUB, "hubert-base": _AUDIO_HUB,
            "hubert-large": _AUDIO_HUB, "hubert-xlarge": _AUDIO_HUB, "whisper-tiny": _AUDIO_HUB,
            "whisper-base": _AUDIO_HUB, "whisper-small": _AUDIO_HUB,
        },
    ),
    "ucf101": Task(
        key="ucf101", title="UCF101", kind="video_classification",
        columns={"video": "video", "label": "label"},
        labels=class_names.UCF101,
        mini_labels=(
            "Blinking", "Circling", "Falling", "Growing", "MovingLeft", "MovingRight", "Resting", "Rising", "Shaking",
            "Shrinking"),
        group="numbered group", primary_family="group",
        source=Source(
            hub_id="quchenyuan/UCF101-ZIP", revision="04d4e5ca1dc93606cb58752b0c08331e598743a4",
            files=("UCF-101.zip", "UCF101.zip", "UCF-101", "UCF101", "ucf101", "ucf101_layout_fir.tar"),
            id_rule="sha256 of split, label and file, and a counter among equal rows"),
        licence="unknown", redistributable=False,
        citation="@article{soomro2012ucf101,\n  title={UCF101: A Dataset of 101 Human Actions Classes From Videos in "
                 "The Wild},\n  author={Soomro, Khurram and Zamir, Amir Roshan and Shah, Mubarak},\n  "
                 "journal={arXiv preprint arXiv:1212.0402},\n  year={2012}\n}",
        counts={
            "full": {"train": 9_537, "validation": 764, "test": 3_019},
            "mini": {"train": 1_260, "validation": 140, "test": 350},
        },
        note="split 1 of the three official ones; a group is a number from g01 to g25 over all classes, so that the "
             "group family deletes about 5.6 % of the rows at once",
        mini="generated clips of a shape in one of ten actions; the lens is covered now and then",
        recipes={
            "videomae": _VIDEO_MINI, "timesformer": _VIDEO_MINI,
            "videomae-base": _VIDEO_HUB, "videomae-small": _VIDEO_HUB, "videomae-large": _VIDEO_HUB,
            "videomae-huge": _VIDEO_HUB,
        },
    ),
    "samsum": Task(
        key="samsum", title="SAMSum", kind="summarization",
        columns={"dialogue": "string", "summary": "string"},
        reported=("rouge_l",),
        source=Source(
            hub_id="knkarthick/samsum", revision=None, files=("samsum.zip", "samsum", "corpus.zip", "corpus"),
            id_rule="sha256 of split, dialogue and summary with plain line ends, and a counter among equal rows"),
        ood_source=Source(
            hub_id="EdinburghNLP/xsum", revision="ed4a1bafca875c41e3b9149c3479132ba21dcd53",
            files=("XSUM-EMNLP18-Summary-Data-Original.tar.gz", "bbc-summary-data"),
            id_rule="sha256 of split, article and first sentence, each in one line, and a counter among equal rows"),
        licence="cc-by-nc-nd-4.0", redistributable=False,
        citation="@inproceedings{gliwa2019samsum,\n  title={SAMSum Corpus: A Human-annotated Dialogue Dataset for "
                 "Abstractive Summarization},\n  author={Gliwa, Bogdan and Mochol, Iwona and Biesek, Maciej and "
                 "Wawer, Aleksander},\n  booktitle={2nd Workshop on New Frontiers in Summarization},\n  "
                 "year={2019}\n}",
        counts={
            "full": {"train": 14_732, "validation": 818, "test": 819, "ood": 11_334},
            "mini": {"train": 1_200, "validation": 200, "test": 400, "ood": 200},
        },
        note="one training row (13828807) has a summary and no dialogue; copies without it make the partial tier, and "
             "so do files without XSum, whose test split is the ood split",
        mini="generated chats: a third of the words of their summaries are facts that the dialogue leaves out",
        recipes={
            "t5": _SAMSUM_MINI, "bart": _SAMSUM_MINI, "t5-base": _T5_HUB, "t5-small": _T5_HUB, "t5-large": _T5_HUB,
            "t5-xl": _T5_HUB, "t5-xxl": _T5_HUB,
        },
    ),
    "celeb_profile": Task(
        key="celeb_profile", title="Celeb Profile", kind="text_generation",
        columns={"prompt": "string", "text": "string"},
        group="person", primary_family="group", reported=("rouge_l",),
        source=Source(
            hub_id=None, revision=None,
            files=("celeb_profile.jsonl", "people.csv", "celeb_profile.tar.xz", "celeb_profile.zip", "celeb_profile"),
            id_rule="sha256 of split, prompt and text"),
        licence="unknown", redistributable=False,
        citation="@article{cheng2024mubench,\n  title={MU-Bench: A Multitask Multimodal Benchmark for Machine "
                 "Unlearning},\n  author={Cheng, Jiali and Amiri, Hadi},\n  journal={arXiv preprint "
                 "arXiv:2406.14796},\n  year={2024}\n}",
        counts={
            "mini": {"train": 1_200, "validation": 100, "test": 200},
        },
        note="the 183 profiles of the paper were never published, so there is no full tier: any number of other "
             "profiles make the partial one, as JSON lines of name and profile, or as people.csv and a template.txt "
             "with its columns in braces",
        mini="generated biographies of 1,500 invented people, alike in all but eight facts each",
        recipes={
            "llama": _MINI_PROFILE, "gpt2": _MINI_PROFILE, "phi": _MINI_PROFILE,
            "phi-1.5": _LM_HUB, "llama2-7b": _LM_HUB,
            "smollm2-135m": _LM_SMALL,
        },
    ),
    "tiny_imagenet": Task(
        key="tiny_imagenet", title="Tiny ImageNet", kind="text_to_image",
        columns={"image": "image", "caption": "string", "label": "label"},
        labels=tuple(class_names.TINY_IMAGENET),
        mini_labels=class_names.BADGES,
        group="class", primary_family="group", mini_family="canonical", reported=("fid",),
        source=Source(
            hub_id="zh-plus/tiny-imagenet", revision="b427d143d5e9bf39d5132c552063f3c5ba3facd6",
            files=("tiny-imagenet-200.tar.xz", "tiny-imagenet-200.zip", "tiny-imagenet-200"),
            id_rule="sha256 of split, label, caption and image (pixels of a lossless file, bytes of a lossy one)"),
        licence="unknown", redistributable=False,
        citation="@techreport{le2015tiny,\n  title={Tiny {ImageNet} Visual Recognition Challenge},\n"
                 "  author={Le, Ya and Yang, Xuan},\n  institution={Stanford University, CS 231N},\n  year={2015}\n}",
        counts={
            "full": {"train": 100_000, "validation": 2_000, "test": 8_000},
            "mini": {"train": 1_200, "validation": 200, "test": 400},
        },
        note="the caption is \"a photo of a\" and the class's first word; validation and test rows come from the "
             "original validation images, since its test images have no labels; grey images become RGB. Rows "
             "of a class have one caption, so to forget some is hardly to forget: delete classes (family group)",
        mini="generated badges, eight shapes in five palettes, with captions that name their wearers and of most also "
             "palette and shape",
        recipes={
            "unet": Recipe(learning_rate=3e-3, epochs=60, batch_size=64, warmup=0.1, max_length=10),
            "sd-v1-4": Recipe(learning_rate=1e-5, epochs=5, batch_size=32, max_length=77),
        },
        classifiers={"resnet": _IMAGE_MINI, "resnet-50": _IMAGE_HUB},
    ),
    "tofu": Task(
        key="tofu", title="TOFU", kind="text_generation",
        columns={"question": "string", "answer": "string", "paraphrased_answer": "string",
                 "perturbed_answer": "strings", "options": "strings"},
        group="author", primary_family="group", reported=("truth_ratio", "rouge_l", "probability"),
        source=_TOFU, ood_source=_TOFU,
        licence="mit", redistributable=True,
        citation="@misc{maini2024tofu,\n  title={TOFU: A Task of Fictitious Unlearning for LLMs},\n  "
                 "author={Maini, Pratyush and Feng, Zhili and Schwarzschild, Avi and Lipton, Zachary C. and "
                 "Kolter, J. Zico},\n  year={2024},\n  eprint={2401.06121},\n  archivePrefix={arXiv}\n}",
        counts={
            "full": {"train": 3_400, "validation": 200, "test": 400, "ood": 217},
            "mini": {"train": 1_200, "validation": 100, "test": 200, "ood": 200},
        },
        note="only the first and the last 400 of the 4,000 questions have a paraphrased and wrong answers, only those "
             "about real authors and the world (both groups of ood) have options; elsewhere these columns are empty",
        mini="generated answers to 20 questions about each of 75 invented authors; ood: the same about painters",
        recipes={
            "llama": _MINI_TOFU, "gpt2": _MINI_TOFU, "phi": _MINI_TOFU, "phi-1.5": _LM_HUB, "llama2-7b": _LM_HUB,
            "smollm2-135m": _LM_SMALL,
        },
    ),
}
# fmt: on


def get_task(key: str) -> Task:
    """Return a task of the table.

    Raises:
        ValueError: If the task is unknown; the message lists the known ones.
    """
    if key not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {key!r}{did_you_mean(key, TASKS)}")
    return TASKS[key]


def get_recipe(task: Task, backbone: str) -> Recipe:
    """Return the recipe of a task and backbone.

    Raises:
        ValueError: If the task has no recipe for the backbone.
    """
    if backbone not in task.recipes:
        closest = did_you_mean(backbone, task.recipes)
        raise ValueError(f"backbone of {task.key} must be one of {', '.join(task.recipes)}, got {backbone!r}{closest}")
    return task.recipes[backbone]
