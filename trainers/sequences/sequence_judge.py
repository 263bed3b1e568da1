"""Judges the models of a sequence, each against the retrained models of its own ratio and of the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.utils.text import one_line
from mubench.trainers.evaluation import row_limits
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.judge import SCORE_PARTS, measure_model
from mubench.trainers.evaluation.judge_runs import Judge, can_judge
from mubench.trainers.evaluation.result import ORACLE_SELECTION
from mubench.trainers.metrics.evidence import Evidence, SplitOutputs
from mubench.trainers.runs.plan import Plan, UnlearningRequest
from mubench.trainers.sequences.sequence_result import Scores, SequenceResult, Standing, Step


@dataclass(frozen=True)
class SequenceJudge:
    """Judges the models of one sequence; the references of every ratio are read once.

    Attributes:
        requests: All requests, in their order.
        plans: Those that are finished.
        one_shot: The run that deletes all at once.
        results: Folder of the result rows.
        stopped: Why the request after the finished ones failed, or ``None``.
        has_one_shot: Whether the run that deletes all at once is finished.
    """

    requests: Sequence[UnlearningRequest]
    plans: Sequence[Plan]
    one_shot: Plan
    results: Path
    stopped: str | None = None
    has_one_shot: bool = True

    @cached_property
    def judges(self) -> dict[int, Judge]:
        """The judges of the ratios that have retrained models."""
        request, found = self.one_shot.request, {}
        for ratio in dict.fromkeys([*(plan.request.ratio for plan in self.plans), request.ratio]):
            group = find_group(request.setting, ratio, request.models)
            if can_judge(group) or ratio == request.ratio:
                found[ratio] = Judge(group, self.results)
        return found

    @property
    def whole(self) -> Judge:
        """The judge of the last ratio."""
        return self.judges[self.one_shot.request.ratio]

    @cached_property
    def request_ids(self) -> list[npt.NDArray[np.str_]]:
        """Ids of the rows of every request."""
        setting = self.one_shot.request.setting
        return [setting.train_ids[setting.request_mask(one.ratio, one.deleted_before)] for one in self.requests]

    def result(self) -> SequenceResult:
        """Judge every model, and return the sequence."""
        run, all_ids = self.one_shot.run, np.concatenate(self.request_ids)
        same = (
            "tier", "task", "family", "deletion_seed", "split", "backbone", "base_seed", "method", "method_file",
            "foreign_base", "seed", "eval_seed", "tuned",
        )  # fmt: skip
        return SequenceResult(
            sequence_id=f"{self.one_shot.folder.name}-steps{len(self.requests)}",
            **{name: getattr(run, name) for name in same},
            arguments=dict(run.arguments),
            ratio=self.one_shot.request.ratio,
            steps=[self._step(plan, ids) for plan, ids in zip(self.plans, self.request_ids, strict=False)],
            one_shot=self._step(self.one_shot, all_ids) if self.has_one_shot else None,
            stopped=None if self.stopped is None else one_line(self.stopped)[: row_limits.MAX_TEXT],
            base=self._base_scores(),
            retrained=self._reference_scores(self.whole.references.evidence.retrained),
        )

    def _step(self, plan: Plan, ids: npt.NDArray[np.str_]) -> Step:
        run, ratio = read_run(plan.folder), plan.request.ratio
        outputs, whole = self.whole.group.outputs(plan.folder), self._standing(plan, self.whole)
        is_last = ratio == self.whole.group.ratio
        own = self._standing(plan, self.judges[ratio]) if ratio in self.judges and not is_last else None
        return Step(
            ratio=ratio,
            rows=len(ids),
            folder=plan.folder.name,
            identity=run.identity,
            parent=str(run.parent),
            cost=self.whole.with_shares(run.cost),
            scores=self._scores(outputs),
            own=whole if is_last else own,
            whole=whole,
        )

    def _standing(self, plan: Plan, judge: Judge) -> Standing:
        outputs, references = judge.group.outputs(plan.folder), judge.references
        flags = [ORACLE_SELECTION] if plan.run.arguments.get("keep") == "oracle" else []
        found = measure_model(outputs, references, plan.run.split, method=plan.run.method, flags=flags)
        return Standing(
            ratio=judge.group.ratio,
            retrained=len(references.seeds.retrained),
            bases=len(references.seeds.bases),
            **{name: found.metrics[name].value if name in found.metrics else None for name in SCORE_PARTS},
            low=found.interval.low if found.interval else None,
            high=found.interval.high if found.interval else None,
            no_signal=found.no_signal,
            flags=found.flags,
        )

    def _scores(self, outputs: SplitOutputs) -> Scores:
        """Return the scores of a model by its outputs, forget and retain rows being those of the last ratio."""
        return Scores(
            test=float(outputs["test"].correct.mean()),
            retain=float(outputs["retain"].correct.mean()),
            requests=[float(outputs["forget"].select(ids).correct.mean()) for ids in self.request_ids],
        )

    def _base_scores(self) -> Scores:
        """Return the scores of the model before any request; of one of unknown training, those of the base models."""
        group, start = self.whole.group, self.plans[0].base_folder
        if start is not None and start in group.bases.values():
            return self._scores(group.outputs(start))
        return self._reference_scores(self.whole.references.evidence.bases)

    def _reference_scores(self, models: Sequence[Evidence]) -> Scores:
        """Return the mean scores of reference models, which evidence holds where outputs are not at hand."""
        rows = {one: place for place, one in enumerate(self.whole.references.evidence.rows.forget.tolist())}
        places = [[rows[one] for one in ids.tolist()] for ids in self.request_ids]
        return Scores(
            test=_mean([model.scores["test"] for model in models]),
            retain=_mean([model.scores["retain"] for model in models]),
            requests=[_mean([model.forget.correct[place].mean() for model in models]) for place in places],
        )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
