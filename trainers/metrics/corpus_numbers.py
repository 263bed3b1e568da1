"""Verbatim and knowledge memorisation, PrivLeak and utility of MUSE (arXiv:2407.06460), in its public code's settings.

Texts are generated greedily and compared by ROUGE-L F1 without stemming: the continuation of a forget row after its
first half, at most 128 tokens, and answers to questions about documents. MUSE multiplies all three by 100.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.case import Case
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.metrics.memorisation import priv_leak, tokens
from mubench.trainers.metrics.rouge import rouge_l_f1, words

# A generated text, and the true one.
Pair = tuple[str, str]


def mean_f1(pairs: Sequence[Pair]) -> float:
    """Return the mean ROUGE-L F1 of generated texts, in [0, 1], over true ones that have a word.

    Raises:
        ValueError: If no true text has one.
    """
    values = [rouge_l_f1(text, reference) for text, reference in pairs if words(reference)]
    if not values:
        raise ValueError(
            f"expected texts with words of the letters a to z and digits, which ROUGE reads, got {len(pairs)} without"
        )
    return float(np.mean(values))


def continuations(outputs: Outputs) -> list[Pair]:
    """Return what was generated after the first half of rows, and what follows there.

    Raises:
        ValueError: If nothing was generated.
    """
    answers = tokens(outputs).answers
    if answers is None or not answers.chosen.any():
        raise ValueError(f"expected texts generated for some of {len(outputs)} rows, got none")
    rows = np.flatnonzero(answers.chosen)
    return list(zip(answers.generated[rows].tolist(), answers.reference[rows].tolist(), strict=True))


def corpus_numbers(
    model: SplitOutputs, retrained: SplitOutputs, answers: Mapping[str, Sequence[Pair]] | None = None
) -> dict[str, float]:
    """Return the numbers of MUSE for a model, by name; those about questions where there are some.

    ``verbatim_memorisation`` is the mean F1 of continuations of forget rows, ``knowledge_memorisation`` that of
    answers to questions about documents of the forget set, ``utility`` to those of the retain set; ``priv_leak`` is
    in %.

    Args:
        model: Its outputs on ``forget`` and ``test`` rows, with generated texts.
        retrained: Those of a model that was retrained without the forget set.
        answers: Generated and true answers to the questions about ``forget`` and ``retain`` documents.

    Raises:
        ValueError: If there are no generated texts, or none with words that ROUGE reads.
    """
    numbers = {"verbatim_memorisation": mean_f1(continuations(model["forget"]))}
    for name, part in (("knowledge_memorisation", "forget"), ("utility", "retain")):
        if answers is not None and answers.get(part):
            numbers[name] = mean_f1(answers[part])
    return {**numbers, "priv_leak": priv_leak(Case(model, [retrained], [], 0.0))}
