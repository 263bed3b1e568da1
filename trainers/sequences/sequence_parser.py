"""Parser of ``sequence``; needs no torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mubench.hub_builders.utils.cli import Parser

STEPS = 10


def sequence_parser() -> Parser:
    """Return the parser of the options of ``sequence`` that are none of a method's."""
    parser = Parser(
        prog="mubench sequence",
        usage="%(prog)s [-h] --method METHOD [--steps STEPS] --task TASK [--ratio RATIO] [--ARGUMENT VALUE ...]",
        description="Delete a forget set in requests that come one after the other, and judge the model after each.",
        epilog="All other options are those of the method: mubench METHOD --help",
        allow_abbrev=False,
    )
    parser.add_argument("--method", required=True, help="method key")
    parser.add_argument("--steps", type=int, default=STEPS, help="number of requests, which divides the ratio")
    return parser


def parse_sequence(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return method and number of steps, and the arguments of the method, after a check that it takes them."""
    options, rest = sequence_parser().parse_known_args(list(arguments))
    from mubench.trainers.runs.argument_parser import method_parser  # noqa: PLC0415  (seconds, which help does without)

    method_parser(options.method, rest).parse_given(rest)
    return options, rest
