"""Small chains whose every block changes every data set, and the row versions of a warehouse."""

from dataclasses import replace

from sqlalchemy import Engine, text

from onchain_agg.chains import chain_named
from onchain_agg.metrics.registry import all_datasets
from onchain_agg.warehouse.versions import twins
from tests.fakes.chain import FakeBlock, Spend, Transfer, block

EVM = replace(chain_named("anvil"), batch_blocks=3)
UTXO = replace(chain_named("regtest"), batch_blocks=3)
KRILL, CUSD = (bytes.fromhex(a.address[2:]) for a in EVM.tracked_assets[1:3])
PEOPLE = [bytes([n]) * 20 for n in (1, 2, 3)]
ZERO = bytes(20)
WHALE = 10**38  # the lowest amount of KRILL that whale_transfer keeps
# Minted by block 0 of the UTXO chain, where no rule says how much; 100 * 10**8 make a whale.
HOARD = 10_000 * 10**8
COINS = 50 * 10**8  # what every other block mints


def branch(chain, length, parent=None, salt="") -> list[FakeBlock]:
    """Return *length* blocks on *parent*; another salt moves other amounts."""
    grow = _moved if chain.name == EVM.name else _spent
    blocks: list[FakeBlock] = []
    for _ in range(length):
        parent = grow(parent, salt)
        blocks.append(parent)
    return blocks


def _moved(parent: FakeBlock | None, salt: str) -> FakeBlock:
    height = 0 if parent is None else parent.height + 1
    holder, other = PEOPLE[height % 3], PEOPLE[(height + 1) % 3]
    extra = len(salt)
    return block(
        parent,
        transfers=(
            Transfer(KRILL, ZERO, holder, WHALE + height + extra),
            Transfer(KRILL, holder, other, 5 + extra),
            Transfer(None, None, other, 10**21 + height, "reward"),
        ),
        salt=salt,
    )


def _spent(parent: FakeBlock | None, salt: str) -> FakeBlock:
    """Return a block whose transaction hands the hoard on, with what the block before minted."""
    height = 0 if parent is None else parent.height + 1
    coinbase_id = f"{salt}coinbase{height}".encode().ljust(32, b".")
    address = b"\x00" + PEOPLE[height % 3]
    minted = HOARD if parent is None else COINS
    transactions = [Spend((), ((address, minted), (None, 0)), coinbase_id)]
    if parent is not None:
        taken = parent.transactions
        value = sum(tx.outputs[0][1] for tx in taken)
        txid = f"{salt}spend{height}".encode().ljust(32, b".")
        outputs = ((address, value - 5), (b"\x05" + PEOPLE[0], 4))
        transactions.append(Spend(tuple((tx.txid, 0) for tx in taken), outputs, txid))
    return block(parent, transactions=transactions, salt=salt)


def row_versions(engine: Engine, *tables: str) -> set[tuple[str, str, str]]:
    """Return table, place and writer of every row; a row written again is another version.

    Without *tables*, of the serving and history tables, of `ops.window` and `ops.dirty`.
    """
    with engine.connect() as connection:
        return {
            (name, *row)
            for name in tables or _published_tables()
            for row in connection.execute(text(f"SELECT ctid::text, xmin::text FROM {name}"))
        }


def _published_tables() -> list[str]:
    pairs = [twins(dataset.table) for dataset in all_datasets().values()]
    physical = [t.fullname for pair in pairs for t in (pair.serving, pair.history)]
    return [*physical, "ops.window", "ops.dirty"]


def scalar(engine: Engine, statement: str, **values):
    """Return the single value that *statement* answers."""
    with engine.connect() as connection:
        return connection.scalar(text(statement), values)
