"""Real nodes that change their mind: the warehouse follows, and agrees with their own books."""

from decimal import Decimal

import pytest
from sqlalchemy import text

from onchain_agg.chains import chain_named
from onchain_agg.metrics.definitions import sync
from onchain_agg.sources.bitcoin import BitcoinRpcSource
from onchain_agg.sources.bitcoin_address import address_text
from onchain_agg.sources.evm import EvmSource
from tests.fakes.warehouse import bring_up_to_date, contents
from tests.nodes import anvil, evm_contracts, litecoind
from tests.nodes.evm_contracts import deploy, send_transaction
from tests.nodes.json_rpc import JsonRpc

pytestmark = [pytest.mark.node, pytest.mark.data]

ANVIL = chain_named("anvil")
REGTEST = chain_named("regtest")
FUNDS = 10_000 * 10**18  # what anvil gives each of its accounts
EIGHT_HOURS = 8 * 3600
NOBODY = "0x" + 40 * "0"

# The private key 1, as test networks write it, and the hash of its public key.
PRIVATE = "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA"
KEY_HASH = bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")
OWNER = address_text(REGTEST, b"\x10" + KEY_HASH)
OTHER = address_text(REGTEST, b"\x05" + KEY_HASH)


def built_anew(new_database, chain, source):
    """Return the tables of a new database that only ever saw the node as it is now."""
    with new_database() as engine:
        sync(engine)
        bring_up_to_date(engine, chain, source)
        return contents(engine)


def stored_hashes(engine):
    """Return the hash of every stored block."""
    with engine.connect() as connection:
        return {h.hex() for h in connection.scalars(text("SELECT block_hash FROM chain.block"))}


def kept_balances(engine, symbol):
    """Return the warehouse's balance of each address that holds the asset."""
    query = text(
        "SELECT encode(b.address, 'hex'), b.balance FROM state.balance b"
        " JOIN ops.asset a USING (asset_id) WHERE a.chain = 'anvil' AND a.symbol = :symbol"
    )
    with engine.connect() as connection:
        rows = connection.execute(query, {"symbol": symbol})
        return {"0x" + address: int(balance) for address, balance in rows}


class AnvilScene:
    """Two tracked tokens and ether that move between four accounts, three blocks a day."""

    def __init__(self, rpc):
        self.rpc = rpc
        self.people = rpc.call("eth_accounts")
        # A deployer's first contracts have the addresses that the chain's definition tracks.
        self.tokens = {
            symbol: deploy(rpc, self.people[0], "Coin", symbol, symbol, places)
            for symbol, places in (("KRILL", 18), ("CUSD", 6))
        }

    def play(self, moves, unit):
        """Send *moves* transactions, a block each; *unit* makes this stretch's amounts its own."""
        for number in range(moves):
            giver, taker = (self.people[(number + n) % 4] for n in (0, 1))
            self.rpc.call("evm_increaseTime", EIGHT_HOURS)
            for name, amount in (("KRILL", 10**38), ("CUSD", 10**12)):
                self.tokens[name].send(self.rpc, giver, "mint", taker, amount + unit + number)
            self.tokens["KRILL"].send(self.rpc, taker, "transfer", giver, unit)
            send_transaction(self.rpc, giver, to=taker, value=10**21 + unit)

    def told_balances(self, symbol):
        """Return what the node says that each account holds, zero left out."""
        if symbol == "ETH":
            calls = [("eth_getBalance", a, "latest") for a in [*self.people, NOBODY]]
            found = [int(answer, 16) for answer in self.rpc.batch(calls)]
        else:
            found = [self.tokens[symbol].read(self.rpc, "balanceOf", a) for a in self.people]
        return {a: n for a, n in zip([*self.people, NOBODY], found, strict=False) if n}


@pytest.fixture
def anvil_node():
    if reason := anvil.available() or evm_contracts.available():
        pytest.skip(reason)
    with anvil.running_anvil("--accounts", "4") as url:
        rpc = JsonRpc(url)
        yield url, rpc
        rpc.close()


@pytest.mark.parametrize("depth", [3, 5])
def test_a_fork_of_an_evm_node_is_followed_to_the_nodes_own_balances(
    engine, new_database, anvil_node, depth
):
    url, rpc = anvil_node
    scene = AnvilScene(rpc)
    alloc = {bytes.fromhex(account[2:]): FUNDS for account in scene.people}

    def source():
        return EvmSource(ANVIL, [url], genesis_alloc=alloc)

    sync(engine)
    scene.play(4, unit=7)
    bring_up_to_date(engine, ANVIL, source())
    before = stored_hashes(engine)

    rpc.call("anvil_reorg", depth, [])
    scene.play(1, unit=11)
    bring_up_to_date(engine, ANVIL, source())

    assert len(before - stored_hashes(engine)) == depth
    for symbol in ("KRILL", "CUSD", "ETH"):
        assert kept_balances(engine, symbol) == scene.told_balances(symbol)
    assert contents(engine) == built_anew(new_database, ANVIL, source())


def spend(node, txid, vout, outputs):
    """Send the transaction that pays *outputs* and return its id."""
    raw = node.call("createrawtransaction", [{"txid": txid, "vout": vout}], outputs)
    signed = node.call("signrawtransactionwithkey", raw, [PRIVATE])
    assert signed["complete"]
    return node.call("sendrawtransaction", signed["hex"], 0)  # any fee


def kept_coins(engine):
    """Return the number and the value, in the smallest unit, of the unspent outputs."""
    query = "SELECT count(*), sum(value)::bigint FROM state.utxo WHERE chain = 'regtest'"
    with engine.connect() as connection:
        return tuple(connection.execute(text(query)).one())


def told_coins(node):
    answer = node.call("gettxoutsetinfo")
    return answer["txouts"], int(Decimal(answer["total_amount"]) * 10**8)


def test_a_fork_of_a_bitcoin_family_node_is_followed_to_the_nodes_own_coins(engine, new_database):
    if reason := litecoind.available():
        pytest.skip(reason)
    sync(engine)
    with litecoind.running_litecoind() as node:

        def source():
            return BitcoinRpcSource(REGTEST, [node.url])

        mined = node.call("generatetoaddress", 103, OWNER)
        coinbases = [node.call("getblock", block_hash)["tx"][0] for block_hash in mined[:2]]
        first = spend(node, coinbases[0], 0, [{OTHER: "20"}, {OWNER: "29"}, {"data": "c0ffee"}])
        dropped = node.call("generatetoaddress", 3, OWNER)
        bring_up_to_date(engine, REGTEST, source())
        assert kept_coins(engine) == told_coins(node)

        # The other branch spends what the first one did, and more.
        node.call("invalidateblock", dropped[0])
        node.call("generatetoaddress", 1, OTHER)
        spend(node, first, 1, [{OTHER: "28.5"}])
        spend(node, coinbases[1], 0, [{OWNER: "49"}])
        kept = node.call("generatetoaddress", 4, OTHER)
        bring_up_to_date(engine, REGTEST, source())

        assert stored_hashes(engine).isdisjoint(dropped)
        assert stored_hashes(engine).issuperset(kept)
        assert kept_coins(engine) == told_coins(node)
        assert contents(engine) == built_anew(new_database, REGTEST, source())


def test_a_bitcoin_family_node_that_lost_its_tip_is_followed_once_it_grows(engine, new_database):
    if reason := litecoind.available():
        pytest.skip(reason)
    sync(engine)
    with litecoind.running_litecoind() as node:
        mined = node.call("generatetoaddress", 12, OWNER)
        bring_up_to_date(engine, REGTEST, BitcoinRpcSource(REGTEST, [node.url]))
        before = contents(engine)

        node.call("invalidateblock", mined[8])
        assert bring_up_to_date(engine, REGTEST, BitcoinRpcSource(REGTEST, [node.url])) == []
        assert contents(engine) == before
        node.call("generatetoaddress", 1, OTHER)
        bring_up_to_date(engine, REGTEST, BitcoinRpcSource(REGTEST, [node.url]))

        assert kept_coins(engine) == told_coins(node)
        source = BitcoinRpcSource(REGTEST, [node.url])
        assert contents(engine) == built_anew(new_database, REGTEST, source)
