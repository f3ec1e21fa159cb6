"""The doors between uint8 and [-1, 1]."""

import pytest
import torch

from thaw.base.errors import ThawError
from thaw.base.pixels import check_images, to_pixels, to_uint8

GREYS = torch.arange(256, dtype=torch.uint8)


def test_every_grey_survives_the_round_trip():
    assert torch.equal(to_uint8(to_pixels(GREYS)), GREYS)


def test_black_is_minus_one_and_white_is_one():
    pixels = to_pixels(GREYS)
    assert pixels.dtype == torch.float32
    assert pixels[0] == -1 and pixels[255] == 1
    assert (pixels.diff() > 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_pixels_are_rounded_to_the_nearest_grey(dtype):
    between = torch.tensor([0.4, 0.6, 254.4, 254.6], dtype=dtype) / 127.5 - 1
    assert to_uint8(between).tolist() == [0, 1, 254, 255]


def test_overshoot_by_rounding_is_clamped_and_never_wraps_around():
    assert to_uint8(torch.tensor([-1.0005, 1.0005])).tolist() == [0, 255]


@pytest.mark.parametrize("value", [1.1, -1.1, 255.0, float("nan"), float("inf"), float("-inf")])
def test_values_that_are_no_pixels_are_refused(value):
    with pytest.raises(ThawError):
        to_uint8(torch.tensor([0.0, value]))


def test_converting_twice_is_refused_in_both_directions():
    with pytest.raises(ThawError, match="uint8"):
        to_pixels(to_pixels(GREYS))
    with pytest.raises(ThawError, match="float"):
        to_uint8(GREYS)


def test_the_refusal_of_large_values_names_the_magnitude():
    with pytest.raises(ThawError, match="3.5"):
        to_uint8(torch.tensor([-3.5]))


def test_no_images_are_no_problem():
    assert to_uint8(torch.empty(0, 1, 28, 28)).shape == (0, 1, 28, 28)


def test_check_images_names_the_expected_shape_and_the_given_one():
    check_images(torch.zeros(2, 1, 8, 10), (1, 8, 10))
    with pytest.raises(ThawError, match=r"1, 8, 10.*2, 1, 10, 8"):
        check_images(torch.zeros(2, 1, 10, 8), (1, 8, 10))
    with pytest.raises(ThawError, match="B, 1, 8, 10"):
        check_images(torch.zeros(1, 8, 10), (1, 8, 10))
    with pytest.raises(ThawError, match="to_pixels"):
        check_images(torch.zeros(2, 1, 8, 10, dtype=torch.uint8), (1, 8, 10))
