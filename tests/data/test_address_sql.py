"""The database writes every address as the package does."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from onchain_agg.chains import chain_named
from onchain_agg.sources.bitcoin_address import address_text
from onchain_agg.warehouse.address_sql import STATEMENTS
from onchain_agg.warehouse.embedded import embedded_url, stop
from onchain_agg.warehouse.engine import engine_for

pytestmark = pytest.mark.data

UTXO_CHAINS = ("bitcoin", "litecoin", "regtest")
FORMAT_TABLE = """
CREATE TABLE ops.address_format (
    chain text PRIMARY KEY, pubkey_prefix smallint, script_prefix smallint, bech32_hrp text
)
"""


def addresses():
    """Every kind of address, leading zero bytes included."""
    hashes = st.binary(min_size=20, max_size=20) | st.integers(0, 2**64).map(
        lambda number: number.to_bytes(20)
    )
    later = st.tuples(st.integers(0x11, 0x20), st.binary(min_size=2, max_size=40))
    return st.one_of(
        hashes.map(lambda payload: b"\x00" + payload),
        hashes.map(lambda payload: b"\x05" + payload),
        hashes.map(lambda payload: b"\x10" + payload),
        st.binary(min_size=32, max_size=32).map(lambda payload: b"\x10" + payload),
        later.map(lambda parts: bytes([parts[0]]) + parts[1]),
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    engine = engine_for(embedded_url(home, "addresses"))
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA ops"))
        connection.execute(text(FORMAT_TABLE))
        for chain in map(chain_named, UTXO_CHAINS):
            connection.execute(
                text("INSERT INTO ops.address_format VALUES (:name, :pubkey, :script, :hrp)"),
                {
                    "name": chain.name,
                    "pubkey": chain.pubkey_prefix,
                    "script": chain.script_prefix,
                    "hrp": chain.bech32_hrp,
                },
            )
        for statement in (*STATEMENTS, *STATEMENTS):  # the second time replaces
            connection.execute(text(statement))
    yield engine
    engine.dispose()
    stop(home)


def written(database, chain, address_list):
    query = text(
        "SELECT ops.address_text(:chain, a) "
        "FROM unnest(CAST(:addresses AS bytea[])) WITH ORDINALITY AS t(a, n) ORDER BY n"
    )
    with database.connect() as connection:
        rows = connection.execute(query, {"chain": chain, "addresses": address_list})
        return list(rows.scalars())


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(UTXO_CHAINS), st.lists(addresses(), min_size=20, max_size=60))
def test_the_database_writes_random_addresses_as_python_does(database, name, some):
    chain = chain_named(name)

    assert written(database, name, some) == [address_text(chain, address) for address in some]


def test_an_address_of_zeros_keeps_every_leading_one(database):
    (shown,) = written(database, "bitcoin", [bytes(21)])

    assert shown == "1111111111111111111114oLvT2"


def test_another_chains_address_is_written_in_hexadecimal(database):
    (shown,) = written(database, "ethereum", [bytes.fromhex("00ff" * 10)])

    assert shown == "0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff"


def test_no_address_has_no_text(database):
    assert written(database, "bitcoin", [None]) == [None]


@pytest.mark.parametrize(
    "wrong", [b"", b"\x05", bytes(20), b"\x10" + bytes(21), b"\x21" + bytes(20)]
)
def test_bytes_that_are_no_address_are_an_error_that_shows_them(database, wrong):
    with pytest.raises(DBAPIError, match=f"0x{wrong.hex()} is no address of litecoin"):
        written(database, "litecoin", [wrong])
