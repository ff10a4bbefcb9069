"""A token whose contract tells something else than is declared is not computed with."""

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from onchain_agg.chains import chain_named
from onchain_agg.cli import main
from onchain_agg.metrics.definitions import sync
from onchain_agg.warehouse.tokens import Quarantined, quarantine, quarantined
from tests.fakes.http_server import serving

pytestmark = pytest.mark.data

_ANVIL = chain_named("anvil")
_KRILL, _CUSD, _DECK = (bytes.fromhex(asset.address[2:]) for asset in _ANVIL.tracked_assets[1:])
_LYING = Quarantined(_CUSD, "CUSD", "it is declared with 6 decimals, but tells 18")


def _tracked(engine):
    with engine.connect() as connection:
        return set(
            connection.scalars(
                text("SELECT symbol FROM ops.asset WHERE chain = 'anvil' AND tracked")
            )
        )


def _node(**decimals):
    """Return a node of anvil's chain, whose tokens have *decimals*; a collection has none."""
    symbols = {asset.address: asset.symbol for asset in _ANVIL.tracked_assets[1:]}

    def result(method, asked):
        if method == "eth_chainId":
            return hex(31337)
        symbol, selector = symbols[asked["to"]], asked["data"][:10]
        if selector == "0x313ce567":
            return f"0x{decimals[symbol]:064x}" if symbol in decimals else "0x"
        if selector == "0x01ffc9a7":
            return f"0x{symbol == 'DECK':064x}"
        return "0x" + symbol.encode().ljust(32, b"\0").hex()

    def answer(_path, body):
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        said = [
            {
                "jsonrpc": "2.0",
                "id": c["id"],
                "result": result(c["method"], (*c["params"], None)[0]),
            }
            for c in calls
        ]
        return 200, json.dumps(said if isinstance(asked, list) else said[0]).encode()

    return answer


def test_a_token_in_quarantine_is_not_tracked_until_it_is_released(warehouse):
    assert "CUSD" in _tracked(warehouse)
    quarantine(warehouse, "anvil", [_LYING])

    changes = sync(warehouse)
    later = sync(warehouse)

    told = (
        "asset CUSD of anvil: in quarantine, not tracked: it is declared with 6 decimals, but tells"
        " 18"
    )
    assert changes == [told, "asset CUSD of anvil: no longer tracked"]
    assert later == [told]
    assert _tracked(warehouse) == {"ETH", "KRILL", "DECK"}

    quarantine(warehouse, "anvil", [], released=[_CUSD])

    assert sync(warehouse) == ["asset CUSD of anvil: edited"]
    assert "CUSD" in _tracked(warehouse)


def test_a_token_keeps_the_time_at_which_it_was_noticed(warehouse):
    query = text("SELECT noticed_at, reason FROM ops.quarantined_token")
    quarantine(warehouse, "anvil", [_LYING])
    with warehouse.connect() as connection:
        first = connection.execute(query).one()

    quarantine(warehouse, "anvil", [Quarantined(_CUSD, None, "it has no decimals()")])
    quarantine(warehouse, "base", [_LYING], released=[_KRILL])

    with warehouse.connect() as connection:
        found = quarantined(connection, "anvil")
        times = {row.noticed_at for row in connection.execute(query)}
    assert found == {_CUSD: Quarantined(_CUSD, None, "it has no decimals()")}
    assert first.noticed_at in times


def test_tokens_are_checked_by_command(warehouse, monkeypatch, tmp_path):
    url = warehouse.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)
    listed = tmp_path / "list.json"
    krill = {"address": f"0x{_KRILL.hex()}", "symbol": "KRILL", "decimals": 9, "chainId": 31337}
    listed.write_text(json.dumps([krill]))

    def check(node, *words):
        with serving(node) as served:
            words = ["tokens", "check", "anvil", "--rpc", served.url, *words]
            return CliRunner().invoke(main, [str(word) for word in words]).output

    assert check(_node(KRILL=18, CUSD=18)) == (
        f"CUSD 0x{_CUSD.hex()}: it is declared with 6 decimals, but tells 18.\n"
        "  asset CUSD of anvil: in quarantine, not tracked: it is declared with 6 decimals, but"
        " tells 18\n"
        "  asset CUSD of anvil: no longer tracked\n"
        "anvil: 3 tokens checked, 1 in quarantine.\n"
    )
    assert check(_node(KRILL=18, CUSD=6)) == (
        "  asset CUSD of anvil: edited\nanvil: 3 tokens checked, 0 in quarantine.\n"
    )
    assert check(_node(KRILL=18, CUSD=6), "--list", listed).startswith(
        f"KRILL 0x{_KRILL.hex()}: it is declared with 9 decimals, but tells 18.\n"
    )
    assert _tracked(warehouse) == {"ETH", "CUSD", "DECK"}
    assert check(lambda *_: (500, b"")).startswith("Error: ")
    assert _tracked(warehouse) == {"ETH", "CUSD", "DECK"}


def test_only_chains_with_tokens_are_checked():
    done = CliRunner().invoke(main, ["tokens", "check", "bitcoin", "--rpc", "http://127.0.0.1:1"])

    assert (done.exit_code, done.output) == (
        2,
        "Error: bitcoin has no tokens. Name an EVM chain.\n",
    )
