"""`row_shifted`: ``row`` of the outputs on shifted rows, and what it refuses."""

import pytest

from mubench.trainers.metrics import Case
from mubench.trainers.metrics.row_shifted import row_shifted
from mubench.trainers.metrics.score import parts


def moved(views, model):
    """Outputs whose shifted forget rows are those of another model."""
    return {**views, "shifted": model["forget"]}


def test_row_on_shifted_rows_is_row_of_those_outputs(world):
    retrained, bases = world.retrained(), world.bases()
    near, far = world.views(saw=0.0, seed=61), world.views(saw=1.0, seed=61)
    others = [moved(one, one) for one in retrained.values()], [moved(one, one) for one in bases.values()]
    lookup = Case(moved(near, far), *others, 0.1)  # right on the forget rows alone
    assert parts(lookup).row < 0.1 and row_shifted(lookup) == pytest.approx(parts(Case(far, *others, 0.1)).row)
    with pytest.raises(ValueError, match="expected outputs on shifted forget rows, got none"):
        row_shifted(world.case(near))
