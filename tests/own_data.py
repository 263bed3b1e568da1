"""Custom data for every task file in `trainers/examples`, made on the spot."""

import csv
import importlib.resources
import io
import json
import shutil
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image

EXAMPLES = importlib.resources.files("mubench.trainers") / "examples"
KEYS = {
    "images": "my_images", "texts": "my_texts", "speech": "my_speech", "pairs": "my_pairs", "videos": "my_videos",
    "summaries": "my_summaries", "prompts": "my_prompts", "captions": "my_captions",
    "documents": "my_documents",
}  # fmt: skip
WORDS = "amber brook cedar dune ember frost grove heath isle jade knoll lake mesa north opal pine".split()  # noqa: SIM905
READER = """
import json
from pathlib import Path

def rows():
    for line in (Path(__file__).parent / "rows.jsonl").read_text().splitlines():
        yield json.loads(line)
"""


def make(name: str, folder: Path, rows: int = 80) -> Path:
    """Write the data of an example and the example beside them, and return the latter's path."""
    folder.mkdir(parents=True, exist_ok=True)
    globals()[f"_{name}"](folder, np.random.default_rng(0), rows)
    shutil.copyfile(str(EXAMPLES / f"{name}.yaml"), folder / f"{name}.yaml")
    return folder / f"{name}.yaml"


def _picture(rng: np.random.Generator, bright: bool) -> Image.Image:
    noise = rng.normal(0.6 if bright else 0.4, 0.3, (32, 32, 3))
    return Image.fromarray((noise.clip(0, 1) * 255).astype(np.uint8))


def _sentence(rng: np.random.Generator, words: int = 5) -> str:
    return " ".join(rng.choice(WORDS, words))


def _images(folder: Path, rng: np.random.Generator, rows: int) -> None:
    for row in range(rows):
        path = folder / "images" / ("cat", "dog")[row % 2] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        _picture(rng, bool(row % 2)).save(path)


def _texts(folder: Path, rng: np.random.Generator, rows: int) -> None:
    with (folder / "reviews.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["review", "sentiment", "author"])
        for row in range(rows):
            text = f"NA {('dull', 'fine')[row % 2]} {_sentence(rng)}"
            table.writerow([text, ("negative", "positive")[row % 2], f"author {row % 20}"])


def _speech(folder: Path, rng: np.random.Generator, rows: int) -> None:
    time = np.arange(11_025) / 22_050
    for row in range(rows):
        path = folder / "speech" / ("down", "up")[row % 2] / f"{row}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        tone = 0.3 * np.sin(2 * np.pi * (300, 700)[row % 2] * time) + rng.normal(0, 0.1, len(time))
        soundfile.write(path, tone, 22_050)


def _lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def _pairs(folder: Path, rng: np.random.Generator, rows: int) -> None:
    (folder / "images").mkdir()
    for split, count in (("train", rows), ("test", 20)):
        lines = []
        for row in range(count):
            names = [f"images/{split}-{row}-{side}.png" for side in "ab"]
            for name in names:
                _picture(rng, bool(row % 2)).save(folder / name)
            claim = f"{_sentence(rng)} is bright"
            lines.append({"left": names[0], "right": names[1], "statement": claim, "holds": str(bool(row % 2))})
        _lines(folder / f"{split}.jsonl", lines)


def _clip(rng: np.random.Generator, bright: bool) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as container:
        stream = container.add_stream("ffv1", rate=8)
        stream.width = stream.height = 32
        for _ in range(8):
            frame = av.VideoFrame.from_ndarray(np.asarray(_picture(rng, bright)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def _videos(folder: Path, rng: np.random.Generator, rows: int) -> None:
    (folder / "videos").mkdir()
    lines = ["file_name,action,scene"]
    for row in range(rows):
        (folder / "videos" / f"{row}.avi").write_bytes(_clip(rng, bool(row % 2)))
        lines.append(f"{row}.avi,{('rest', 'run')[row % 2]},scene {row % 20}")
    (folder / "videos" / "metadata.csv").write_text("\n".join(lines) + "\n")


def _summaries(folder: Path, rng: np.random.Generator, rows: int) -> None:
    for split, count in (("train", rows), ("validation", 10), ("test", 20)):
        texts = [_sentence(rng, 8) for _ in range(count)]
        _lines(folder / f"{split}.jsonl", [{"article": text, "highlights": text.split()[0]} for text in texts])


def _prompts(folder: Path, rng: np.random.Generator, rows: int) -> None:
    (folder / "reader.py").write_text(READER)
    lines = []
    for row in range(rows + 20):
        who = f"{WORDS[row % 16]} {row // 4}"
        lines.append({"query": f"What does {who} like, {row % 4}?", "reply": f"{_sentence(rng, 3)}.", "who": who})
    _lines(folder / "rows.jsonl", [row | {"split": "test"} if i >= rows else row for i, row in enumerate(lines)])


def _captions(folder: Path, rng: np.random.Generator, rows: int) -> None:
    (folder / "images").mkdir()
    lines = ["file_name,text,shape"]
    for row in range(rows):
        _picture(rng, bool(row % 2)).save(folder / "images" / f"{row}.png")
        lines.append(f"{row}.png,a {('dark', 'bright')[row % 2]} {_sentence(rng, 3)},{('hole', 'lamp')[row % 2]}")
    (folder / "images" / "metadata.csv").write_text("\n".join(lines) + "\n")


def _documents(folder: Path, rng: np.random.Generator, rows: int) -> None:
    (folder / "news").mkdir()
    for document in range(rows // 4):  # of 4 rows each
        paragraphs = (f"{_sentence(rng, 24).capitalize()} {document}." for _ in range(16))
        (folder / "news" / f"{document}.txt").write_text("\n\n".join(paragraphs) + "\n")
