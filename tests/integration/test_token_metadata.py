"""Token metadata from contracts on a live anvil."""

import pytest

from onchain_agg.sources.rpc import Rpc
from onchain_agg.sources.token_metadata import Declared, disagreements, read_tokens
from tests.nodes import anvil, evm_contracts
from tests.nodes.evm_contracts import deploy
from tests.nodes.json_rpc import JsonRpc

pytestmark = pytest.mark.node


def test_real_contracts_tell_what_they_were_deployed_with():
    if reason := anvil.available() or evm_contracts.available():
        pytest.skip(reason)
    with anvil.running_anvil("--accounts", "1") as url:
        rpc = JsonRpc(url)
        (owner,) = rpc.call("eth_accounts")
        contracts = [
            deploy(rpc, owner, "Coin", "Sample Coin", "C", 6),
            deploy(rpc, owner, "Coin", "Fine Coin", "FINE", 40),
            deploy(rpc, owner, "Coin", "Line\nbreak", "A\nB", 18),
            deploy(rpc, owner, "Collectible"),
            deploy(rpc, owner, "Items"),
        ]
        rpc.close()

        told = read_tokens(Rpc([url]), "anvil", [c.address for c in contracts] + [owner])

    assert [(t.name, t.symbol, t.decimals, t.is_collection) for t in told] == [
        ("Sample Coin", "C", 6, False),
        ("Fine Coin", "FINE", 40, False),
        (None, None, 18, False),
        ("Sample Deck", "DECK", None, True),
        (None, None, None, True),
        (None, None, None, False),
    ]
    assert [disagreements(Declared(t.address, "", 0), t) for t in told] == [
        ("it is declared with 0 decimals, but tells 6",),
        (
            "it tells 40 decimals, more than 38",
            "it is declared with 0 decimals, but tells 40",
        ),
        (
            "its symbol holds the control character U+000A",
            "it is declared with 0 decimals, but tells 18",
        ),
        (),
        (),
        ("it has no symbol()", "it has no decimals()"),
    ]
