"""A forget set in several requests, each of which starts from the model of the one before."""

from __future__ import annotations

import dataclasses

from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.runs.method_table import check_request
from mubench.trainers.runs.plan import Plan, UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn


def request_ratios(ratio: int, steps: int) -> list[int]:
    """Return the ratio that is deleted after every request: ``[2, 4, 6, 8, 10]`` for 10 % in 5 steps.

    Raises:
        ValueError: If the steps do not divide the ratio into whole percentages.
    """
    if steps < 1 or ratio % steps:
        known = ", ".join(str(one) for one in range(1, ratio + 1) if ratio % one == 0)
        raise ValueError(f"expected steps that divide {ratio} % into whole percentages ({known}), got {steps}")
    return [ratio // steps * (one + 1) for one in range(steps)]


def split_request(whole: UnlearningRequest, steps: int) -> list[UnlearningRequest]:
    """Return the requests that delete the forget set of one request in steps, without the bases of later ones.

    Ranks are nested: request ``k`` forgets the rows of its ratio that request ``k - 1`` has not deleted, and retains
    what its ratio retains.

    Raises:
        ValueError: If the steps do not divide the ratio, a request would delete no row, or the method starts from a
            fresh model or is not made for one of the forget sets.
    """
    if whole.trainer.from_scratch:
        raise ValueError(f"expected a method that changes a model, got {whole.method}, which starts from a fresh one")
    before, requests = None, []
    for ratio in request_ratios(whole.ratio, steps):
        whole.setting.request_mask(ratio, before)  # raises where there is no such ratio, or no row
        check_request(whole.method, whole.setting, ratio)
        requests.append(dataclasses.replace(whole, ratio=ratio, deleted_before=before))
        before = ratio
    return requests


def run_requests(requests: list[UnlearningRequest]) -> tuple[list[Plan], NonFiniteError | None]:
    """Run requests one after the other, each from the model of the one before.

    Finished models are kept, and a killed run goes on from its checkpoint. A request that diverges ends the sequence.

    Returns:
        The plans of the finished requests, and the error of the one that diverged after them, or ``None``.

    Raises:
        NonFiniteError: If the first request diverges.
    """
    plans: list[Plan] = []
    for request in requests:
        base = plans[-1].folder if plans else request.base
        plans.append(resolve(dataclasses.replace(request, base=base)))
        try:
            unlearn(plans[-1])
        except NonFiniteError as error:
            if not plans[:-1]:
                raise
            return plans[:-1], error
    return plans, None
