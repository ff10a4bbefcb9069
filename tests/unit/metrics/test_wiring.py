"""What a data set's reads mean for when its days are dirty."""

from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Column, Integer, MetaData, Select, Table, select

from onchain_agg.chains import all_chains
from onchain_agg.errors import DataSetError
from onchain_agg.metrics.dataset import SAME_DAY, DataSet, Reach, Window
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.metrics.wiring import Input, Reader, fact_inputs, readers_of, reads_blocks
from onchain_agg.warehouse.tables.chain import BLOCK, LABEL
from onchain_agg.warehouse.tables.market import FX_RATE, TRADE
from onchain_agg.warehouse.types import DAY, NAME


def dataset(scope, *reads, **others):
    """Return a data set of *scope* that reads these tables."""
    of = [] if scope == "global" else [Column(scope, NAME, primary_key=True, comment="Which.")]
    table = Table(
        "probe_v1",
        MetaData(schema="serving"),
        *of,
        Column("day", DAY, primary_key=True, comment="UTC day."),
        Column("count", Integer, comment="How many."),
    )
    values = {
        "name": "probe",
        "table": table,
        "family": "market",
        "scope": scope,
        "chain_families": ("utxo",) if scope == "chain" else (),
        "reads": reads,
        "reach": SAME_DAY,
        "grain": "day",
        "workload": "default",
        "rows": _rows,
        "highlights": ("count",),
    }
    return DataSet(**(values | others))


def _rows(_window: Window) -> Select:
    return select(BLOCK.c.height)


def test_a_chains_data_set_is_dirty_by_its_blocks_and_its_labels_and_by_every_price():
    probe = dataset("chain", BLOCK, LABEL, TRADE)

    utxo = [chain.name for chain in all_chains().values() if probe.covers(chain)]
    assert set(readers_of(probe)) == {
        reader
        for chain in utxo
        for reader in (
            Reader("probe", chain, "blocks", chain),
            Reader("probe", chain, "chain.label", chain),
            Reader("probe", chain, "market.trade", None),
        )
    }


def test_a_venues_data_set_is_dirty_by_its_own_venue():
    probe = dataset("venue", TRADE)

    assert readers_of(probe) == [Reader("probe", None, "market.trade", None)]
    assert fact_inputs(probe) == (Input("market.trade", same_scope=True),)
    assert not reads_blocks(probe)


def test_a_global_data_set_is_dirty_by_every_venue():
    probe = dataset("global", TRADE, FX_RATE)

    assert readers_of(probe) == [
        Reader("probe", "global", "market.trade", None),
        Reader("probe", "global", "market.fx_rate", None),
    ]


@pytest.mark.parametrize(
    ("scope", "table", "message"),
    [
        ("global", BLOCK, "probe: it reads a chain's tables, so its scope must be a chain."),
        (
            "venue",
            FX_RATE,
            (
                "probe: market.fx_rate tells no venue, so nobody would know which venue's day is"
                " dirty. Make the scope global."
            ),
        ),
    ],
)
def test_what_nobody_could_tell_dirty_is_refused(scope, table, message):
    with pytest.raises(DataSetError) as caught:
        readers_of(dataset(scope, table))

    assert str(caught.value) == message


def test_a_data_set_without_chains_names_no_kind_of_chain():
    with pytest.raises(DataSetError, match="probe: name chain_families where the scope is a chain"):
        dataset("global", FX_RATE, chain_families=("evm",))


def test_the_key_begins_with_the_scope():
    table = dataset("global", FX_RATE).table

    with pytest.raises(DataSetError, match="probe: the key must begin with venue, day;"):
        replace(dataset("venue", TRADE), table=table)


def test_every_data_set_comes_after_those_that_it_reads():
    names = list(all_datasets())
    served = {one.table: name for name, one in all_datasets().items()}

    for name, one in all_datasets().items():
        for table in one.reads:
            assert table not in served or names.index(served[table]) < names.index(name)
        assert readers_of(one)


def test_a_reach_looks_back_as_far_as_it_reaches_on():
    day = date(2026, 3, 10)

    assert Reach(3).first_day(day).isoformat() == "2026-03-08"
    assert Reach(3).last_day(day, day.replace(day=30)).isoformat() == "2026-03-12"
    assert Reach(None).first_day(day).isoformat() == "0001-01-01"
