"""What NFT markets log, a transaction a scene, and the rows of ``nft_trade`` that it becomes.

A scene is of one version of a market, and of one standard: some markets do not log it, and then the
token's transfer in the same transaction tells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from onchain_agg.sources.nft_markets import all_nft_markets
from tests.fakes import blur_events as blur
from tests.fakes import cryptopunks_events as punks
from tests.fakes import looksrare_events as looksrare
from tests.fakes import seaport_events as seaport
from tests.fakes import wyvern_events as wyvern
from tests.fakes import x2y2_events as x2y2
from tests.fakes.nft_events import NATIVE, WETH, Event, erc20, erc721, erc1155

ALICE, BOB, CAROL = ("0x" + 40 * digit for digit in "abc")
APES = "0x" + 40 * "9"
ETHER = 10**18
STANDARDS = (721, 1155)
_APE = (APES, 7)
_NO_FEES_KNOWN = {"platform_fee": None, "royalty": None}
_COIN, _ERC20 = 0, 1
_SEAPORT_KINDS = {721: 2, 1155: 3}


def sale(market: str, version: str, contract: str, **given: Any) -> dict[str, Any]:
    """Return the row of ALICE's sale of one ERC-721 token to BOB for an ether without fees."""
    return {
        "market": market,
        "version": version,
        "contract": contract,
        "side": "listing",
        "standard": 721,
        "collection": APES,
        "token_id": 7,
        "quantity": 1,
        "bundle_size": 1,
        "seller": ALICE,
        "buyer": BOB,
        "currency": NATIVE,
        "price": ETHER,
        "platform_fee": 0,
        "royalty": 0,
        "unpriced": None,
    } | given


@dataclass(frozen=True)
class Scene:
    """What one transaction logs, and its trades in order."""

    events: Sequence[Event]
    trades: Sequence[dict[str, Any]]


def _amount(standard: int) -> int:
    return 3 if standard == 1155 else 1


def _moved(standard: int, token_id: int = 7) -> Event:
    if standard == 721:
        return erc721(APES, ALICE, BOB, token_id)
    return erc1155(APES, ALICE, BOB, token_id, _amount(standard))


def _of(standard: int) -> dict[str, int]:
    return {"standard": standard, "quantity": _amount(standard)}


def _blur_1(standard: int) -> Scene:
    """Return the matches of a listing that was paid out of the pool, and of an older offer."""
    given: dict[str, Any] = {"currency": blur.POOL, "amount": _amount(standard)}
    offer = {"amount": _amount(standard), "currency": WETH}
    row = sale("blur", "1", blur.V1, **_of(standard))
    return Scene(
        [
            _moved(standard),
            blur.matched(
                blur.order(ALICE, _APE, ETHER, side=1, rates=(50,), **given),
                blur.order(BOB, _APE, ETHER, listed=101, **given),
                ALICE,
                BOB,
            ),
            blur.matched(
                blur.order(ALICE, _APE, ETHER, side=1, listed=101, **offer),
                blur.order(BOB, _APE, ETHER, **offer),
                BOB,
                ALICE,
            ),
        ],
        [row | {"royalty": 5 * 10**15}, row | {"side": "offer", "currency": WETH}],
    )


def _blur_2_packed() -> Scene:
    row = sale("blur", "2", blur.V2)
    with_fee = {"royalty": 5 * 10**15}
    return Scene(
        [
            _moved(721),
            blur.packed(ALICE, _APE, ETHER, is_bid=False),
            blur.packed(BOB, _APE, ETHER, is_bid=True),
            blur.packed(ALICE, _APE, ETHER, is_bid=False, fee=("Maker", 50)),
            blur.packed(BOB, _APE, ETHER, is_bid=True, fee=("Taker", 50)),
        ],
        [row, row | {"side": "offer"}, row | with_fee, row | with_fee | {"side": "offer"}],
    )


def _blur_2_unpacked(standard: int) -> Scene:
    amount = None if standard == 721 else _amount(standard)
    row = sale("blur", "2", blur.V2, platform_fee=25 * 10**15, royalty=10**16, **_of(standard))
    return Scene(
        [
            _moved(standard),
            blur.execution(ALICE, _APE, ETHER, is_bid=False, amount=amount, rates=(100, 250, 0)),
            blur.execution(BOB, _APE, ETHER, is_bid=True, amount=amount, rates=(0, 250, 100)),
        ],
        [row, row | {"side": "offer"}],
    )


def _looksrare_1(standard: int) -> Scene:
    paid = looksrare.payments_1(BOB, _APE, ALICE, (2 * 10**16, 10**16, 97 * 10**16))
    amount = _amount(standard)
    row = sale("looksrare", "1", looksrare.V1, currency=WETH, **_of(standard))
    row |= {"platform_fee": 2 * 10**16, "royalty": 10**16}
    return Scene(
        [
            *paid,
            _moved(standard),
            looksrare.taken_1("TakerBid", BOB, ALICE, _APE, ETHER, amount),
            _moved(standard),
            *paid,
            looksrare.taken_1("TakerAsk", ALICE, BOB, _APE, ETHER, amount),
        ],
        [row, row | {"side": "offer"}],
    )


def _looksrare_2(standard: int) -> Scene:
    given: dict[str, Any] = {
        "paid_to": ALICE,
        "parts": (97 * 10**16, 10**16, 2 * 10**16),
        "amounts": [_amount(standard)],
    }
    token = (APES, [7])
    row = sale("looksrare", "2", looksrare.V2, **_of(standard))
    row |= {"platform_fee": 2 * 10**16, "royalty": 10**16}
    return Scene(
        [
            _moved(standard),
            looksrare.taken_2("TakerBid", BOB, BOB, token, **given),
            looksrare.taken_2("TakerAsk", ALICE, BOB, token, currency=WETH, **given),
        ],
        [row, row | {"side": "offer", "currency": WETH}],
    )


def _looksrare_2_bundle() -> Scene:
    parts = (ETHER, 10**16 + 1, 10)
    bought = looksrare.taken_2("TakerBid", BOB, BOB, (APES, [7, 8]), paid_to=ALICE, parts=parts)
    row = sale("looksrare", "2", looksrare.V2, bundle_size=2, platform_fee=5)
    shares = [
        {
            "token_id": token_id,
            "price": (ETHER + 10**16 + 10) // 2 + odd,
            "royalty": 10**16 // 2 + odd,
        }
        for token_id, odd in ((7, 1), (8, 0))
    ]
    return Scene([_moved(721), bought], [row | share for share in shares])


def _punk_sale(**given: Any) -> dict[str, Any]:
    return sale(
        "cryptopunks", "2", punks.CONTRACT, standard=None, collection=punks.CONTRACT, **given
    )


def _punks() -> Iterator[tuple[str, Scene]]:
    bids = [
        punks.bid(7, ETHER, CAROL),
        punks.bid(7, 2 * ETHER, BOB),
        punks.bid(8, ETHER, BOB),
        punks.bid(8, ETHER, BOB, withdrawn=True),
    ]
    accepted = [punks.moved(ALICE, BOB), punks.bought(7, 0, ALICE, NATIVE)]
    unpriced = _punk_sale(side="offer", price=None, unpriced="accepted bid")
    yield "a bid is entered, replaced and accepted", Scene([*bids, *accepted], [unpriced])
    given = [
        punks.assigned(7, CAROL),
        punks.moved(CAROL, ALICE),
        punks.given(7, CAROL, ALICE),
        punks.moved(ALICE, BOB),
        punks.bought(7, ETHER, ALICE, BOB),
    ]
    yield "a punk is assigned, given and sold", Scene(given, [_punk_sale()])


def _wyvern(version: str, exchange: str, standard: int) -> Scene:
    """Return a listing, an offer, and a listing of two tokens."""
    row = sale("wyvern", version, exchange, **_NO_FEES_KNOWN, **_of(standard))
    half = {"bundle_size": 2, "price": ETHER // 2}
    return Scene(
        [
            _moved(standard),
            wyvern.matched(ALICE, BOB, ETHER, exchange=exchange),
            erc20(WETH, BOB, ALICE, ETHER),
            _moved(standard),
            wyvern.matched(BOB, ALICE, ETHER, exchange=exchange),
            _moved(standard),
            _moved(standard, 8),
            wyvern.matched(ALICE, BOB, ETHER, exchange=exchange),
        ],
        [
            row,
            row | {"side": "offer", "currency": WETH},
            row | half,
            row | half | {"token_id": 8},
        ],
    )


def _x2y2(standard: int) -> Scene:
    """Return a listing, an offer, a listing of two tokens, a bid in an auction and its end."""
    kind = STANDARDS.index(standard) + 1
    more = (3,) if standard == 1155 else ()
    ape, other = (*_APE, *more), (APES, 8, *more)
    parties, fees = (ALICE, BOB), [(5_000, x2y2.FEE_MANAGEMENT), (50_000, CAROL)]
    won = (
        erc721(APES, x2y2.DELEGATE, BOB, 7)
        if standard == 721
        else erc1155(APES, x2y2.DELEGATE, BOB, 7, 3)
    )
    row = sale("x2y2", "1", x2y2.EXCHANGE, **_of(standard))
    offer = {"side": "offer", "currency": WETH}
    half = {"bundle_size": 2, "price": ETHER // 2}
    return Scene(
        [
            x2y2.inventory(parties, [ape], ETHER, kind=kind, fees=fees),
            x2y2.inventory((BOB, ALICE), [ape], ETHER, operation=2, kind=kind, currency=WETH),
            x2y2.inventory(parties, [ape, other], ETHER, kind=kind),
            x2y2.inventory(parties, [ape], ETHER, operation=4, kind=kind, currency=WETH),
            won,
            x2y2.inventory((ALICE, CAROL), [ape], 0, operation=5, kind=kind, currency=WETH),
        ],
        [
            row | {"platform_fee": 5 * 10**15, "royalty": 5 * 10**16},
            row | offer,
            row | half,
            row | half | {"token_id": 8},
            row | offer | _NO_FEES_KNOWN | {"price": None, "unpriced": "accepted bid"},
        ],
    )


def _seaport(version: str, contract: str, standard: int) -> Scene:
    """Return a listing, an offer, a listing of two tokens, and two orders that were matched."""
    kind = _SEAPORT_KINDS[standard]
    ape, other = ((kind, APES, token_id, _amount(standard)) for token_id in (7, 8))
    paid, coin = (_COIN, NATIVE, 0, ETHER, ALICE), (_ERC20, WETH, 0, ETHER)
    is_old = contract == seaport.V1_1  # it names nobody in matched orders, nor logs the match
    at, make = {"contract": contract}, seaport.fulfilled
    row = sale("seaport", version, contract, **_of(standard))
    half = {"bundle_size": 2, "price": ETHER // 2}
    seller, buyer = (NATIVE, NATIVE) if is_old else (ALICE, BOB)
    return Scene(
        [
            make(ALICE, BOB, [ape], [paid], number=1, **at),
            make(BOB, ALICE, [coin], [(*ape, BOB)], number=2, **at),
            make(ALICE, BOB, [ape, other], [paid], number=3, **at),
            make(ALICE, seller, [ape], [paid], number=4, **at),
            make(BOB, buyer, [(_COIN, NATIVE, 0, ETHER)], [(*ape, BOB)], number=5, **at),
            *([] if is_old else [seaport.matched(4, 5, **at)]),
        ],
        [
            row,
            row | {"side": "offer", "currency": WETH},
            row | half,
            row | half | {"token_id": 8},
            row,
        ],
    )


def _all() -> Iterator[tuple[str, Scene]]:
    for standard in STANDARDS:
        kind = f"ERC-{standard}"
        yield f"blur 1: {kind}", _blur_1(standard)
        yield f"blur 2: {kind}, unpacked", _blur_2_unpacked(standard)
        yield f"looksrare 1: {kind}", _looksrare_1(standard)
        yield f"looksrare 2: {kind}", _looksrare_2(standard)
        yield f"x2y2: {kind}", _x2y2(standard)
        for market, make in (("wyvern", _wyvern), ("seaport", _seaport)):
            for contract, version in all_nft_markets()[market].contracts.items():
                yield f"{market} {version}: {kind}", make(version, contract, standard)
    yield "blur 2: packed", _blur_2_packed()
    yield "looksrare 2: a bundle", _looksrare_2_bundle()
    for what, scene in _punks():
        yield f"cryptopunks: {what}", scene


SCENES = dict(_all())
