"""Laws of processes whose noise lies only where the degradation destroys."""

import pytest
import torch
from cases import draw, full, make, make_process, name_of, pictures

from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.sampling import final, reverse

SHAPED = [("row", {}), ("col", {"group": 4}), ("mask", {}), ("fade", {}), ("eraser", {}), ("snow", {}),
          ("morph", {"data": "digits"}), ("blur", {})]  # fmt: skip
PROJECTIONS = [("row", {}), ("col", {"group": 4}), ("mask", {})]
each = pytest.mark.parametrize("case", SHAPED, ids=name_of)


def noise_like(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 1, 28, 28, dtype=torch.float64, generator=generator(seed))


@each
def test_nothing_is_destroyed_at_the_start(case):
    degradation = make(case)
    assert not degradation.destroyed(noise_like(3), full(3, 0), draw(degradation, 3)).any()


@each
def test_noise_leaves_what_survives_alone(case):
    """What D_t keeps of an image, R_t adds nothing to: D_t(x + R_t eps) = D_t(x) wherever D_t is a projection.

    A blur keeps a share of everything, and R_t = 1 - D_t.
    """
    degradation, x, t = make(case), pictures(3).double(), full(3, make(case).steps // 2)
    z = draw(degradation, 3)
    noise = degradation.destroyed(noise_like(3), t, z)
    assert noise.any()
    if case in PROJECTIONS:
        torch.testing.assert_close(degradation(x + noise, t, z), degradation(x, t, z), rtol=0, atol=2**-11)
    elif case[0] == "blur":
        torch.testing.assert_close(noise, noise_like(3) - degradation.resized(noise_like(3), t), rtol=0, atol=1e-4)
    else:
        white = torch.ones_like(x)
        kept = (degradation(white, t, z) == white) & (degradation(-white, t, z) == -white)
        assert not noise[kept].any()


@pytest.mark.parametrize("case", PROJECTIONS, ids=name_of)
def test_projections_are_orthogonal_and_nested(case):
    degradation, eps = make(case), noise_like(2)
    for t in range(1, degradation.steps + 1):
        shaped = degradation.destroyed(eps, full(2, t))
        torch.testing.assert_close(degradation.destroyed(shaped, full(2, t)), shaped)
        torch.testing.assert_close(
            ((eps - shaped) * shaped).sum(), torch.zeros((), dtype=torch.float64), rtol=0, atol=1e-9
        )
        before = degradation.destroyed(eps, full(2, t - 1))
        torch.testing.assert_close(degradation.destroyed(shaped, full(2, t - 1)), before)


@each
def test_the_noise_of_one_step_is_carried_to_an_earlier_one(case):
    """carried(R_t eps, t, s) = R_s eps."""
    degradation, eps = make(case), noise_like(2)
    z, T = draw(degradation, 2), degradation.steps
    for t, s in ((T, T - 1), (T, T // 2), (T // 2, T // 3), (T // 2, T // 2), (2, 0)):
        carried = degradation.carried(degradation.destroyed(eps, full(2, t), z), full(2, t), full(2, s), z)
        torch.testing.assert_close(carried, degradation.destroyed(eps, full(2, s), z), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("tau", [0.0, 0.4, 1.0])
@each
def test_an_oracle_restores_the_image(case, tau, eta):
    process, x0 = make_process(case, noise_in="destroyed"), pictures(2)
    z, T = draw(process.degradation, 2), process.steps
    x_T = process(x0, full(2, T), torch.full((2,), tau), noise_like(2).float(), z)
    trajectory = reverse(process, lambda x, t: x0, x_T, z=z, tau=tau, eta=eta, steps=5, generator=generator(1))
    torch.testing.assert_close(final(trajectory), x0, rtol=0, atol=1e-6)


@each
def test_a_deterministic_trajectory_with_the_true_image_is_the_forward_process(case):
    process, x0, eps = make_process(case, noise_in="destroyed"), pictures(2), noise_like(2).float()
    z, tau = draw(process.degradation, 2), torch.full((2,), 0.6)
    x_T = process(x0, full(2, process.steps), tau, eps, z)
    for t, x_t, _ in reverse(process, lambda x, t: x0, x_T, z=z, tau=0.6, eta=0.0):
        torch.testing.assert_close(x_t, process(x0, full(2, t), tau, eps, z), rtol=0, atol=1e-5)


def test_what_is_seen_without_noise_is_kept_whatever_the_restorer_says():
    """Pixels outside the mask are exact at every step, so they are exact at the end."""
    process, x0 = make_process(("mask", {}), noise_in="destroyed"), pictures(2)
    start = process.steps // 2
    x_t = process(x0, full(2, start), torch.ones(2), noise_like(2).float())
    known = process.degradation.masks[start].bool()
    restored = final(reverse(process, lambda x, t: -0.5 * x, x_t, start=start, generator=generator(1)))
    torch.testing.assert_close(restored[..., known], x0[..., known], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["scale", "pixelate", "zoom_nearest"])
def test_degradations_without_a_destroyed_subspace_refuse(name):
    with pytest.raises(ThawError, match="no destroyed subspace; use noise_in: everywhere"):
        make_process((name, {}), noise_in="destroyed")


def test_an_unknown_place_of_noise_is_refused():
    with pytest.raises(ThawError, match="somewhere"):
        make_process(("row", {}), noise_in="somewhere")
