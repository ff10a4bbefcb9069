"""Whatever stands in the logs of a transaction, each market's own end as trades or as a reason.

The logs are those of the scenes, which are right, with some changed, cut, doubled or left out.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from onchain_agg.sources.nft_logs import nft_tables
from tests.fakes.nft_events import Event, logs_of
from tests.nodes.nft_scenes import ALICE, APES, ETHER, SCENES
from tests.unit.sources.nft_markets.made_logs import BLOCK, MOST, blocks

_WORDS = (
    st.sampled_from([0, 1, 2, 3, 5, 8, ETHER, MOST, 2**160, 2**160 - 1])
    | st.integers(0, 40).map(lambda words: 32 * words)
    | st.sampled_from([APES, ALICE]).map(lambda address: int(address, 16))
    | st.integers(0, MOST)
)
_CHANGES = st.sampled_from(["word", "word", "word", "topics", "length", "twice", "gone"])


def _changed(data, events):
    """Return the events with one of them changed."""
    at = data.draw(st.integers(0, len(events) - 1))
    before, one, after = events[:at], events[at], events[at + 1 :]
    change, words = data.draw(_CHANGES), len(one.data) // 32
    if change == "word" and words:
        made = [one.with_word(data.draw(st.integers(0, words - 1)), data.draw(_WORDS))]
    elif change == "length":
        made = [one.with_data(one.data[: data.draw(st.integers(0, len(one.data)))])]
    elif change == "topics":
        made = [Event(one.address, one.topics[: data.draw(st.integers(1, 4))], one.data)]
    else:
        made = [one] * (2 if change == "twice" else 0)
    return [*before, *made, *after]


# A change is quick, and most of them are refused for the same few reasons.
@settings(max_examples=settings().max_examples * 10)
@given(scene=st.sampled_from(sorted(SCENES)), data=st.data())
def test_a_log_is_read_whole_or_kept_with_one_reason(scene, data):
    events = list(SCENES[scene].events)
    for _ in range(data.draw(st.integers(1, 3))):
        events = _changed(data, events) or list(SCENES[scene].events)

    made = nft_tables(logs_of(events, block_hash=BLOCK), blocks())

    trades, kept = made["nft_trade"].to_pylist(), made["malformed_log"].to_pylist()
    sold = {(row["log_index"], row["item_index"]) for row in trades}
    refused = {row["log_index"] for row in kept}
    assert (len(sold), len(refused)) == (len(trades), len(kept))
    assert {log for log, _ in sold} & refused == set()
    for row in trades:
        assert (row["price"] is None) == (row["unpriced"] is not None)
        assert _part(row, "platform_fee") + _part(row, "royalty") <= _part(row, "price")
        assert row["item_index"] < row["bundle_size"]


def _part(row, name):
    """Return an amount; what has no price has no fees that count."""
    told = row[name] is not None and row["price"] is not None
    return int.from_bytes(row[name]) if told else 0
