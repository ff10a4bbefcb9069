import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.errors import ConfigError
from onchain_agg.routing.checkpoint import checkpoint_key, resumed

KEY = "onchain_agg.resumable.parts"
ADDRESS = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"


@dataclass
class FakeStore:
    kept: dict[str, object] = field(default_factory=dict)
    writes: int = 0

    def get(self, key, default=None):
        return self.kept.get(key, default)

    def set(self, key, value):
        self.writes += 1
        self.kept[key] = value


class BrokenStore(FakeStore):
    def set(self, key, value):
        super().set(key, value)
        raise OSError("no answer")


@dataclass
class FakeClock:
    now: float = 0.0

    def __call__(self):
        return self.now


def advance(checkpoint, clock, *seconds):
    for each in seconds:
        clock.now += each
        checkpoint.advance()


def test_writes_at_most_once_a_second():
    store, clock = FakeStore(), FakeClock()
    checkpoint = resumed(store, KEY, range(9), [0, 3], clock)

    advance(checkpoint, clock, 0.25, 0.25, 0.25)
    before = store.writes
    advance(checkpoint, clock, 0.25, 0.5, 0.25)

    assert (before, store.writes, checkpoint.done) == (0, 1, 6)
    assert store.kept[KEY]["done"] == 4


def test_keeps_the_count_with_what_it_belongs_to_in_a_few_bytes():
    store = FakeStore()
    checkpoint = resumed(store, KEY, ["a", "b"], [0, 3])

    checkpoint.advance()
    checkpoint.save()

    assert store.kept == {
        KEY: {
            "parts": "ccefcedbf5a77314323b6951ab52606eedc2af0fddcec0ab2935f601b569df95",
            "of": 2,
            "cleared": [0, 3],
            "done": 1,
        }
    }


def test_writes_nothing_that_the_store_knows():
    store = FakeStore()
    checkpoint = resumed(store, KEY, range(3), [0, 3])

    checkpoint.save()
    checkpoint.advance()
    checkpoint.save()
    checkpoint.save()

    assert store.writes == 1


def test_a_write_that_fails_is_tried_again_a_second_later():
    store, clock = BrokenStore(), FakeClock()
    checkpoint = resumed(store, KEY, range(9), [0, 3], clock)

    advance(checkpoint, clock, 1, 0.5)
    before = store.writes
    advance(checkpoint, clock, 0.5)

    assert (before, store.writes, checkpoint.done) == (1, 2, 3)


@pytest.mark.parametrize(
    ("parts", "cleared", "done"),
    [
        pytest.param(["a", "b"], [0, 3], 1, id="the same loop"),
        pytest.param(("a", "b"), [0, 3], 1, id="the same parts in a tuple"),
        pytest.param(["a", "c"], [0, 3], 0, id="another part"),
        pytest.param(["b", "a"], [0, 3], 0, id="another order"),
        pytest.param(["a", "b", "c"], [0, 3], 0, id="one more part"),
        pytest.param(["a, b"], [0, 3], 0, id="a part that reads like two"),
        pytest.param(["a", "b"], [1, 5], 0, id="cleared"),
        pytest.param(["a", "b"], [1, 3], 0, id="cleared as it ran, or with fewer retries"),
        pytest.param(["a", "b"], [0, 5], 0, id="cleared, but not its run"),
    ],
)
def test_goes_on_only_where_parts_and_task_are_those_of_the_checkpoint(parts, cleared, done):
    store = FakeStore()
    first = resumed(store, KEY, ["a", "b"], [0, 3])
    first.advance()
    first.save()

    assert resumed(store, KEY, parts, cleared).done == done


@pytest.mark.parametrize("kept", ["text", 5, [], {}, {"done": 1}])
def test_begins_anew_where_the_store_holds_something_else(kept):
    assert resumed(FakeStore({KEY: kept}), KEY, range(3), [0, 3]).done == 0


@pytest.mark.parametrize("part", [date(2026, 11, 1), ("polygon", 17), Path("x"), 2**256, ADDRESS])
def test_takes_any_part_that_shows_its_value(part):
    assert resumed(FakeStore(), KEY, [part], [0, 3]).loop["of"] == 1


def test_refuses_a_part_that_shows_its_address_in_memory():
    part = object()

    message = (
        f"resumable(…): the part {part!r} shows as another text in every process, so it cannot be "
        "told from a changed one. Give it a __repr__ of its values, or loop over plain values."
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        resumed(FakeStore(), KEY, [1, part], [0, 3])


def test_a_key_names_the_loop():
    assert checkpoint_key("days-2026.11") == "onchain_agg.resumable.days-2026.11"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 201])
def test_refuses_a_name_that_cannot_be_in_a_key(name):
    message = (
        f"resumable(…, name={name!r}): write a name of 1 to 200 letters, digits, '.', _ and -."
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        checkpoint_key(name)


@given(
    parts=st.lists(st.integers(), max_size=20),
    stops=st.lists(st.integers(0, 20), max_size=5),
)
def test_every_part_is_done_once_and_in_order_whatever_interrupts_the_loop(parts, stops):
    store, done = FakeStore(), []

    for stop in [*stops, len(parts)]:
        checkpoint = resumed(store, KEY, parts, [0, 3], FakeClock())
        for part in parts[checkpoint.done :][:stop]:
            done.append(part)
            checkpoint.advance()
        checkpoint.save()

    assert done == parts


@given(pauses=st.lists(st.floats(0, 5), max_size=50))
def test_a_killed_loop_forgets_less_than_a_second_and_its_last_part(pauses):
    store, clock = FakeStore(), FakeClock()
    checkpoint = resumed(store, KEY, range(len(pauses)), [0, 3], clock)
    ended = [0.0]

    for pause in pauses:
        advance(checkpoint, clock, pause)
        ended.append(clock.now)

    known = resumed(store, KEY, range(len(pauses)), [0, 3]).done
    assert ended[-1] - ended[known] < 1
    assert store.writes <= clock.now + 1
