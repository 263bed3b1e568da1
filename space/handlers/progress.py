"""The progress of a job, as HTML."""

from __future__ import annotations

from html import escape

from handlers.outcome import render_curve
from handlers.try_out import Status

ENDS = {"finished": "Done", "cancelled": "Ended", "failed": "Failed"}


def render_progress(status: Status) -> str:
    """Return a job's place in the queue, or its stage, step, losses and seconds, or how it ended."""
    if status.state == "waiting":
        count = "1 run is" if status.before == 1 else f"{status.before} runs are"
        return _box(f"In the queue: {count} before yours.", 0)
    if status.is_over:
        error = f": {status.error}" if status.error and status.state != "finished" else ""
        return _box(f"{ENDS[status.state]}{error}.", None)
    point, share = status.point, None
    words = [str(point.get("stage", "getting ready"))]
    if "of" in point:
        words = [f"{words[0]} ({point['done'] + 1} of {point['of']} models)"]
    if point.get("steps"):
        words.append(f"step {point['step']:.0f} of {point['steps']:.0f}")
        share = point["step"] / point["steps"]
    words += [f"loss on {split} rows {point[split]:.3f}" for split in ("forget", "retain") if split in point]
    words += [f"{point['seconds']:.1f} s"] if "seconds" in point else []
    losses = [each for each in status.points if "forget" in each or "retain" in each]
    return _box(", ".join(words), share) + (render_curve(losses) if len(losses) > 1 else "")


def _box(text: str, share: float | None) -> str:
    bar = "" if share is None else f'<progress max="1" value="{share:.3f}" aria-label="progress"></progress>'
    return f'<div class="mu-status" role="status">{escape(text)}{bar}</div>'
