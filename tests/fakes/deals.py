"""Hypothesis strategy for the sales and bids of a block of the fake EVM chain."""

from hypothesis import strategies as st

from tests.fakes.chain import Bid, Sale, Transfer

ZERO = bytes(20)
# Sold whenever it moves, so that every chain has a sale.
ALWAYS_SOLD = 5
PRICES = st.sampled_from([0, 10**18, 2 * 10**18, 50 * 10**18])


@st.composite
def deals(draw, moves: tuple[Transfer, ...]):
    """Return sales among a block's transfers of NFTs, and bids for what moved.

    A sale is that of a listing or of a bid, which may have been made in any block, or in none.
    """
    sales: list[Sale] = []
    bids: list[Bid] = []
    for position, moved in enumerate(moves):
        if moved.token_id is None:
            continue
        if draw(st.integers(0, 3)) == 0:
            made = Bid(moved.token, moved.token_id, moved.recipient, draw(PRICES), draw(_rarely()))
            bids.append(made)
        if ZERO in (moved.sender, moved.recipient):
            continue
        if moved.token_id == ALWAYS_SOLD:
            sales.append(Sale(position, 10**18))
        elif draw(st.integers(0, 3)):
            price = draw(st.one_of(st.none(), PRICES))
            sales.append(Sale(position, price, flash_loan=draw(_rarely())))
    return tuple(sales), tuple(bids)


def _rarely() -> st.SearchStrategy[bool]:
    return st.integers(0, 3).map(lambda n: n == 0)
