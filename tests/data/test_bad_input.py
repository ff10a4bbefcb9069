"""Bad input is one line that names the thing and the cure, and leaves no half-written table."""

import shutil
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import create_engine, text

from onchain_agg import sample
from onchain_agg.chains import chain_named
from onchain_agg.errors import (
    ConfigError,
    NodeBehindError,
    OnchainAggError,
    SourceError,
    UnknownNameError,
    WrongChainError,
)
from onchain_agg.metrics.compute import compute
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.sources.bitcoin import BlockFileSource
from onchain_agg.sources.evm import EvmSource
from onchain_agg.sources.rpc import Rpc, RpcLimits
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.engine import engine_for
from onchain_agg.warehouse.schema import check_migrated
from onchain_agg.warehouse.tables import METADATA
from tests.fakes.chain import FakeNode, block
from tests.fakes.scenes import EVM, UTXO, branch, row_versions, scalar
from tests.fakes.warehouse import bring_up_to_date, contents
from tests.nodes.node_process import free_port

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]


def everything(engine):
    return row_versions(engine, *(t.fullname for t in METADATA.tables.values()))


def refused(kind, call, *args, **options):
    """Return what *call* says when it refuses; one line, of that kind of error."""
    with pytest.raises(OnchainAggError) as error:
        call(*args, **options)
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_unknown_chain_is_told_with_the_nearest_name():
    said = refused(UnknownNameError, chain_named, "etherium")

    assert said == (
        "No chain is named 'etherium'. Did you mean 'ethereum'? Defined: anvil, base, bitcoin,"
        " ethereum, litecoin, polygon, regtest."
    )


def test_an_unknown_data_set_is_told_with_the_nearest_name():
    said = refused(UnknownNameError, dataset_named, "whale_transfers")

    assert said.startswith("No data set is named 'whale_transfers'. Did you mean 'whale_transfer'?")
    assert "top_holders_daily" in said


def test_a_database_that_is_not_migrated_says_how_to_migrate_it(server_url, engine):
    name = f"{engine.url.database}_bare"
    administrator = create_engine(server_url, isolation_level="AUTOCOMMIT")
    with administrator.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    bare = engine_for(engine.url.set(database=name).render_as_string(hide_password=False))

    said = refused(ConfigError, check_migrated, bare)

    bare.dispose()
    with administrator.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))
    administrator.dispose()
    assert f"/{name}" in said
    assert said.endswith(" is not migrated (at revision none, needs 0001). Run `onchain-agg init`.")


RANGES = [
    pytest.param(
        {"first": 5, "last": 3},
        ConfigError,
        "anvil: the range 5 to 3 is empty. FROM must not exceed TO.",
        id="FROM above TO",
    ),
    pytest.param(
        {"first": 1},
        ConfigError,
        "anvil: block 1 was asked for, but the source starts at 2.",
        id="FROM below the source's first block",
    ),
    pytest.param(
        {"first": 2, "last": 9},
        NodeBehindError,
        "anvil: block 9 was asked for, but the source ends at 7. Wait for the node, or ask for 7"
        " at most.",
        id="TO above the tip",
    ),
    pytest.param(
        {"first": 9},
        NodeBehindError,
        "anvil: block 9 was asked for, but the source ends at 7. Wait for the node, or ask for 7"
        " at most.",
        id="FROM above the tip",
    ),
]


@pytest.mark.parametrize(("options", "kind", "message"), RANGES)
def test_a_range_that_cannot_be_loaded_is_refused(warehouse, options, kind, message):
    node = FakeNode(EVM, branch(EVM, 8)[2:])
    before = everything(warehouse)

    assert refused(kind, ingest.plan, warehouse, EVM, node, **options) == message
    assert everything(warehouse) == before


def test_a_node_that_ends_within_a_range_leaves_whole_blocks_only(warehouse):
    node = FakeNode(UTXO, branch(UTXO, 4), chunk=2)

    refused(NodeBehindError, ingest.load, warehouse, UTXO, node, 0, 5)

    assert scalar(warehouse, "SELECT max(height) FROM chain.block") == 3
    apply_blocks(warehouse, UTXO, final_height=-1)
    # What was made over of each block but the first, and the last one's two others.
    assert scalar(warehouse, "SELECT count(*) FROM state.utxo") == 5


def test_a_node_of_another_chain_is_refused_before_anything_is_read(warehouse):
    polygon = chain_named("polygon")
    before = everything(warehouse)

    with sample.running_replay() as url:
        said = refused(WrongChainError, ingest.plan, warehouse, polygon, EvmSource(polygon, [url]))

    assert said == (
        "Connection 'onchain_polygon' serves chain id 31337, but polygon is 137. Point the"
        " connection at a polygon node."
    )
    assert everything(warehouse) == before


def test_a_node_that_nobody_answers_for_is_named(warehouse):
    url = f"http://127.0.0.1:{free_port()}"
    source = EvmSource(EVM, Rpc([url], RpcLimits(timeout_s=2)))
    before = everything(warehouse)

    said = refused(SourceError, ingest.plan, warehouse, EVM, source)

    assert url in said
    assert everything(warehouse) == before


def test_a_block_file_of_another_network_is_refused(warehouse):
    litecoin = chain_named("litecoin")
    source = BlockFileSource(litecoin, sample.block_dir())
    before = everything(warehouse)

    said = refused(WrongChainError, ingest.plan, warehouse, litecoin, source)

    assert said == (
        f"{sample.block_dir() / 'blk00000.dat'} starts with the magic fabfb5da (a block file of"
        " bitcoin or litecoin regtest), but litecoin has fbc0b6db. Name the block files of"
        " litecoin."
    )
    assert everything(warehouse) == before


def test_a_block_that_is_cut_off_in_the_middle_of_a_file_is_refused(warehouse, tmp_path):
    whole = (sample.block_dir() / "blk00000.dat").read_bytes()
    cut = whole.index(bytes.fromhex("fabfb5da"), 4000) - 30
    (tmp_path / "blk00000.dat").write_bytes(whole[:cut] + whole[cut + 20 :])
    before = everything(warehouse)

    said = refused(SourceError, ingest.plan, warehouse, UTXO, BlockFileSource(UTXO, tmp_path))

    assert said.startswith(f"{tmp_path / 'blk00000.dat'} is damaged at offset ")
    assert said.endswith("Copy the file from the node again.")
    assert everything(warehouse) == before


def test_a_file_that_ends_within_a_block_is_read_up_to_the_block_before(warehouse, tmp_path):
    shutil.copy(sample.block_dir() / "blk00000.dat", tmp_path)
    whole = BlockFileSource(UTXO, tmp_path).tip().height
    path = tmp_path / "blk00000.dat"
    frames = path.read_bytes().rstrip(b"\0")
    path.write_bytes(frames[:-40])
    source = BlockFileSource(UTXO, tmp_path)

    ingest.plan(warehouse, UTXO, source)

    assert source.tip().height == whole - 1


def test_an_input_of_nowhere_stops_the_state_at_the_block_before(warehouse):
    good = branch(UTXO, 3)
    orphan = replace(good[-1].transactions[1], inputs=((b"?" * 32, 0),))
    bad = block(good[-1], transactions=(good[-1].transactions[0], orphan))
    node = FakeNode(UTXO, good)
    bring_up_to_date(warehouse, UTXO, node)
    before = contents(warehouse)
    node.blocks = [*good, bad]
    for first, last in ingest.plan(warehouse, UTXO, node):
        ingest.load(warehouse, UTXO, node, first, last)

    said = refused(ConfigError, apply_blocks, warehouse, UTXO, final_height=-1)

    assert said == (
        f"regtest: block 3 spends output {(b'?' * 32).hex()}:0, which no earlier block created."
        " The stored facts are damaged: delete chain 'regtest' from the tables of chain and state,"
        " and load it again."
    )
    after = contents(warehouse)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"chain.block", "chain.utxo_input", "chain.utxo_output"}


def test_a_day_without_blocks_is_nothing_to_compute(warehouse):
    assert compute(warehouse, dataset_named("whale_transfer"), "anvil") == []
    with warehouse.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO ops.dirty (dataset, scope, day) VALUES ('whale_transfer', 'anvil', :d)"
            ),
            {"d": date(2026, 1, 1)},
        )

    assert compute(warehouse, dataset_named("whale_transfer"), "anvil") == []

    assert scalar(warehouse, "SELECT count(*) FROM ops.dirty") == 0
    assert scalar(warehouse, "SELECT count(*) FROM ops.window") == 0
