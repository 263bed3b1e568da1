"""Media are read as a stream in little memory, however many there are (``pytest -m slow -s`` shows the numbers)."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import store_media
from mubench.hub_builders.utils.spool import Spool

RAW = Path(os.environ.get("MUBENCH_DATA", Path(__file__).parents[3] / "../shared/data")) / "raw"
LIMIT_MIB = 500
COUNTS = {"train": 18_000, "validation": 1_200, "test": 1_200}
STREAMED = """
import re, sys
from pathlib import Path
from datasets import load_dataset
from mubench.hub_builders import decode
folder, config, column = sys.argv[1:]
rows = size = 0
for split in decode(load_dataset(folder, config, streaming=True)).values():
    for row in split:
        rows += 1
        size += (row[column]["array"] if column == "audio" else row[column]).nbytes
# Of this program alone: the peak that getrusage tells begins with the parent's.
print(rows, size, int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""

pytestmark = pytest.mark.slow
# `datasets` imports torch as it reads a stream: about 225 MiB of the CPU build, and 500 of a CUDA build.
IMPORTED = """
import re, torch
from pathlib import Path
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""
BESIDE_TORCH_MIB = 300


def check_peak(peak):
    """The rows take little in any build of torch, and all of it stays within the limit where torch is not the bulk."""
    run = subprocess.run([sys.executable, "-c", IMPORTED], check=True, capture_output=True, text=True)
    assert peak - int(run.stdout) < BESIDE_TORCH_MIB
    assert torch.version.cuda or peak < LIMIT_MIB


def streamed(folder, task):
    """Read every row of a task's 5 % config and return (rows, decoded MiB, peak MiB) of the process that did."""
    column = TASKS[task].media[0]
    code = [sys.executable, "-c", STREAMED, str(folder), f"{task}_del5", column]
    run = subprocess.run(code, check=True, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    rows, size, peak = map(int, re.findall(r"\d+", run.stdout))
    sys.stdout.write(f"\n{task}: {rows} rows, {size / 2**20:.0f} MiB decoded, peak {peak} MiB")
    return rows, size / 2**20, peak


def second(number):
    """Return one second of noise."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(number).integers(-9_000, 9_000, 16_000).astype(np.int16)
    soundfile.write(buffer, noise, 16_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def test_a_stream_of_more_than_half_a_gibibyte_takes_less(tmp_path, monkeypatch):
    spool, classes = Spool(), len(TASKS["speech_commands"].labels)

    def rows():
        return {
            split: [
                {
                    "example_id": f"{split}-{index}",
                    "source_index": None,
                    "group": f"{index % 100}",
                    "audio": store_media(second((len(split), index)), spool),
                    "label": index % classes,
                }
                for index in range(count)
            ]
            for split, count in COUNTS.items()
        }

    monkeypatch.setitem(TASKS["speech_commands"].counts, "mini", COUNTS)
    monkeypatch.setitem(MINI, "speech_commands", rows)
    folder = build("speech_commands", out=tmp_path)
    stored = sum(path.stat().st_size for path in folder.rglob("*.parquet")) / 2**20
    found, size, peak = streamed(folder, "speech_commands")
    sys.stdout.write(f", {stored:.0f} MiB stored")
    assert stored > LIMIT_MIB and size > 2 * LIMIT_MIB and found == sum(COUNTS.values())
    check_peak(peak)


@pytest.mark.skipif(not RAW.is_dir(), reason=f"no original files in {RAW}: set MUBENCH_DATA")
@pytest.mark.parametrize("task", ["speech_commands", "ucf101"])
def test_real_media_are_streamed_in_less_than_half_a_gibibyte(tmp_path, task):
    folder = build(task, tier="partial", raw=RAW, out=tmp_path, allow_partial=True)
    rows, _, peak = streamed(folder, task)
    assert rows == {"speech_commands": 2_300, "ucf101": 288}[task]
    check_peak(peak)
