"""Makes the sample's Bitcoin-family chain on a running litecoind: eight days of payments.

People sign with fixed keys through the node, blocks are mined from its mempool at fixed times, and
every choice follows from `SEED`, so a second run makes the same blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from random import Random
from typing import Any

from tests.nodes.litecoind import Litecoind

SEED = 20260301
START_AT = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
DAYS, DAY_S = 8, 86_400
# The first day holds enough blocks for the first coinbases to mature (100 blocks).
FIRST_DAY_BLOCKS, BLOCKS_A_DAY = 112, 30
MATURITY = 100
COIN = 10**8
_DUST = 10_000
_WIF_PREFIX = 0xEF
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_KINDS = ("pk", "pkh", "wpkh", "sh(wpkh)")


class SampleError(Exception):
    """The chain did not become what the script meant it to be."""


@dataclass(frozen=True)
class Person:
    """Someone who can sign: one key and one kind of output script."""

    wif: str
    descriptor: str  # with its checksum
    script: str  # hex
    redeem_script: str  # hex; empty unless the script is a P2SH


@dataclass(frozen=True)
class Coin:
    """An unspent output of a person, its value in the smallest unit."""

    txid: str
    vout: int
    value: int
    owner: Person
    spendable_from: int  # height


# A person, or the hex of any script, and a value.
Output = tuple[Person | str, int]


@dataclass
class Story:
    """The chain's people and the coins that they can spend."""

    node: Litecoind
    people: list[Person]
    random: Random = field(default_factory=lambda: Random(SEED))  # noqa: S311 - must repeat
    coins: list[Coin] = field(default_factory=list)
    height: int = 0

    @property
    def miners(self) -> list[Person]:
        """Return the people whom blocks pay: an uncompressed P2PK key first, as in 2009."""
        return self.people[:4]

    @property
    def exchange(self) -> Person:
        """Return the exchange's hot wallet."""
        return self.people[4]

    def take(self, count: int, owner: Person | None = None) -> list[Coin]:
        """Take up to *count* spendable coins, all of *owner* where one is named."""
        ripe = [
            coin
            for coin in self.coins
            if coin.spendable_from <= self.height and owner in (None, coin.owner)
        ]
        taken = self.random.sample(ripe, min(count, len(ripe)))
        self.coins = [coin for coin in self.coins if coin not in taken]
        return taken

    def spend(self, inputs: list[Coin], outputs: list[Output]) -> list[Coin]:
        """Send a transaction and return its outputs that a person can spend.

        Args:
            inputs: What to spend, signed by each owner.
            outputs: What to pay; the rest of the inputs is the fee.
        """
        signed = self.sign(inputs, outputs)
        txid = self.node.call("sendrawtransaction", signed, 0)
        return self.received(txid, outputs)

    def sign(self, inputs: list[Coin], outputs: list[Output]) -> str:
        """Return the hex of a signed transaction."""
        answer = self.node.call(
            "signrawtransactionwithkey",
            _unsigned(inputs, [(_script_of(to), value) for to, value in outputs]),
            sorted({coin.owner.wif for coin in inputs}),
            [_as_previous_output(coin) for coin in inputs],
        )
        signed: str = answer["hex"]
        return signed

    def received(self, txid: str, outputs: list[Output]) -> list[Coin]:
        """Return the coins that transaction *txid* gives to people."""
        return [
            Coin(txid, vout, value, to, self.height)
            for vout, (to, value) in enumerate(outputs)
            if isinstance(to, Person)
        ]


def people(node: Litecoind) -> list[Person]:
    """Return everyone who signs, with the scripts that the node makes of their keys."""
    kinds = ["pk", "pk", "pkh", "wpkh", "wpkh", *(_KINDS[n % 4] for n in range(60))]
    return [_person(node, number, kind) for number, kind in enumerate(kinds)]


def play(story: Story) -> None:
    """Mine the whole chain.

    Raises:
        SampleError: A block left a transaction out.
    """
    for height, at in enumerate(block_times(), start=1):
        story.height = height
        story.node.call("setmocktime", at)
        if height > MATURITY:
            for scene in _scenes_of(height, story.random):
                scene(story)
        miner = story.miners[story.random.randrange(len(story.miners))]
        if height == _UNDERCLAIMED_AT:
            _mine_without_claiming_the_fee(story, miner)
        else:
            story.node.call("generatetodescriptor", 1, miner.descriptor)
        _collect_reward(story, miner)


def block_times() -> list[int]:
    """Return each header's time after genesis; every day ends at 23:59:59 and begins at 00:00:00.

    Every 17th block of the quiet days is timed before its parent, as miners' clocks allow, so the
    header's time and the median time past differ in order.
    """
    random = Random(SEED)  # noqa: S311 - must repeat
    times: list[int] = []
    for day in range(DAYS):
        count = BLOCKS_A_DAY if day else FIRST_DAY_BLOCKS
        start, step = START_AT + day * DAY_S, DAY_S // count
        inner = [start + slot * step + random.randrange(step) for slot in range(1, count - 1)]
        times += [start, *inner, start + DAY_S - 1]
    for late in range(FIRST_DAY_BLOCKS + 10, len(times) - BLOCKS_A_DAY, 17):
        if times[late] % DAY_S not in (0, DAY_S - 1):
            times[late] = times[late - 1] - 60
    return times


def _collect_reward(story: Story, miner: Person) -> None:
    if left_out := story.node.call("getrawmempool"):
        raise SampleError(f"Block {story.height} left transactions out: {left_out}.")
    block = story.node.call("getblock", story.node.call("getbestblockhash"), 2)
    coinbase = block["tx"][0]
    value = satoshi(coinbase["vout"][0]["value"])
    story.coins.append(Coin(coinbase["txid"], 0, value, miner, story.height + MATURITY))


def satoshi(amount: Decimal | int) -> int:
    """Return an amount that the node gives in coins in the smallest unit."""
    return int((Decimal(amount) * COIN).to_integral_exact())


def _pay(story: Story) -> None:
    inputs = story.take(story.random.randint(1, 3))
    total = sum(coin.value for coin in inputs)
    if total > 10 * _DUST:
        paid = story.random.randrange(_DUST, total // 2)
        outputs: list[Output] = [
            (story.random.choice(story.people), paid),
            (inputs[0].owner, total - paid),
        ]
        story.coins += story.spend(inputs, _less_fee(story, outputs))


def _pay_a_stranger(story: Story) -> None:
    inputs = story.take(1)
    total = sum(coin.value for coin in inputs)
    if total > 10 * _DUST:
        paid = story.random.randrange(_DUST, total // 3)
        outputs: list[Output] = [(_stranger(story), paid), (inputs[0].owner, total - paid)]
        story.coins += story.spend(inputs, _less_fee(story, outputs))


def _split(story: Story) -> None:
    """The exchange pays many in one transaction."""
    inputs = story.take(2, story.exchange) or story.take(1)
    share = sum(coin.value for coin in inputs) // 40
    if share > _DUST:
        payees = story.random.sample(story.people, 8)
        outputs: list[Output] = [
            *((payee, share + n) for n, payee in enumerate(payees)),
            *((_stranger(story), share // 2 + n) for n in range(6)),
        ]
        rest = sum(coin.value for coin in inputs) - sum(value for _, value in outputs)
        story.coins += story.spend(inputs, _less_fee(story, [*outputs, (story.exchange, rest)]))


def _consolidate(story: Story) -> None:
    inputs = story.take(story.random.randint(4, 7))
    outputs: list[Output] = [(story.exchange, sum(coin.value for coin in inputs))]
    story.coins += story.spend(inputs, _less_fee(story, outputs))


def _whale_payment(story: Story) -> None:
    """At least 100 coins to one script, from as many of the largest coins as that takes."""
    ripe = [coin for coin in story.coins if coin.spendable_from <= story.height]
    ripe.sort(key=lambda coin: (-coin.value, coin.txid, coin.vout))
    inputs = ripe[:4]
    total = sum(coin.value for coin in inputs)
    if total > 110 * COIN:
        story.coins = [coin for coin in story.coins if coin not in inputs]
        payee, rest = story.random.choice(story.people), total - 103 * COIN
        outputs: list[Output] = [(payee, 103 * COIN), (story.exchange, rest)]
        story.coins += story.spend(inputs, _less_fee(story, outputs))


def _chain_in_one_block(story: Story) -> None:
    """Three payments, each of which spends the one before it in the same block."""
    coins = story.take(1)
    for _ in range(3):
        if coins[0].value > 10 * _DUST:
            outputs: list[Output] = [
                (story.random.choice(story.people), coins[0].value * 3 // 4),
                (_stranger(story), coins[0].value - coins[0].value * 3 // 4),
            ]
            coins = story.spend(coins[:1], _less_fee(story, outputs))
    story.coins += coins


def _leave_a_note(story: Story) -> None:
    inputs = story.take(1)
    note = f"sample note {story.height}".encode()
    outputs: list[Output] = [
        (inputs[0].owner, inputs[0].value),
        (f"6a{len(note):02x}{note.hex()}", 0),
    ]
    story.coins += story.spend(inputs, _less_fee(story, outputs))


def _burn_in_a_note(story: Story) -> None:
    """An OP_RETURN with a value: those coins leave the supply."""
    inputs = story.take(1)
    outputs: list[Output] = [(inputs[0].owner, inputs[0].value - 777), ("6a046275726e", 777)]
    story.coins += story.spend(inputs, _less_fee(story, outputs))


def _share_a_multisig(story: Story) -> None:
    """A bare multisig, which has no address."""
    inputs = story.take(1)
    keys = [person.script[2:-2] for person in (story.people[1], story.people[5])]
    script = "51" + "".join(f"{len(key) // 2:02x}{key}" for key in keys) + "52ae"
    outputs: list[Output] = [(inputs[0].owner, inputs[0].value - 2 * _DUST), (script, 2 * _DUST)]
    story.coins += story.spend(inputs, _less_fee(story, outputs))


def _mine_without_claiming_the_fee(story: Story, miner: Person) -> None:
    """A coinbase below what the block may pay: `generateblock` leaves the fees to nobody."""
    inputs = story.take(1)
    outputs = _less_fee(story, [(inputs[0].owner, inputs[0].value)])
    signed = story.sign(inputs, outputs)
    story.node.call("generateblock", miner.descriptor, [signed])
    txid = story.node.call("decoderawtransaction", signed)["txid"]
    story.coins += story.received(txid, outputs)


Scene = Callable[[Story], None]

_UNDERCLAIMED_AT = 250
_SET_PIECES: dict[int, tuple[Scene, ...]] = {
    101: (_pay,),
    102: (_split,),
    110: (_whale_payment,),
    111: (_chain_in_one_block, _leave_a_note),
    112: (_consolidate, _share_a_multisig),
    180: (_burn_in_a_note,),
    200: (),  # nothing but the reward
    _UNDERCLAIMED_AT: (),
}
_EVERYDAY: tuple[tuple[Scene, int], ...] = (
    *((_pay, 16), (_pay_a_stranger, 8), (_split, 4), (_chain_in_one_block, 4)),
    *((_leave_a_note, 2), (_consolidate, 2), (_whale_payment, 1), (_share_a_multisig, 1)),
)


def _scenes_of(height: int, random: Random) -> tuple[Scene, ...]:
    if height in _SET_PIECES:
        return _SET_PIECES[height]
    scenes, weights = zip(*_EVERYDAY, strict=True)
    return tuple(random.choices(scenes, weights, k=random.randint(1, 5)))


def _less_fee(story: Story, outputs: list[Output]) -> list[Output]:
    """Take a fee from the output with the largest value."""
    largest = max(range(len(outputs)), key=lambda n: outputs[n][1])
    to, value = outputs[largest]
    fee = 2_000 + 10 * story.random.randrange(800)
    return [*outputs[:largest], (to, value - fee), *outputs[largest + 1 :]]


def _stranger(story: Story) -> str:
    """Return the script of someone who only receives, of any kind that hides its key."""
    name = sha256(f"sample stranger {story.random.randrange(250)}".encode()).hexdigest()
    kinds = {
        "0": f"76a914{name[:40]}88ac",  # P2PKH
        "1": f"a914{name[:40]}87",  # P2SH
        "2": f"0014{name[:40]}",  # P2WPKH
        "3": f"0020{name}",  # P2WSH
        "4": f"5120{name}",  # taproot
    }
    return kinds[str(int(name[-2:], 16) % 5)]


def _person(node: Litecoind, number: int, kind: str) -> Person:
    wif = _wif(sha256(f"sample person {number}".encode()).digest(), compressed=number > 0)
    plain = f"sh(wpkh({wif}))" if kind == "sh(wpkh)" else f"{kind}({wif})"
    descriptor = node.call("getdescriptorinfo", plain)["descriptor"]
    key = descriptor.partition("#")[0].rsplit("(", 1)[1].rstrip(")")
    own_script = f"{len(key) // 2:02x}{key}ac"
    if kind == "pk":
        return Person(wif, descriptor, own_script, "")
    (address,) = node.call("deriveaddresses", descriptor)
    script = node.call("validateaddress", address)["scriptPubKey"]
    witness = node.call("decodescript", own_script).get("segwit", {}).get("hex", "")
    return Person(wif, descriptor, script, witness if kind == "sh(wpkh)" else "")


def _wif(secret: bytes, *, compressed: bool) -> str:
    payload = bytes([_WIF_PREFIX]) + secret + (b"\x01" if compressed else b"")
    payload += sha256(sha256(payload).digest()).digest()[:4]
    number, digits = int.from_bytes(payload, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return digits


def _script_of(to: Person | str) -> str:
    return to.script if isinstance(to, Person) else to


def _as_previous_output(coin: Coin) -> dict[str, Any]:
    previous = {
        "txid": coin.txid,
        "vout": coin.vout,
        "scriptPubKey": coin.owner.script,
        "amount": f"{Decimal(coin.value) / COIN:.8f}",
    }
    if coin.owner.redeem_script:
        previous["redeemScript"] = coin.owner.redeem_script
    return previous


def _unsigned(inputs: list[Coin], outputs: list[tuple[str, int]]) -> str:
    """Return the hex of a transaction without signatures, in the form before segwit."""
    parts = [b"\x02\x00\x00\x00", bytes([len(inputs)])]
    for coin in inputs:
        parts += [bytes.fromhex(coin.txid)[::-1], coin.vout.to_bytes(4, "little")]
        parts += [b"\x00", b"\xff\xff\xff\xff"]
    parts.append(bytes([len(outputs)]))
    for script, value in outputs:
        parts += [value.to_bytes(8, "little"), bytes([len(script) // 2]), bytes.fromhex(script)]
    return b"".join([*parts, b"\x00\x00\x00\x00"]).hex()
