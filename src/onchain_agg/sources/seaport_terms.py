"""What Seaport's orders cost, and who was paid beside the seller."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from onchain_agg.sources import uint256
from onchain_agg.sources.event_words import Flags, same_bytes
from onchain_agg.sources.evm_columns import Bytes2D
from onchain_agg.sources.seaport_orders import Items, Orders
from onchain_agg.sources.seaport_sides import Sides

SWAP = "NFTs for NFTs"
PARTLY = "sold together with what another order tells"
BOTH_SIDES = "coins on both sides"
SEVERAL = "several currencies"
NOTHING = "nothing was paid"
TOO_MUCH = "the price exceeds 256 bits"
FEES_ABOVE = "fees above the price"


def _addresses(*texts: str) -> Bytes2D:
    return np.frombuffer(bytes.fromhex("".join(texts)), np.uint8).reshape(len(texts), 20)


_FEE_WALLETS = _addresses(
    "0000a26b00c1f0df003000390027140000faa719",
    "5b3256965e7c3cf26e11fcaf296dfc8807c01073",
    "8de9c5a032463c561423387a9648c5c7bcc5bc90",
)
_OPENSEA_ZONES = _addresses(
    "004c00500000ad104d7dbd00e3ae0a5c00560c00",
    "110b2b128a9ed1be5ef3232d8e4e41640df5c2cd",
    "9b814233894cd227f561b78cc65891aa55c62ad2",
    "000000e7ec00e7b300774b00001314b8610022b8",
    "000056f7000000ece9003ca63978907a00ffd100",
)
_PRICE_OVER_ROYALTY = 10  # OpenSea lets creators have a tenth at most


@dataclass(frozen=True)
class Terms:
    """What was paid, one row an order; the amounts are 32 bytes, and count as in `Trades`."""

    currency: Bytes2D
    price: Bytes2D
    fee: Bytes2D
    royalty: Bytes2D
    unpriced: Sequence[str | None]
    knows_currency: Flags
    knows_fee: Flags
    knows_royalty: Flags


def terms_of(orders: Orders, sides: Sides) -> Terms:
    """Return what was paid for the NFTs that each order is read for."""
    is_offer: Flags = np.any(sides.takes, axis=1) & ~np.any(sides.gives, axis=1)
    offered, asked = ~orders.offer.nft, ~orders.asked.nft
    # A listing's price is what it asks for; an offer's is what it offers, and it asks for its fees.
    price_of = np.concatenate([offered & is_offer[:, None], asked & ~is_offer[:, None]], axis=1)
    coins = price_of | np.concatenate([np.zeros_like(offered), asked], axis=1)
    token = np.concatenate([orders.offer.token, orders.asked.token], axis=1)
    amount = np.concatenate([orders.offer.amount, orders.asked.amount], axis=1)
    count = len(orders.log)
    currency = token[np.arange(count), price_of.argmax(axis=1)]
    is_other = ~same_bytes(token, currency[:, None])
    price, exceeds = _sum(amount, price_of)
    to_offerer = asked & _is_to(orders.asked, orders.offerer[:, None]).any(axis=2)
    fee, royalty, knows_royalty = _beside(orders, sides, asked, price)
    reasons = {
        SWAP: sides.swaps,
        PARTLY: sides.partly,
        BOTH_SIDES: np.where(is_offer, to_offerer.any(axis=1), offered.any(axis=1)),
        SEVERAL: (coins & is_other).any(axis=1),
        NOTHING: ~price_of.any(axis=1),
        TOO_MUCH: exceeds,
        # A listing's are in its price; who accepts an offer may have to pay more than it brings.
        FEES_ABOVE: _exceed([fee, royalty], price, where=is_offer),
    }
    which = np.select(list(reasons.values()), list(range(len(reasons))), -1)
    names = [*reasons, None]
    is_priced = which == -1
    return Terms(
        currency=currency,
        price=price,
        fee=fee,
        royalty=royalty,
        unpriced=[names[k] for k in which.tolist()],
        knows_currency=price_of.any(axis=1) & ~reasons[SEVERAL] & ~sides.swaps,
        knows_fee=is_priced,
        knows_royalty=is_priced & knows_royalty,
    )


def _beside(
    orders: Orders, sides: Sides, asked: Flags, price: Bytes2D
) -> tuple[Bytes2D, Bytes2D, Flags]:
    """Return the fee, what others than the seller got besides, and whether that is a royalty."""
    to_platform = asked & _is_to(orders.asked, _FEE_WALLETS[None]).any(axis=2)
    sellers = np.concatenate([orders.offerer[:, None], sides.seller], axis=1)
    is_seller = np.concatenate([sides.gives.any(axis=1, keepdims=True), sides.takes], axis=1)
    to_seller = (_is_to(orders.asked, sellers) & is_seller[:, None]).any(axis=2)
    to_others = asked & ~to_platform & ~to_seller
    fee, _ = _sum(orders.asked.amount, to_platform)
    royalty, _ = _sum(orders.asked.amount, to_others)
    in_zone = same_bytes(orders.zone[:, None], _OPENSEA_ZONES).any(axis=1)
    tenfold, exceeds = uint256.times(royalty, np.full(len(royalty), _PRICE_OVER_ROYALTY))
    plausible = (in_zone | to_platform.any(axis=1)) & ~exceeds & _at_most(tenfold, price)
    return fee, royalty, plausible | ~to_others.any(axis=1)


def _is_to(items: Items, wallets: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return for each order, item and wallet of its row whether the item went to that wallet."""
    return same_bytes(items.recipient[:, :, None], wallets[:, None])


def _sum(amount: npt.NDArray[np.uint8], chosen: Flags) -> tuple[Bytes2D, Flags]:
    """Return each order's sum of the chosen amounts, and which exceed 256 bits."""
    zero = np.zeros((len(amount), 32), np.uint8)
    kept = np.where(chosen[:, :, None], amount, np.uint8(0))
    return uint256.total([zero, *np.moveaxis(kept, 1, 0)])


def _exceed(parts: Sequence[Bytes2D], wholes: Bytes2D, *, where: Flags) -> Flags:
    """Return which rows, of those *where* names, have parts that are together above the whole."""
    above = np.zeros(len(wholes), np.bool_)
    if where.any():
        together, overflows = uint256.total([part[where] for part in parts])
        above[where] = overflows | ~_at_most(together, wholes[where])
    return above


def _at_most(values: Bytes2D, limits: Bytes2D) -> Flags:
    """Return which of the 32-byte numbers are not above their limits."""
    differ = values != limits
    first = differ.argmax(axis=1)[:, None]
    below = np.take_along_axis(values, first, 1) <= np.take_along_axis(limits, first, 1)
    return below[:, 0]
