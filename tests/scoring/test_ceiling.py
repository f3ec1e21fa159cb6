"""Laws of the ceiling: no information gives the shares of the classes, all of it gives the class, exact odds theirs."""

import pytest
import torch

from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.data import ImageSet
from thaw.degradations import Degradation, build
from thaw.scoring import measure_ceiling, model_ceiling

SHAPE = (1, 4, 4)


def drawn(split: str, n: int) -> ImageSet:
    """Two classes, 3 : 2. Of the second, all images are white; of the first, a third is: then the odds are 1 : 2."""
    draws = generator(0, "ceiling data", split)
    labels = (torch.rand(n, generator=draws) < 0.4).long()
    white = (labels == 1) | (torch.rand(n, generator=draws) < 1 / 3)
    images = torch.randint(0, 100, (n, *SHAPE), generator=draws) + 150 * white[:, None, None, None]
    return ImageSet("drawn", split, images.to(torch.uint8), labels, 2)


TRAIN, TEST = drawn("train", 4000), drawn("test", 4000)


class Weather(Degradation):
    """Nothing of x0 is left but its mean, beside or below a z of one number a picture."""

    def __init__(self, shape=SHAPE, steps=2, hides=False):
        super().__init__(shape, steps)
        self.hides = hides

    def draw_z(self, n, generator):
        return torch.rand(n, generator=generator).round() * 2

    def forward(self, x0, t, z=None):
        mean = x0.mean(dim=(1, 2, 3), keepdim=True).expand_as(x0)
        hidden = (mean + z[:, None, None, None]) / 3
        return torch.where(t[:, None, None, None] > 0, hidden if self.hides else mean, x0)


def test_where_nothing_survives_the_shares_of_the_classes_are_all_there_is():
    share = float(TRAIN.labels.double().mean())
    true = float(TEST.labels.double().mean())
    for name in ("fade", "snow"):
        found = measure_ceiling(build(name, SHAPE), TRAIN, TEST)
        assert found.best_guess == pytest.approx(1 - true)
        assert found.posterior == pytest.approx((1 - true) * (1 - share) + true * share)
        assert found.n == 4000 and 0 < found.error < 0.01


@pytest.mark.parametrize("degradation", [build("row", SHAPE), Weather(), Weather(hides=True)])
def test_known_odds_are_found(degradation):
    """Two fifths of the images are dark and tell their class, the others are of it by 1 : 2, whatever z does."""
    found = measure_ceiling(degradation, TRAIN, TEST)
    assert found.best_guess == pytest.approx(0.4 + 0.6 * 2 / 3, abs=0.025)
    assert found.posterior == pytest.approx(0.4 + 0.6 * (1 / 9 + 4 / 9), abs=0.025)


def test_less_is_destroyed_at_earlier_steps_and_what_was_measured_is_found_again(digits, digits_test, tmp_path):
    degradation = build("fade", digits.shape, steps=4)
    early = measure_ceiling(degradation, digits, digits_test, 1, cache=tmp_path)
    late = measure_ceiling(degradation, digits, digits_test, cache=tmp_path)
    assert early.best_guess > 0.9 and late.best_guess < 0.2
    assert early.posterior <= early.best_guess + early.error
    files = list(tmp_path.glob("*.json"))
    assert len(files) == 2
    assert measure_ceiling(degradation, digits, digits_test, 1, cache=tmp_path) == early
    assert len(list(tmp_path.glob("*.json"))) == 2
    for file in files:
        file.write_text(file.read_text().replace('"n": 297', '"n": 1'))
    assert measure_ceiling(degradation, digits, digits_test, 1, cache=tmp_path).n == 1


def test_a_models_ceiling_is_that_of_its_degradation_on_its_data(tiny, digits, digits_test):
    model = tiny(study="custom", degradation="fade", steps=4)
    assert model_ceiling(model) == measure_ceiling(build("fade", digits.shape, steps=4), digits, digits_test)


def test_too_little_to_measure_is_told():
    degradation = build("fade", SHAPE, steps=4)
    some = TRAIN.take(torch.cat([(TRAIN.labels == 0).nonzero()[:50, 0], (TRAIN.labels == 1).nonzero()[:7, 0]]))
    with pytest.raises(ThawError, match="class 1 of drawn has 7 training images; .* at least 10"):
        measure_ceiling(degradation, some, TEST)
    with pytest.raises(ThawError, match="one class only"):
        measure_ceiling(degradation, TRAIN.take((TRAIN.labels == 1).nonzero()[:, 0]), TEST)
    with pytest.raises(ThawError, match="has 9 test images; .* at least 10"):
        measure_ceiling(degradation, TRAIN, TEST.take(torch.arange(9)))
    with pytest.raises(ThawError, match="between 1 and T=4, got t=5"):
        measure_ceiling(degradation, TRAIN, TEST, 5)
