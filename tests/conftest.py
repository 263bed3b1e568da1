"""What every test needs before its first import: no network, one thread, and a Hub cache that is thrown away."""

import os
import shutil
import tempfile

_HF_HOME = tempfile.mkdtemp(prefix="mubench-tests-")
for _name in ("HF_DATASETS_CACHE", "HF_HUB_CACHE", "HF_TOKEN"):
    os.environ.pop(_name, None)
os.environ.update(
    HF_HOME=_HF_HOME,
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    MPLBACKEND="Agg",
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
)

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the cache; every process of a parallel run has its own."""
    shutil.rmtree(_HF_HOME, ignore_errors=True)
