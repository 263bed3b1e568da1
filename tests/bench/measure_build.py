"""Time and memory of builds, ranking, loading and streaming; ``MUBENCH_DATA`` adds builds of the original files."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from datasets import Dataset

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import split_by_rank
from mubench.hub_builders.deletion.ranks import deletion_ranks
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Splits, store_media
from mubench.hub_builders.utils.spool import Spool

RAW = Path(os.environ.get("MUBENCH_DATA", Path(__file__).parents[2] / "../shared/data")) / "raw"
# Tasks whose original files are in RAW, with the options of their build.
ORIGINALS = {
    "cifar10": ["--tier", "full"],
    "imdb": ["--tier", "full"],
    "ddi2013": ["--tier", "full"],
    "ucf101": ["--tier", "partial", "--allow_partial"],
    "speech_commands": ["--tier", "partial", "--allow_partial"],
}
ROWS = 50_000
# Rows of the streamed dataset: one second of noise each, more than half a GiB in all.
STREAMED = {"train": 18_000, "validation": 1_200, "test": 1_200}
# Peak memory of this program alone: that of getrusage includes the parent's.
PEAK = """
import re
from pathlib import Path
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""
BUILD = "import sys\nfrom mubench.hub_builders.__main__ import main\nmain(sys.argv[1:])\n" + PEAK
STREAM = """
import sys
from datasets import load_dataset
from mubench.hub_builders import decode
for split in decode(load_dataset(sys.argv[1], "speech_commands_del5", streaming=True)).values():
    for row in split:
        row["audio"]["array"]
"""


def measure() -> dict[str, float]:
    """Return seconds (``_s``) and peak memory (``_mib``) by name."""
    found = {"rank_50000_rows_s": _seconds(_rank), "split_50000_rows_at_ten_ratios_s": _split_seconds()}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        found |= _run("build_mini_cifar10", BUILD, "build", "cifar10", "--out", folder)
        found |= _run("import_torch", "import torch" + PEAK)
        found |= _run("stream_audio", STREAM + PEAK, str(_build_audio(out)))
        for task, options in ORIGINALS.items() if RAW.is_dir() else ():
            found |= _run(f"build_{task}", BUILD, "build", task, *options, "--raw", str(RAW), "--out", folder)
    return found


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _rank() -> None:
    deletion_ranks([f"row-{i}" for i in range(ROWS)], [i % 10 for i in range(ROWS)], task="t")


def _split_seconds() -> float:
    train = Dataset.from_dict({"deletion_rank": list(range(ROWS))})
    return _seconds(lambda: [split_by_rank(train, ROWS // 100 * ratio) for ratio in range(1, 11)])


def _run(name: str, script: str, *arguments: str) -> dict[str, float]:
    """Run a script that ends with `PEAK` in a process of its own."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True)
    peak = float(re.findall(r"\d+", done.stdout)[-1])
    return {f"{name}_s": time.perf_counter() - start, f"{name}_mib": peak}


def _build_audio(out: Path) -> Path:
    """Build a speech_commands of `STREAMED` rows of noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS["speech_commands"].counts, "mini", STREAMED)
        patch.setitem(MINI, "speech_commands", _audio_rows)
        return build("speech_commands", out=out)


def _audio_rows() -> Splits:
    spool, classes = Spool(), len(TASKS["speech_commands"].labels)
    return {
        split: [
            {
                "example_id": f"{split}-{index}",
                "source_index": None,
                "group": str(index % 100),
                "audio": store_media(_noise((len(split), index)), spool),
                "label": index % classes,
            }
            for index in range(count)
        ]
        for split, count in STREAMED.items()
    }


def _noise(seed: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    samples = np.random.default_rng(seed).integers(-9_000, 9_000, 16_000).astype(np.int16)
    soundfile.write(buffer, samples, 16_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:40} {value:9.2f}")  # noqa: T201
