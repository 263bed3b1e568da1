"""Time steps and noise of a row, which depend on no other row, and the loss of predicted noise."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mubench.trainers.engine.losses import per_example_loss, shift_labels
from mubench.trainers.engine.noise import KEY, add_grid_noise, add_training_noise, row_key
from mubench.trainers.inference.image_outputs import NOISE_LEVELS

SHAPE = (3, 2, 2)
STEPS = 100


class Schedule:
    """``x_t = (1 - t/T) x + (t/T) noise``."""

    def __init__(self, prediction_type="epsilon"):
        self.config = SimpleNamespace(num_train_timesteps=STEPS, prediction_type=prediction_type)

    def share(self, times):
        return (times / STEPS).view(-1, 1, 1, 1)

    def add_noise(self, latents, noise, times):
        return (1 - self.share(times)) * latents + self.share(times) * noise

    def get_velocity(self, latents, noise, times):
        return noise - latents


def model(prediction_type="epsilon"):
    return SimpleNamespace(shape=SHAPE, schedule=Schedule(prediction_type), latents=lambda pixels: 2 * pixels)


def batch(names="abc"):
    pixels = torch.stack([torch.full(SHAPE, float(ord(name) - 96)) for name in names])
    return {"pixel_values": pixels, "labels": torch.zeros(len(names)), KEY: torch.tensor([row_key(n) for n in names])}


def test_a_key_is_63_bits_of_the_ids_sha256():
    assert row_key("abc") == 0xBA7816BF8F01CFEA >> 1
    assert len({row_key(str(i)) for i in range(1000)}) == 1000


def test_a_noised_batch_holds_the_schedules_mixture_and_the_noise_as_labels():
    made = add_training_noise(model(), {**batch(), "forget": "kept"}, seed=3, step=7)
    share = (made["timestep"] / STEPS).view(-1, 1, 1, 1)
    assert set(made) == {"sample", "timestep", "labels", "forget"}
    torch.testing.assert_close(made["sample"], (1 - share) * 2 * batch()["pixel_values"] + share * made["labels"])
    assert (
        made["labels"].dtype == torch.float32 and shift_labels(torch.nn.Identity(), made)["labels"] is made["labels"]
    )


def test_where_velocity_is_predicted_it_is_the_label():
    plain, fast = (add_training_noise(model(kind), batch(), seed=0, step=0) for kind in ("epsilon", "v_prediction"))
    torch.testing.assert_close(fast["labels"], plain["labels"] - 2 * batch()["pixel_values"])
    assert torch.equal(fast["sample"], plain["sample"])


@pytest.mark.parametrize("noised", [lambda b: add_training_noise(model(), b, seed=1, step=2),
                                   lambda b: add_grid_noise(model(), b, 3, NOISE_LEVELS)])  # fmt: skip
def test_the_noise_of_a_row_does_not_depend_on_other_rows(noised):
    together, alone = noised(batch("abc")), noised(batch("c"))
    for name in ("sample", "timestep", "labels"):
        assert torch.equal(together[name][2:], alone[name])


def test_noise_depends_on_seed_and_step_and_not_on_the_global_random_state():
    torch.manual_seed(0)
    one = add_training_noise(model(), batch(), seed=1, step=2)["labels"]
    torch.manual_seed(1)
    np.random.default_rng(5)
    assert torch.equal(one, add_training_noise(model(), batch(), seed=1, step=2)["labels"])
    for seed, step in ((1, 3), (2, 2), (2, 1)):
        other = add_training_noise(model(), batch(), seed=seed, step=step)["labels"]
        assert not (one == other).any()


def test_times_cover_the_schedule_and_noise_is_standard_normal():
    names = [str(i) for i in range(4000)]
    keys = torch.tensor([row_key(name) for name in names])
    made = add_training_noise(
        model(), {"pixel_values": torch.zeros(4000, *SHAPE), "labels": torch.zeros(4000), KEY: keys}, seed=0, step=0
    )
    times = made["timestep"].double()
    assert times.min() == 0 and times.max() == STEPS - 1
    assert abs(times.mean() - 49.5) < 4 * 28.9 / 4000**0.5
    assert abs(made["labels"].mean()) < 4 / 48_000**0.5 and abs(made["labels"].var() - 1) < 4 * (2 / 48_000) ** 0.5


def test_the_grid_lies_in_the_middle_of_equal_parts_and_its_noises_differ():
    made = [add_grid_noise(model(), batch(), draw, NOISE_LEVELS) for draw in range(NOISE_LEVELS)]
    assert [int(one["timestep"][0]) for one in made] == [6, 18, 31, 43, 56, 68, 81, 93]
    assert len({float(one["labels"][0, 0, 0, 0]) for one in made}) == NOISE_LEVELS


def test_the_loss_of_noise_is_the_mean_squared_deviation_of_each_row():
    predicted = torch.arange(24, dtype=torch.float32).view(2, 3, 2, 2).requires_grad_()
    noise = torch.full((2, 3, 2, 2), 2.0)
    losses = per_example_loss(predicted, noise)
    by_hand = [sum((value - 2.0) ** 2 for value in range(start, start + 12)) / 12 for start in (0, 12)]
    assert losses.tolist() == pytest.approx(by_hand)
    (gradient,) = torch.autograd.grad(losses.sum(), predicted)
    torch.testing.assert_close(gradient, 2 * (predicted.detach() - noise) / 12)
    with pytest.raises(ValueError, match=r"^expected predictions of shape \(2, 3, 2, 2\), got \(2, 6, 2, 2\)$"):
        per_example_loss(torch.zeros(2, 6, 2, 2), noise)
