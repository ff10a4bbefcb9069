"""The events of the CryptoPunks contract."""

from tests.fakes.nft_events import Event, erc20, event

CONTRACT = "0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb"


def moved(sender: str, recipient: str) -> Event:
    """Return the contract's Transfer, which names no punk."""
    return erc20(CONTRACT, sender, recipient, 1)


def bought(punk: int, price: int, seller: str, buyer: str) -> Event:
    """Return a sale; of an accepted bid, the contract logs a price of 0 and nobody as the buyer."""
    indexed = [("uint256", punk), ("address", seller), ("address", buyer)]
    signature = "PunkBought(uint256,uint256,address,address)"
    return event(CONTRACT, signature, indexed, [("uint256", price)])


def bid(punk: int, price: int, bidder: str, *, withdrawn: bool = False) -> Event:
    """Return a bid that is entered, or taken back."""
    name = "PunkBidWithdrawn" if withdrawn else "PunkBidEntered"
    indexed = [("uint256", punk), ("address", bidder)]
    return event(CONTRACT, f"{name}(uint256,uint256,address)", indexed, [("uint256", price)])


def given(punk: int, sender: str, recipient: str) -> Event:
    """Return a punk's transfer without a sale."""
    parties = [("address", sender), ("address", recipient)]
    signature = "PunkTransfer(address,address,uint256)"
    return event(CONTRACT, signature, parties, [("uint256", punk)])


def assigned(punk: int, owner: str) -> Event:
    """Return the assignment of a punk to its first owner."""
    return event(CONTRACT, "Assign(address,uint256)", [("address", owner)], [("uint256", punk)])
