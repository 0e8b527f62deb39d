"""The hash table of order look-ups against a dict."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.key_table import KeyTable

KEYS = st.tuples(st.integers(0, 3), st.integers(0, 2**64 - 1) | st.integers(0, 20))
STEPS = st.lists(st.tuples(st.sampled_from(["set", "set", "discard"]), KEYS, st.integers(1, 2**64 - 1)), max_size=200)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_agrees_with_a_dict(steps: list) -> None:
    table, plain = KeyTable(4), {}
    for step, key, value in steps:
        if step == "set":
            table.set(*key, value)
            plain[key] = value
        else:
            table.discard(*key)
            plain.pop(key, None)
        assert table.count == len(plain)
        assert table.get(*key) == plain.get(key, 0)
    for key, value in plain.items():
        assert table.get(*key) == value


def test_grows_and_shrinks_without_losing_a_key() -> None:
    table = KeyTable()
    for number in range(100_000):
        table.set(number, number * 7, number + 1)
    for number in range(0, 100_000, 2):
        table.discard(number, number * 7)
    assert table.count == 50_000
    assert all(table.get(n, n * 7) == (n + 1 if n % 2 else 0) for n in range(100_000))


@pytest.mark.parametrize("places", [0, 3])
def test_places_are_a_power_of_two(places: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        KeyTable(places)
