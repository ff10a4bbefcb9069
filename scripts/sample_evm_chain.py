"""Makes the sample's EVM chain on a running anvil: eight days of whales, an exchange and traders.

Everything follows from `SEED` and fixed times, so a second run makes the same blocks. Each scene
sends a few transactions; `play` strings scenes to blocks and mines them.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from random import Random

from tests.nodes.evm_contracts import Contract, deploy, send_transaction
from tests.nodes.json_rpc import JsonRpc

SEED = 20260301
GENESIS_AT = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
DAYS, BLOCKS_A_DAY, DAY_S = 8, 48, 86_400
MINER = "0x" + "c0" * 20
ANVIL_ARGS = (
    *("--no-mining", "--order", "fifo", "--chain-id", "31337", "--accounts", "40"),
    *("--balance", "100000", "--timestamp", str(GENESIS_AT), "--gas-limit", "100000000"),
    *("--mnemonic", "test test test test test test test test test test test junk"),
    *("--block-base-fee-per-gas", "1000000000", "--hardfork", "prague"),
)

GWEI, ETHER = 10**9, 10**18
KRILL, CUSD = 10**18, 10**6  # the smallest units of one token
HOLDERS = [f"0x{sha256(f'sample holder {n}'.encode()).hexdigest()[:40]}" for n in range(300)]


class SampleError(Exception):
    """The chain did not become what the script meant it to be."""


@dataclass
class Story:
    """The chain's people and contracts, and what the script believes each holds."""

    rpc: JsonRpc
    accounts: list[str]
    random: Random = field(default_factory=lambda: Random(SEED))  # noqa: S311 - must repeat
    contracts: dict[str, Contract] = field(default_factory=dict)
    coins: dict[str, Counter[str]] = field(default_factory=dict)  # token name → holder → amount
    pieces: dict[int, str] = field(default_factory=dict)  # ERC-721 id → owner
    items: Counter[tuple[str, int]] = field(default_factory=Counter)  # (holder, ERC-1155 id)
    meant_to_fail: set[str] = field(default_factory=set)
    sent: int = 0
    minted: int = 0  # pieces; a burned piece's number is not used again

    @property
    def treasury(self) -> str:
        """Return the account that deploys and mints."""
        return self.accounts[0]

    @property
    def whales(self) -> list[str]:
        """Return the accounts with the large balances."""
        return self.accounts[1:5]

    @property
    def hot_wallet(self) -> str:
        """Return the exchange's own account, into which deposits are swept."""
        return self.accounts[5]

    @property
    def deposits(self) -> list[str]:
        """Return the exchange's deposit accounts, one per customer."""
        return self.accounts[7:15]

    @property
    def traders(self) -> list[str]:
        """Return the accounts of everyday people."""
        return self.accounts[15:]

    @property
    def exchange(self) -> str:
        """Return the address of the exchange's wallet contract."""
        return self.contracts["ExchangeWallet"].address

    def fees(self) -> dict[str, int]:
        """Return the fee fields of the next transaction; the tip differs from one to the next."""
        self.sent += 1
        tip = GWEI + (self.sent * 7_919) % GWEI
        return {"maxFeePerGas": 100 * GWEI, "maxPriorityFeePerGas": tip}

    def call(self, sender: str, name: str, function: str, *args: object, **fields: int) -> str:
        """Send a call of contract *name* and return the transaction's hash."""
        contract = self.contracts[name]
        return contract.send(self.rpc, sender, function, *args, **fields, **self.fees())

    def create(self, name: str, contract: str, *args: object, **fields: int) -> None:
        """Deploy *contract* and remember it as *name*."""
        self.contracts[name] = deploy(
            self.rpc, self.treasury, contract, *args, **fields, **self.fees()
        )

    def send_ether(self, sender: str, to: str, value: int, gas: int = 21_000) -> str:
        """Send *value* wei and return the transaction's hash."""
        fields = self.fees()
        return send_transaction(self.rpc, sender, to=to, value=value, gas=gas, **fields)

    def mint(self, token: str, to: str, amount: int) -> None:
        """Mint *amount* of an ERC-20."""
        self.call(self.treasury, token, "mint", to, amount)
        self.coins[token][to] += amount

    def transfer(self, token: str, sender: str, to: str, amount: int) -> None:
        """Move *amount* of an ERC-20, which *sender* must have."""
        self.call(sender, token, "transfer", to, amount)
        self.move(token, sender, to, amount)

    def move(self, token: str, sender: str, to: str, amount: int) -> None:
        """Note that *amount* of an ERC-20 changed hands."""
        self.coins[token][sender] -= amount
        self.coins[token][to] += amount

    def share(self, token: str, holder: str, low: int, high: int) -> int:
        """Return between *low* and *high* per mille of what *holder* has, at odd digits."""
        has = self.coins[token][holder]
        return self.random.randint(has * low // 1000, has * high // 1000)


def play(story: Story) -> None:
    """Mine the whole chain.

    Raises:
        SampleError: A transaction succeeded or failed against the script's intention.
    """
    rpc, random = story.rpc, story.random
    rpc.call("anvil_setCoinbase", MINER)
    for height, at in enumerate(block_times()[1:], start=1):
        for scene in _scenes_of(height, random):
            scene(story)
        rpc.call("anvil_setNextBlockBaseFeePerGas", hex(GWEI + (height * 37_000_019) % GWEI))
        rpc.call("evm_setNextBlockTimestamp", hex(at))
        rpc.call("evm_mine")
        _check_outcomes(story, height)


def block_times() -> list[int]:
    """Return each block's time in seconds; every day ends at 23:59:59 and begins at 00:00:00."""
    random = Random(SEED)  # noqa: S311 - must repeat
    step = DAY_S // BLOCKS_A_DAY
    times = []
    for day in range(DAYS):
        start = GENESIS_AT + day * DAY_S
        inner = [
            start + slot * step + random.randrange(step) for slot in range(1, BLOCKS_A_DAY - 1)
        ]
        times += [start, *inner, start + DAY_S - 1]
    return times


def _check_outcomes(story: Story, height: int) -> None:
    for receipt in story.rpc.call("eth_getBlockReceipts", hex(height)):
        meant = receipt["transactionHash"] not in story.meant_to_fail
        if meant != (receipt["status"] == "0x1"):
            raise SampleError(f"Block {height}: {receipt['transactionHash']} went the other way.")
    pending = story.rpc.call("txpool_status")
    if pending != {"pending": "0x0", "queued": "0x0"}:
        raise SampleError(f"Block {height}: transactions were left out: {pending}.")


def _deploy_all(story: Story) -> None:
    story.create("KRILL", "Coin", "Krill", "KRILL", 18)
    story.create("CUSD", "Coin", "Coastal Dollar", "CUSD", 6)
    story.create("DECK", "Collectible")
    story.create("Items", "Items")
    story.create("ExchangeWallet", "ExchangeWallet")
    for number in range(3):
        story.create(f"Deposit{number}", "DepositAddress", story.exchange)
    story.create("MalformedToken", "MalformedToken")
    story.coins = {"KRILL": Counter(), "CUSD": Counter()}


def _first_mints(story: Story) -> None:
    # The first three are above 2**128: an amount that two 64-bit words cannot hold.
    for whale, thousands in zip(story.whales, (950, 720, 410, 260), strict=True):
        story.mint("KRILL", whale, thousands * 10**18 * KRILL + story.random.randrange(10**30))
        story.mint("CUSD", whale, thousands * 40_000 * CUSD + story.random.randrange(CUSD))
    story.mint("KRILL", story.exchange, 180 * 10**18 * KRILL)
    story.mint("CUSD", story.exchange, 9_000_000 * CUSD)


def _fund_traders(story: Story) -> None:
    for trader in story.traders:
        story.mint("KRILL", trader, story.random.randrange(10**15 * KRILL, 10**18 * KRILL))
        story.mint("CUSD", trader, story.random.randrange(500 * CUSD, 90_000 * CUSD))


def _trade(story: Story) -> None:
    token = story.random.choice(("KRILL", "CUSD"))
    seller, buyer = story.random.sample(story.traders, 2)
    story.transfer(token, seller, buyer, story.share(token, seller, 1, 200))


def _whale_move(story: Story) -> None:
    token = story.random.choice(("KRILL", "CUSD"))
    whale, other = story.random.sample(story.whales, 2)
    story.transfer(token, whale, other, story.share(token, whale, 20, 450))


def _pay_out_tokens(story: Story) -> None:
    token = story.random.choice(("KRILL", "CUSD"))
    payees = story.random.sample(HOLDERS, story.random.randint(3, 14))
    amounts = [story.share(token, story.exchange, 0, 4) for _ in payees]
    address = story.contracts[token].address
    story.call(story.hot_wallet, "ExchangeWallet", "payTokens", address, payees, amounts)
    for payee, amount in zip(payees, amounts, strict=True):
        story.move(token, story.exchange, payee, amount)


def _deposit_tokens(story: Story) -> None:
    token, trader = story.random.choice(("KRILL", "CUSD")), story.random.choice(story.traders)
    story.transfer(
        token, trader, story.random.choice(story.deposits), story.share(token, trader, 10, 300)
    )


def _sweep(story: Story) -> None:
    for token in ("KRILL", "CUSD"):
        for deposit in story.deposits:
            if amount := story.coins[token][deposit]:
                story.transfer(token, deposit, story.hot_wallet, amount)
        if amount := story.coins[token][story.hot_wallet]:
            story.transfer(token, story.hot_wallet, story.exchange, amount)


def _deposit_through_contract(story: Story) -> None:
    name, trader = f"Deposit{story.random.randrange(3)}", story.random.choice(story.traders)
    address = story.contracts[name].address
    story.send_ether(trader, address, story.random.randrange(ETHER, 9 * ETHER), gas=100_000)
    story.transfer("CUSD", trader, address, story.share("CUSD", trader, 10, 300))
    story.call(story.hot_wallet, name, "sweep", story.contracts["CUSD"].address)
    story.move("CUSD", address, story.exchange, story.coins["CUSD"][address])


def _send_ether(story: Story) -> None:
    sender = story.random.choice(story.traders)
    to = story.random.choice([*HOLDERS, *story.traders, sender])
    story.send_ether(sender, to, story.random.randrange(1, 20 * ETHER))


def _whale_ether(story: Story) -> None:
    whale, other = story.random.sample([*story.whales, story.hot_wallet], 2)
    story.send_ether(whale, other, story.random.randrange(900 * ETHER, 4_000 * ETHER))


def _pay_out_ether(story: Story) -> None:
    """Forward ether in one transaction; one payee refuses, so its part stays with the exchange."""
    payees = story.random.sample(HOLDERS, 4)
    payees.insert(2, story.contracts["MalformedToken"].address)
    amounts = [story.random.randrange(1, 3 * ETHER) for _ in payees]
    sent = sum(amounts) + 5
    story.call(story.hot_wallet, "ExchangeWallet", "payEther", payees, amounts, value=sent)


def _fail_after_a_payment_inside(story: Story) -> None:
    """Run out of gas after the first payee was paid, so that payment is undone with the rest."""
    payees, amounts = HOLDERS[:3], [ETHER, 2 * ETHER, 3 * ETHER]
    failed = story.call(
        story.hot_wallet, "ExchangeWallet", "payEther", payees, amounts, value=6 * ETHER, gas=80_000
    )
    story.meant_to_fail.add(failed)


def _fail_to_transfer(story: Story) -> None:
    poor, rich = story.traders[0], story.whales[0]
    too_much = story.coins["KRILL"][poor] + 1
    story.meant_to_fail.add(story.call(poor, "KRILL", "transfer", rich, too_much, gas=120_000))


def _burn(story: Story) -> None:
    token, holder = story.random.choice(("KRILL", "CUSD")), story.random.choice(story.traders)
    amount = story.share(token, holder, 1, 90)
    story.call(holder, token, "burn", amount)
    story.coins[token][holder] -= amount


def _mint_pieces(story: Story) -> None:
    for _ in range(3):
        story.minted += 1
        story.pieces[story.minted] = story.random.choice(story.traders)
        story.call(story.treasury, "DECK", "mint", story.pieces[story.minted], story.minted)


def _trade_pieces(story: Story) -> None:
    owned = [n for n, owner in story.pieces.items() if owner in story.traders]
    for number in story.random.sample(owned, min(2, len(owned))):
        seller, buyer = story.pieces[number], story.random.choice([*story.traders, *HOLDERS[:9]])
        story.call(seller, "DECK", "transferFrom", seller, buyer, number)
        story.pieces[number] = buyer


def _burn_piece(story: Story) -> None:
    owned = [n for n, owner in story.pieces.items() if owner in story.traders]
    if owned:
        number = story.random.choice(owned)
        story.call(story.pieces[number], "DECK", "burn", number)
        del story.pieces[number]


def _mint_items(story: Story) -> None:
    holder = story.random.choice(story.traders)
    ids = story.random.sample(range(1, 12), 4)
    # A marketplace's item often comes in a handful of copies, a game's currency in billions.
    amounts = [story.random.randrange(1, 10 ** (1 + number)) for number in ids]
    story.call(story.treasury, "Items", "mintBatch", holder, ids, amounts)
    for number, amount in zip(ids, amounts, strict=True):
        story.items[holder, number] += amount
    story.call(story.treasury, "Items", "mint", holder, 12, 2**140 + len(story.items))
    story.items[holder, 12] += 2**140 + len(story.items)


def _move_items(story: Story) -> None:
    holder = story.random.choice(
        sorted({h for (h, _), n in story.items.items() if n and h in story.traders})
    )
    ids = sorted(number for (h, number), n in story.items.items() if h == holder and n)[:5]
    amounts = [story.random.randint(1, story.items[holder, number]) for number in ids]
    to = story.random.choice(HOLDERS)
    story.call(holder, "Items", "safeBatchTransferFrom", holder, to, ids, amounts, b"")
    for number, amount in zip(ids, amounts, strict=True):
        story.items[holder, number] -= amount
        story.items[to, number] += amount


def _burn_items(story: Story) -> None:
    holder, number = next(key for key, n in story.items.items() if n and key[0] in story.traders)
    amount = (story.items[holder, number] + 1) // 2
    story.call(holder, "Items", "burn", holder, number, amount)
    story.items[holder, number] -= amount


def _emit_malformed(story: Story) -> None:
    sender = story.traders[1]
    story.call(sender, "MalformedToken", "emitUnindexed", sender, HOLDERS[0], 10**20)
    story.call(sender, "MalformedToken", "emitShort", sender, HOLDERS[1])


def _fill_piggybank(story: Story) -> None:
    story.create("Piggybank", "Piggybank", value=12 * ETHER + 34)


def _retire_piggybank(story: Story) -> None:
    story.call(story.traders[2], "Piggybank", "retire", HOLDERS[7])


Scene = Callable[[Story], None]

_SET_PIECES: dict[int, tuple[Scene, ...]] = {
    1: (_deploy_all, _first_mints),
    2: (_fund_traders, _mint_pieces, _mint_items),
    3: (_mint_pieces, _mint_items, _whale_ether),
    60: (_emit_malformed,),
    70: (_fill_piggybank,),
    90: (_retire_piggybank,),
    100: (),  # an empty block
    200: (_fail_after_a_payment_inside, _whale_move),
    310: (_emit_malformed, _fail_to_transfer),
}
_EVERYDAY: tuple[tuple[Scene, int], ...] = (
    *((_trade, 20), (_send_ether, 16), (_deposit_tokens, 12), (_pay_out_tokens, 10)),
    *((_trade_pieces, 8), (_move_items, 4), (_sweep, 4), (_deposit_through_contract, 4)),
    *((_pay_out_ether, 3), (_mint_pieces, 3), (_burn, 3), (_whale_move, 3), (_whale_ether, 2)),
    *((_mint_items, 2), (_burn_piece, 2), (_burn_items, 2), (_fail_to_transfer, 2)),
)


def _scenes_of(height: int, random: Random) -> tuple[Scene, ...]:
    if height in _SET_PIECES:
        return _SET_PIECES[height]
    scenes, weights = zip(*_EVERYDAY, strict=True)
    return tuple(random.choices(scenes, weights, k=random.randint(1, 4)))
