"""The warehouse follows its definitions: what changed is computed again, and nothing else."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from onchain_agg.chains import Asset, all_chains
from onchain_agg.errors import ConfigError
from onchain_agg.metrics import definitions
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.registry import all_datasets, dataset_named
from onchain_agg.warehouse.apply import reset_state
from onchain_agg.warehouse.tables import METADATA, ops
from tests.fakes.chain import FakeNode, Transfer, block
from tests.fakes.scenes import EVM, KRILL, PEOPLE, UTXO, WHALE, branch, row_versions, scalar
from tests.fakes.warehouse import FEW_DATA_SETS, bring_up_to_date, contents, publish_all, wipe

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

NEWCOMER = bytes.fromhex("00" * 19 + "aa")
EXTRA = Asset(
    symbol="NEW", address="0x" + NEWCOMER.hex(), decimals=2, start_block=0, whale_threshold=50
)
READERS = [
    name
    for name, dataset in all_datasets().items()
    if dataset.covers(EVM) and ops.ASSET in dataset.reads and name in FEW_DATA_SETS
]


@pytest.fixture
def chains(monkeypatch):
    """Return the chains as the definitions see them; a test may put others in their place."""
    seen = dict(all_chains())
    monkeypatch.setattr(definitions, "all_chains", lambda: seen)
    return seen


@pytest.fixture
def datasets(monkeypatch):
    """Return the data sets as the definitions see them; a test may put others in their place."""
    seen = dict(all_datasets())
    monkeypatch.setattr(definitions, "all_datasets", lambda: seen)
    return seen


def with_token(token, blocks_before=0):
    """Return seven blocks over two days in which *token* moves, after some in which it does not."""
    blocks = branch(EVM, blocks_before)
    parent = blocks[-1] if blocks else None
    for height in range(blocks_before, 7):
        transfers = (
            Transfer(token, bytes(20), PEOPLE[height % 3], 40 + 3 * height),
            Transfer(KRILL, bytes(20), PEOPLE[0], WHALE + height),
        )
        parent = block(parent, transfers=transfers)
        blocks.append(parent)
    return blocks


def served(engine):
    """Return every table, with assets by their address in place of their number."""
    found = contents(engine)
    with engine.connect() as connection:
        address = dict(
            tuple(row)
            for row in connection.execute(text("SELECT asset_id, address FROM ops.asset"))
        )
    for name in ("state.balance", "state.balance_delta"):
        found[name] = sorted((address[row[0]], *row[1:]) for row in found[name])
    return found


def built_with(engine, blocks, extra=None):
    """Return the tables of a build that had these definitions from the start."""
    wipe(engine)
    sync(engine, extra)
    bring_up_to_date(engine, EVM, FakeNode(EVM, blocks))
    return served(engine)


def dirty_days(engine):
    """Return the number of dirty days of each published data set that reads assets."""
    with engine.connect() as connection:
        query = "SELECT dataset, count(DISTINCT day) FROM ops.dirty GROUP BY dataset"
        found = dict(tuple(row) for row in connection.execute(text(query)))
    return {name: days for name, days in found.items() if name in READERS}


def test_a_new_asset_equals_one_that_was_there_from_the_start(engine):
    blocks, extra = with_token(NEWCOMER), {"anvil": [EXTRA]}
    sync(engine)
    bring_up_to_date(engine, EVM, FakeNode(EVM, blocks))

    assert sync(engine, extra) == ["asset NEW of anvil: new"]
    assert dirty_days(engine) == dict.fromkeys(READERS, 2)
    publish_all(engine)

    whales = "SELECT count(*) FROM serving.whale_transfer_v1 WHERE symbol = 'NEW'"
    assert scalar(engine, whales) == 3  # 52, 55 and 58 of the seven
    assert served(engine) == built_with(engine, blocks, extra)


def test_an_asset_that_is_tracked_no_more_vanishes(engine):
    blocks, extra = with_token(NEWCOMER), {"anvil": [EXTRA]}
    sync(engine, extra)
    bring_up_to_date(engine, EVM, FakeNode(EVM, blocks))

    assert sync(engine) == ["asset NEW of anvil: no longer tracked"]
    publish_all(engine)

    assert (
        scalar(engine, "SELECT count(*) FROM serving.whale_transfer_v1 WHERE symbol = 'NEW'") == 0
    )
    assert (
        scalar(engine, "SELECT count(*) FROM history.whale_transfer_v1 WHERE symbol = 'NEW'") == 3
    )
    assert served(engine) == built_with(engine, blocks)


def test_an_asset_that_comes_back_has_its_balances_once(engine):
    blocks, extra = with_token(NEWCOMER), {"anvil": [EXTRA]}
    sync(engine, extra)
    bring_up_to_date(engine, EVM, FakeNode(EVM, blocks[:4]))
    sync(engine)
    bring_up_to_date(engine, EVM, FakeNode(EVM, blocks))

    sync(engine, extra)
    publish_all(engine)

    assert served(engine) == built_with(engine, blocks, extra)


def test_another_threshold_makes_the_assets_days_dirty_and_whales_follow(engine):
    blocks, extra = with_token(NEWCOMER), {"anvil": [EXTRA]}
    sync(engine, extra)
    bring_up_to_date(engine, EVM, FakeNode(EVM, blocks))
    lower = {"anvil": [replace(EXTRA, whale_threshold=46)]}
    amounts = (
        "SELECT array_agg(amount ORDER BY amount)::int[] FROM serving.whale_transfer_v1"
        " WHERE symbol = 'NEW'"
    )
    assert scalar(engine, amounts) == [52, 55, 58]

    assert sync(engine, lower) == ["asset NEW of anvil: edited"]
    publish_all(engine)

    assert scalar(engine, amounts) == [46, 49, 52, 55, 58]
    assert served(engine) == built_with(engine, blocks, lower)


def test_an_assets_change_dirties_no_day_before_its_first_block(engine):
    blocks = with_token(NEWCOMER, blocks_before=3)
    sync(engine)
    bring_up_to_date(engine, EVM, FakeNode(EVM, blocks))
    extra = {"anvil": [replace(EXTRA, start_block=3)]}

    sync(engine, extra)

    assert dirty_days(engine) == dict.fromkeys(READERS, 1)
    publish_all(engine)
    assert served(engine) == built_with(engine, blocks, extra)


@pytest.mark.parametrize(("before", "after"), [(0, 5), (5, 0)])
def test_another_first_block_reaches_the_days_between_the_old_and_the_new(engine, before, after):
    blocks = with_token(NEWCOMER)
    sync(engine, {"anvil": [replace(EXTRA, start_block=before)]})
    bring_up_to_date(engine, EVM, FakeNode(EVM, blocks))
    moved = {"anvil": [replace(EXTRA, start_block=after)]}

    sync(engine, moved)
    publish_all(engine)

    assert served(engine) == built_with(engine, blocks, moved)


def test_a_chains_own_definition_counts_like_an_extra_asset(engine, chains):
    sync(engine)
    bring_up_to_date(engine, EVM, FakeNode(EVM, branch(EVM, 7)))
    krill = chains["anvil"].tracked_assets[1]
    chains["anvil"] = replace(
        chains["anvil"], tracked_assets=(replace(krill, whale_threshold=WHALE + 3, start_block=0),)
    )

    changes = sync(engine)
    publish_all(engine)

    assert changes == [
        "asset KRILL of anvil: edited",
        "asset ETH of anvil: no longer tracked",
        "asset CUSD of anvil: no longer tracked",
        "asset DECK of anvil: no longer tracked",
    ]
    least = "SELECT min(amount)::text FROM serving.whale_transfer_v1"
    assert scalar(engine, least) == str(WHALE + 3)
    assert served(engine) == built_with(engine, branch(EVM, 7))


def test_an_edited_data_set_makes_all_of_its_days_dirty_and_no_other(engine, datasets):
    sync(engine)
    bring_up_to_date(engine, EVM, FakeNode(EVM, branch(EVM, 7)))
    bring_up_to_date(engine, UTXO, FakeNode(UTXO, branch(UTXO, 4)))
    original = dataset_named("whale_transfer")
    datasets["whale_transfer"] = replace(
        original, rows=lambda window: original.rows(window).limit(10**6)
    )

    before = scalar(engine, "SELECT max(seq) FROM ops.dirty")

    assert sync(engine) == ["data set whale_transfer: edited"]

    query = (
        "SELECT dataset, scope, count(*) FROM ops.dirty WHERE seq > :before"
        " GROUP BY 1, 2 ORDER BY 1, 2"
    )
    with engine.connect() as connection:
        found = connection.execute(text(query), {"before": before}).all()
    assert [tuple(row) for row in found] == [
        ("whale_transfer", "anvil", 2),
        ("whale_transfer", "regtest", 2),
    ]


def test_synchronising_twice_writes_nothing(engine):
    names = [t.fullname for t in METADATA.tables.values()]
    extra = {"anvil": [EXTRA]}
    changes = sync(engine, extra)
    bring_up_to_date(engine, EVM, FakeNode(EVM, branch(EVM, 4)))
    before = row_versions(engine, *names)

    assert len(changes) == len(all_datasets()) + 1 + sum(
        len(chain.tracked_assets) for chain in all_chains().values()
    )
    assert sync(engine, extra) == []
    assert row_versions(engine, *names) == before


def test_a_thousand_assets_are_tracked_at_once(engine):
    tokens = [(10**40 + n).to_bytes(20) for n in range(1000)]
    extra = {
        "anvil": [
            Asset(
                symbol=f"T{n}",
                address="0x" + token.hex(),
                decimals=0,
                start_block=0,
                whale_threshold=1000,
            )
            for n, token in enumerate(tokens)
        ]
    }
    blocks, parent = [], None
    for start in range(0, 1000, 250):
        transfers = tuple(
            Transfer(token, bytes(20), PEOPLE[0], start + n + 1)
            for n, token in enumerate(tokens[start : start + 250])
        )
        parent = block(parent, transfers=transfers)
        blocks.append(parent)
    sync(engine, extra)

    windows = bring_up_to_date(engine, EVM, FakeNode(EVM, blocks))
    again = sync(engine, extra)

    assert again == []
    rows = {w.dataset: w.rows for w in windows}
    # The fourth block is on the second day; the holders of the first are counted at its close.
    assert rows["top_holders_daily"] == 750
    assert rows["whale_transfer"] == 1
    assert scalar(engine, "SELECT sum(balance)::int FROM state.balance") == 500_500
    with engine.begin() as connection:
        reset_state(connection, EVM)
    assert scalar(engine, "SELECT count(*) FROM state.balance") == 0


@pytest.mark.parametrize(
    ("asset", "message"),
    [
        pytest.param(
            replace(EXTRA, address="0x12"),
            "Asset NEW of anvil: '0x12' is not an address. Give 0x and 40 hexadecimal digits.",
            id="a short address",
        ),
        pytest.param(
            replace(EXTRA, address="0x" + KRILL.hex()),
            "Asset NEW of anvil is defined twice: 0x5fbdb2315678afecb367f032d93f642f64180aa3 is"
            " already KRILL. Remove one.",
            id="an asset that is defined already",
        ),
        pytest.param(
            replace(EXTRA, address=None),
            "Asset NEW of anvil is defined twice: native is already ETH. Remove one.",
            id="a second native coin",
        ),
    ],
)
def test_a_wrong_asset_is_refused_and_nothing_is_written(engine, asset, message):
    with pytest.raises(ConfigError) as error:
        sync(engine, {"anvil": [asset]})

    assert str(error.value) == message
    assert scalar(engine, "SELECT count(*) FROM ops.asset") == 0
