"""Settings as text: what YAML means here, and where a mistake stands."""

import pytest

from thaw.base.errors import ThawError
from thaw.base.settings import parse_yaml, settings_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1e2", 100.0), ("1e-3", 1e-3), ("-.5E3", -500.0), ("1.", 1.0), ("1_000", 1000), ("010", 10), ("+3", 3)],
        *[("true", True), ("yes", "yes"), ("no", "no"), ("on", "on"), ("null", None), ("~", None), ("", None)],
        *[("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("[8, 1e1]", [8, 10.0]), ("a b", "a b"), ("1e2x", "1e2x")],
        ("[&a {x: 1}, {<<: *a, x: 2}]", [{"x": 1}, {"x": 2}]),
    ],
)
def test_values_are_what_they_look_like(text, value):
    """Nothing is a number in base 8 or 60, a date or a truth value by accident; 1e-3 is a number."""
    found = parse_yaml(text, "x")
    assert found == value and type(found) is type(value)
    assert settings_of([f"some-key={text}"]) == {"some_key": value}


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("epochs", "key=value, got 'epochs'"),
        ("=3", "key=value, got '=3'"),
        ("widths=[8, 16", "'widths=\\[8, 16' is not valid YAML at line 1, column 14"),
        ("options={a: 1, a: 2}", "line 1, column 16: a is set twice"),
        ("x=" + "[" * 5000, "cannot be read"),
        ("x=" + "9" * 5000, "cannot be read"),
    ],
)
def test_what_is_no_setting_is_told_with_its_place(pair, said):
    with pytest.raises(ThawError, match=said):
        settings_of([pair])
