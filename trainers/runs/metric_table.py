"""Tables of metrics: what each is, read without torch; and those over ensembles with their values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mubench.hub_builders.dataset.task_info import find_task
from mubench.hub_builders.tasks.names import DATASET, check_ratio
from mubench.hub_builders.utils.cli import Parser, check_options
from mubench.hub_builders.utils.tables import align_columns
from mubench.trainers.inference.image_outputs import ImageOutputs
from mubench.trainers.inference.outputs import ClassOutputs, Outputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics import DESCRIPTIONS, ENSEMBLE_METRICS, Description
from mubench.trainers.runs.method_table import check_recorded

KINDS: dict[str, type[Outputs]] = {"classes": ClassOutputs, "tokens": TokenOutputs, "images": ImageOutputs}
HEAD = ("metric", "title", "better", "range", "unit", "needs", "of", "paper")
METHOD = "method key; its runs over all seeds are one pool"


def _interval(limits: tuple[float, float]) -> str:
    return f"{limits[0]:.3g} to {limits[1]:.3g}"


def _kinds(metric: Description) -> str:
    names = [name for name, kind in KINDS.items() if issubclass(kind, metric.outputs)]
    return "all" if len(names) == len(KINDS) else " ".join(names)


def _needs(metric: Description) -> str:
    models = {"retrained": metric.references, "base": metric.bases, "random": int(metric.random)}
    return " ".join([*metric.needs, *(f"{least}+{name}" for name, least in models.items() if least)])


def metric_table() -> list[str]:
    """Return the lines of a table of all metrics: those of one run, of its weights, and over many runs."""
    lines = [HEAD]
    for key, one in DESCRIPTIONS.items():
        numbers = (_interval(one.range), one.unit, _needs(one), _kinds(one))
        lines.append((key, one.title, one.better, *numbers, one.paper))
    for key, each in ENSEMBLE_METRICS.items():
        needs = f"{' '.join(each.needs)} {each.models}+runs {each.models}+retrained"
        lines.append((key, each.title, each.better, _interval(each.range), each.unit, needs, "all", each.paper))
    return align_columns(lines, left=range(len(HEAD)))


def list_metrics(arguments: Sequence[str]) -> list[str]:
    """Parse the arguments of ``metrics``, of which there are none, and return its lines."""
    Parser(prog="mubench metrics", description="List every metric.").parse_args(list(arguments))
    return metric_table()


def _parse_ensemble(arguments: Sequence[str]) -> argparse.Namespace:
    line = "Print the metrics over many runs of one method and many retrained models."
    parser = Parser(prog="mubench ensemble", description=line, allow_abbrev=False)
    parser.add_config()
    parser.add_argument("--task", required=True, help="task key")
    parser.add_argument("--method", required=True, help=METHOD)
    parser.add_argument("--backbone", help="backbone key, or a pretrained model; default: the task's first")
    parser.add_argument("--ratio", default="10", help="percentage to delete, 1 to 10")
    parser.add_argument("--eval_seed", type=int, default=0, help="seed of the noise that generated images start from")
    parser.add_argument("--data", default=DATASET, help="dataset folder or Hub id")
    parser.add_argument("--family", default="canonical", help="deletion family")
    parser.add_argument("--models", default="models", help="folder of all models")
    options = parser.parse_args(check_options(parser, arguments))
    find_task(options.task, data=options.data, family=options.family)
    options.ratio = check_ratio(options.ratio, options.family)
    check_recorded(options.method, options.models)
    return options


def run_ensemble(arguments: Sequence[str]) -> list[str]:
    """Return the lines of a table of all metrics over ensembles, beside the values of retrained models.

    Raises:
        ValueError: If there are fewer models than any metric needs.
    """
    options = _parse_ensemble(arguments)
    from mubench.trainers.evaluation.group import find_group  # noqa: PLC0415  (mistyped options need no torch)
    from mubench.trainers.evaluation.pools import gather_pools, measure_pools, retrained_halves  # noqa: PLC0415
    from mubench.trainers.models.backbones import find_backbone  # noqa: PLC0415
    from mubench.trainers.models.setting import load_setting  # noqa: PLC0415

    place = {"data": options.data, "family": options.family, "eval_seed": options.eval_seed}
    task, models = find_task(options.task, data=options.data, family=options.family), Path(options.models)
    backbone = find_backbone(options.backbone, task, models)
    setting = load_setting(options.task, backbone, **place)
    pools = gather_pools(find_group(setting, options.ratio, models), options.method)
    values, halves = measure_pools(pools), measure_pools(retrained_halves(pools))
    sizes = f"{len(pools.unlearned)} runs", f"{len(pools.retrained)} retrained"
    lines: list[tuple[str, ...]] = [("metric", options.method, "halves of retrained", "better", "unit")]
    for key, metric in ENSEMBLE_METRICS.items():
        cells = (f"{found[key]:.4f}" if key in found else f"{metric.models}+ models" for found in (values, halves))
        lines.append((key, *cells, metric.better, metric.unit))
    return [f"{' and '.join(sizes)} of {options.task} {backbone}", *align_columns(lines, left=(0, 3, 4))]
