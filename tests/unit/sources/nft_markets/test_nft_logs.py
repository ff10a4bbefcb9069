"""The assembly: what all markets say of a block, in one order, and what is kept apart."""

from datetime import date

import pyarrow as pa
import pytest

from onchain_agg.errors import ForkError, SourceError
from onchain_agg.sources.batch import SCHEMAS
from onchain_agg.sources.evm_logs import TRANSFER_TOPICS
from onchain_agg.sources.flash_loans import PROTOCOLS
from onchain_agg.sources.nft_aggregators import AGGREGATORS
from onchain_agg.sources.nft_logs import nft_tables, nft_topics
from onchain_agg.sources.nft_markets import all_nft_markets
from onchain_agg.sources.nft_markets.cryptopunks import BOUGHT, CONTRACT
from onchain_agg.sources.nft_markets.wyvern import MATCHED
from tests.fakes.nft_events import topic_of
from tests.unit.sources.nft_markets.made_logs import (
    ALICE,
    APES,
    BLOCK,
    BOB,
    CAROL,
    MOST,
    blocks,
    erc721,
    log,
    reasons,
    tables,
    trades,
)

WYVERN = "0x7f268357a8c2552623316e2562d90e642bb538e5"
LENDER = "0x" + 40 * "5"
FLASH_LOANS = {
    "aave_v1": "FlashLoan(address,address,uint256,uint256,uint256,uint256)",
    "aave_v2": "FlashLoan(address,address,address,uint256,uint256,uint16)",
    "aave_v3": "FlashLoan(address,address,address,uint256,uint8,uint256,uint16)",
    "balancer_v2": "FlashLoan(address,address,uint256,uint256)",
    "dodo": "DODOFlashLoan(address,address,uint256,uint256)",
    "maker": "VatDaiFlashLoan(address,uint256,uint256)",
    "morpho": "FlashLoan(address,address,uint256)",
    "uniswap_v3": "Flash(address,address,uint256,uint256,uint256,uint256)",
}


def punk(number, price=5, tx=1):
    return log(CONTRACT, [BOUGHT, number, ALICE, BOB], [price], tx=tx)


def match(token_id, tx=1):
    """Return a token's transfer and the match that sells it."""
    return [
        erc721(APES, ALICE, BOB, token_id, tx=tx),
        log(WYVERN, [MATCHED, ALICE, BOB, 0], [0, 1, 9], tx=tx),
    ]


def test_trades_of_several_markets_stand_in_the_order_of_their_logs():
    made = trades(punk(1), *match(MOST), punk(3), *match(4, tx=2))

    sold = [(row["log_index"], row["market"], row["token_id"]) for row in made]
    assert sold == [
        (0, "cryptopunks", 1),
        (2, "wyvern", MOST),
        (3, "cryptopunks", 3),
        (5, "wyvern", 4),
    ]


def test_every_row_says_where_its_log_is():
    made = nft_tables([*match(7, tx=6)], blocks())["nft_trade"]

    (row,) = made.to_pylist()
    assert (row["day"], row["height"]) == (date(2020, 9, 13), 7)
    assert "0x" + row["block_hash"].hex() == BLOCK
    assert (row["tx_index"], int.from_bytes(row["tx_hash"], "big")) == (6, 6)


def test_an_event_of_an_unknown_contract_is_kept_apart_and_the_others_are_read():
    strange = log(CAROL, [BOUGHT, 1, ALICE, BOB], [5])

    made = tables(punk(1), strange, punk(2))

    assert [row["token_id"] for row in made["nft_trade"]] == [1, 2]
    (kept,) = made["malformed_log"]
    assert (kept["log_index"], kept["token"]) == (1, CAROL)
    assert kept["reason"] == "cryptopunks: event of an unknown contract"


def test_a_contract_is_known_by_its_address_in_any_case():
    shouting = log("0x" + CONTRACT[2:].upper(), [BOUGHT, 1, ALICE, BOB], [5])

    assert [row["token_id"] for row in trades(shouting)] == [1]


def test_what_is_refused_stands_in_the_order_of_the_logs():
    orphan = log(WYVERN, [MATCHED, ALICE, BOB, 0], [0, 1, 9], tx=3)

    assert reasons(orphan, log(CAROL, [BOUGHT, 1, ALICE, BOB], [5], tx=4), orphan) == [
        (0, "wyvern: no token moved before the match"),
        (1, "cryptopunks: event of an unknown contract"),
        (2, "wyvern: no token moved before the match"),
    ]


def test_no_logs_and_logs_of_others_give_empty_tables_of_the_schema():
    for logs in ([], [erc721(APES, ALICE, BOB, 1)], [log(APES, ["0x" + 64 * "3"])]):
        made = nft_tables(logs, blocks())

        assert {name: batch.num_rows for name, batch in made.items()} == dict.fromkeys(made, 0)
        assert {name: batch.schema for name, batch in made.items()} == {
            name: SCHEMAS[name] for name in made
        }


def test_a_log_without_topics_is_nobody_s():
    bare = punk(1)
    bare.topics = ()

    assert {name: rows for name, rows in tables(bare).items() if rows} == {}


def test_filled_tables_have_the_schema_of_empty_ones():
    made = nft_tables([*match(1), punk(2)], blocks())

    assert {name: isinstance(batch, pa.RecordBatch) for name, batch in made.items()} == (
        dict.fromkeys(made, True)
    )
    assert [batch.schema for batch in made.values()] == [SCHEMAS[name] for name in made]


def test_a_log_of_a_block_that_is_not_among_the_headers_is_a_fork():
    strange = punk(1)
    strange.block_hash = "0x" + 64 * "4"

    with pytest.raises(ForkError):
        nft_tables([strange], blocks())


@pytest.mark.parametrize("words", [1, 4, 40])
def test_data_that_is_not_hex_is_the_node_s_error(words):
    nonsense = log(CONTRACT, [BOUGHT, 1, ALICE, BOB], "0x" + "zz" * 32 * words)

    with pytest.raises(SourceError, match="bytes that are not hex"):
        nft_tables([nonsense], blocks())


def test_a_flash_loan_names_its_protocol_and_its_lender():
    topic = next(topic for topic, name in PROTOCOLS.items() if name == "uniswap_v3")

    made = tables(punk(1), log(LENDER, [topic, ALICE, BOB], [1, 2, 3, 4]))

    assert made["flash_loan"] == [{"log_index": 1, "lender": LENDER, "protocol": "uniswap_v3"}]


def test_the_topics_of_flash_loans_are_the_hashes_of_their_signatures():
    hashed = {topic_of(text): name for name, text in FLASH_LOANS.items()}

    assert hashed == PROTOCOLS


def test_a_topic_belongs_to_one_market_and_every_topic_is_asked_for():
    markets = all_nft_markets().values()
    own = [topic for market in markets for topic in market.topics]

    assert len(own) == len(set(own))
    assert {*own, *TRANSFER_TOPICS, *PROTOCOLS} <= {*nft_topics(), *TRANSFER_TOPICS}
    assert list(nft_topics()) == sorted({*nft_topics()})


def test_a_contract_belongs_to_one_market_and_is_written_in_lower_case():
    contracts = [contract for m in all_nft_markets().values() for contract in m.contracts]

    assert len(contracts) == len(set(contracts))
    for address in (*contracts, *AGGREGATORS):
        assert len(bytes.fromhex(address.removeprefix("0x"))) == 20
        assert address == address.lower()


def test_no_market_is_an_aggregator():
    contracts = {contract for m in all_nft_markets().values() for contract in m.contracts}

    assert contracts & set(AGGREGATORS) == set()
