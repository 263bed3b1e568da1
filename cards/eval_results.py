"""What a model reports to the leaderboard of its dataset on the Hub: its S."""

from __future__ import annotations

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from mubench.hub_builders.hub.restricted import NAMESPACE
from mubench.hub_builders.tasks.names import board_name, published_dataset
from mubench.trainers.evaluation.result import Interval, Result
from mubench.trainers.metrics.score import SCORE_VERSION


def is_reported(row: Result) -> bool:
    """Whether a board gets a row: no control, from weights, with a score of today's version and evaluation seed 0.

    Rows without a signal, and those with a flag, are not. Rows of tier mini and provisional ones are, and say so.
    """
    apart = row.no_signal or row.flags or row.control or row.outputs_only or row.eval_seed
    return "score" in row.metrics and row.score_version == SCORE_VERSION and not apart


def report(row: Result) -> str:
    """Return the ``.eval_results`` file of a judged model, whose owner is named at the push.

    Raises:
        ValueError: If the row is not reported.
    """
    if not is_reported(row) or row.interval is None:
        raise ValueError(f"expected a row that is reported, got {row.run_id!r}")
    entry = EvalResultEntry(
        dataset_id=f"{NAMESPACE}/{published_dataset(row.family, row.deletion_seed, row.tier)}",
        task_id=board_name(row.task, row.ratio, row.backbone, row.family),
        value=round(row.metrics["score"].value, 6),
        notes=_notes(row, row.interval),
    )
    return yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True, width=1_000)


def _notes(row: Result, interval: Interval) -> str:
    """Return the note on a row; the setting comes first, which entries on the Hub lack."""
    where = f"{row.task}, {row.ratio} % deleted, {row.backbone}"
    run = f"{row.method} ({row.tuned} arguments), seed {row.seed} from base seed {row.base_seed}"
    ends = f"95 % interval {interval.low:.2f} to {interval.high:.2f}"
    words = [where, run, f"score version {row.score_version}", ends, row.reference_counts]
    if row.provisional:
        words.append("provisional")
    if row.tier == "mini":
        words.append("rows of tier mini show that things run, and rank nothing")
    return "; ".join(words)
