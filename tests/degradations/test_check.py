"""`check_laws` lets every shipped degradation pass, and names what is wrong with one that breaks a law."""

import pytest
import torch

from thaw.base.errors import ThawError
from thaw.degradations import Degradation, Softened, build, check_laws, names
from thaw.experiment.own import register_from

SHAPE = (1, 8, 8)


class Fading(Degradation):
    """A sound one."""

    def share(self, t):
        return (1 - t / self.steps)[:, None, None, None]

    def forward(self, x0, t, z=None):
        return self.share(t) * x0


class NotIdentity(Fading):
    def forward(self, x0, t, z=None):
        return 0.5 * super().forward(x0, t)


class Wide(Fading):
    def forward(self, x0, t, z=None):
        return x0 * (1 + (t / self.steps)[:, None, None, None])


class Broken(Fading):
    def forward(self, x0, t, z=None):
        return x0 / (self.share(t) > 0.5)


class Cut(Fading):
    def forward(self, x0, t, z=None):
        return x0[:, :, :-1]


class Random(Fading):
    def forward(self, x0, t, z=None):
        return (super().forward(x0, t) + 0.1 * (t > 0)[:, None, None, None] * torch.randn_like(x0)).clamp(-1, 1)


class Mixing(Fading):
    def forward(self, x0, t, z=None):
        return torch.lerp(x0.mean(dim=0, keepdim=True), x0, self.share(t))


class InPlace(Fading):
    def forward(self, x0, t, z=None):
        return x0.mul_(self.share(t))


class OwnDice(Fading):
    def draw_z(self, n, generator):
        return torch.rand(n)


class OneForAll(Fading):
    def draw_z(self, n, generator):
        return torch.rand(1, generator=generator)


class Lost(Fading):
    def from_coordinates(self, coordinates, z=None):
        return torch.ones(len(coordinates), *self.shape)


class Failing(Fading):
    def forward(self, x0, t, z=None):
        return x0 @ torch.ones(3, 3)


@pytest.mark.parametrize("name", names())
def test_the_shipped_ones_keep_the_laws(name):
    degradation = build(name, SHAPE, **({"data": "digits"} if name == "morph" else {}))
    check_laws(degradation)
    check_laws(Softened(degradation, 2))
    check_laws(Fading(SHAPE, 3))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (NotIdentity, "NotIdentity at step 0 must be the identity"),
        (Wide, r"Wide leaves \[-1, 1\] at step 1 of 4"),
        (Broken, "Broken gives NaN or infinite pixels at step 2 of 4"),
        (Cut, r"Cut makes \(8, 1, 7, 8\) torch.float32 of images \(8, 1, 8, 8\)"),
        (Random, "Random gives two results for one image, at step 1"),
        (Mixing, "Mixing degrades an image in another way beside others, at step"),
        (InPlace, "InPlace changes the images that it is given, at step 1"),
        (OwnDice, "OwnDice.draw_z draws other numbers from the same generator"),
        (OneForAll, "OneForAll.draw_z must return a tensor with one entry for each of 8 images"),
        (Lost, "Lost.from_coordinates does not give x_T back"),
        (Failing, "Failing fails at step 0 of 4: "),
    ],
)
def test_a_broken_law_is_named(kind, said):
    with pytest.raises(ThawError, match=said):
        check_laws(kind(SHAPE, 4))


GOOD = """import thaw
@thaw.register({name!r})
class Mine(thaw.Degradation):
    def __init__(self, shape, steps=4):
        super().__init__(shape, steps)
    def forward(self, x0, t, z=None):
        return (1 - t / self.steps)[:, None, None, None] * x0
"""


def test_a_file_registers_one_degradation(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(GOOD.format(name="of_a_file"))
    assert register_from(path) == register_from(path) == "of_a_file"  # and again
    check_laws(build("of_a_file", SHAPE))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "registers no degradation"),
        (GOOD.format(name="one_of_two") + GOOD.format(name="two_of_two"), "registers one_of_two, two_of_two"),
        ("import nothing_such", "fails: ModuleNotFoundError: No module named 'nothing_such'"),
        ("def (", "fails: SyntaxError"),
        ("raise SystemExit(3)", "fails: SystemExit: 3"),
    ],
)
def test_a_file_that_does_not_is_refused(text, said, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(ThawError, match=said):
        register_from(path)
    with pytest.raises(ThawError, match="no file"):
        register_from(tmp_path / "other.py")
