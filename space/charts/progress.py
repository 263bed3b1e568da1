"""How far a job is, as a part of a page."""

from __future__ import annotations

from html import escape

from handlers.outcome import training_curve
from handlers.try_out import Status


def progress_shown(status: Status) -> str:
    """Return what a job is doing: its place in the queue, or its stage, step, losses and seconds."""
    if status.state == "waiting":
        many = "1 run is" if status.before == 1 else f"{status.before} runs are"
        return _box(f"In the queue: {many} before yours.", 0)
    if status.over:
        end = {"finished": "Done", "cancelled": "Ended", "failed": "Failed"}[status.state]
        return _box(f"{end}: {status.error}." if status.error and status.state != "finished" else f"{end}.", None)
    point = status.point
    stage = str(point.get("stage", "getting ready"))
    if "of" in point:
        stage = f"{stage} ({point['done'] + 1} of {point['of']} models)"
    words = [stage]
    share = None
    if point.get("steps"):
        words.append(f"step {point['step']:.0f} of {point['steps']:.0f}")
        share = point["step"] / point["steps"]
    words += [f"loss on {side} rows {point[side]:.3f}" for side in ("forget", "retain") if side in point]
    words += [f"{point['seconds']:.1f} s"] if "seconds" in point else []
    losses = [point for point in status.points if "forget" in point or "retain" in point]
    return _box(", ".join(words), share) + (training_curve(losses) if len(losses) > 1 else "")


def _box(words: str, share: float | None) -> str:
    bar = "" if share is None else f'<progress max="1" value="{share:.3f}" aria-label="progress"></progress>'
    return f'<div class="mu-status" role="status">{escape(words)}{bar}</div>'
