"""The native ledger of a block: who pays what to whom, with and without traces."""

import pytest

from onchain_agg.errors import ForkError, SourceError
from onchain_agg.sources.evm_json import (
    Action,
    Block,
    Frame,
    Outcome,
    Receipt,
    Trace,
    TracedTransaction,
    Transaction,
    Withdrawal,
)
from onchain_agg.sources.evm_native import Internals, Move, block_moves, genesis_moves
from onchain_agg.sources.evm_traces import from_frames, from_traces

A, B, C, D, MINER = ("0x" + digit * 40 for digit in "abcde")
HASH, TX = "0x" + "11" * 32, "0x" + "22" * 32
NONE = Internals({}, (), frozenset())


def _tx(to=B, value=0, gas_price=None):
    price = None if gas_price is None else hex(gas_price)
    return Transaction(hash=TX, sender=A, to=to, value=hex(value), gas_price=price)


def _receipt(status="0x1", price="0x7", **more):
    fields = {"gas_used": hex(100), "logs": [], "status": status, "effective_gas_price": price}
    return Receipt(transaction_hash=TX, block_hash=HASH, **(fields | more))


def _block(*transactions, base_fee=5, **more):
    fields = {
        "number": "0x9",
        "hash": HASH,
        "parent_hash": HASH,
        "timestamp": "0x1",
        "size": "0x1",
        "gas_used": "0x0",
        "miner": MINER,
        "base_fee_per_gas": None if base_fee is None else hex(base_fee),
        "transactions": list(transactions),
    }
    return Block(**(fields | more))


def test_a_transfer_burns_the_base_fee_tips_the_miner_and_moves_its_value():
    moves = block_moves(_block(_tx(value=40)), [_receipt()], NONE)

    assert moves == [
        Move(0, "fee", A, None, 500),
        Move(0, "tip", A, MINER, 200),
        Move(0, "value", A, B, 40),
    ]


def test_before_london_the_miner_gets_the_whole_fee():
    moves = block_moves(_block(_tx(), base_fee=None), [_receipt()], NONE)

    assert moves == [Move(0, "tip", A, MINER, 700)]


def test_an_old_receipt_without_a_price_takes_it_from_the_transaction():
    receipt = _receipt(price=None)

    moves = block_moves(_block(_tx(gas_price=3), base_fee=None), [receipt], NONE)

    assert moves == [Move(0, "tip", A, MINER, 300)]


def test_a_system_transaction_pays_nothing_whatever_the_base_fee_is():
    assert block_moves(_block(_tx(value=1)), [_receipt(price="0x0")], NONE) == [
        Move(0, "value", A, B, 1)
    ]


def test_blob_gas_is_burned_too():
    receipt = _receipt(price="0x5", blob_gas_used="0x20000", blob_gas_price="0x3")

    moves = block_moves(_block(_tx()), [receipt], NONE)

    assert moves == [Move(0, "fee", A, None, 500), Move(0, "fee", A, None, 0x60000)]


def test_a_failed_transaction_moves_no_value():
    moves = block_moves(_block(_tx(value=40)), [_receipt(status="0x0", price="0x5")], NONE)

    assert moves == [Move(0, "fee", A, None, 500)]


def test_the_value_of_a_creation_goes_to_the_contract():
    receipt = _receipt(price="0x0", contract_address=C)

    assert block_moves(_block(_tx(to=None, value=8)), [receipt], NONE) == [
        Move(0, "value", A, C, 8)
    ]


def test_withdrawals_are_in_gwei_and_rewards_come_last():
    block = _block(withdrawals=[Withdrawal(address=B, amount="0x3"), Withdrawal(C, "0x0")])
    reward = Move(None, "reward", None, MINER, 2)

    assert block_moves(block, [], Internals({}, [reward], frozenset())) == [
        Move(None, "withdrawal", None, B, 3 * 10**9),
        reward,
    ]


def test_the_genesis_allocation_is_listed_by_address_without_empty_accounts():
    allocation = {bytes([2] * 20): 5, bytes([1] * 20): 2**256 - 1, bytes([3] * 20): 0}

    assert genesis_moves(allocation) == [
        Move(None, "genesis", None, "0x" + "01" * 20, 2**256 - 1),
        Move(None, "genesis", None, "0x" + "02" * 20, 5),
    ]


def test_without_status_the_trace_tells_whether_the_transaction_failed():
    receipt, block = _receipt(status=None, price="0x0"), _block(_tx(value=4))

    assert block_moves(block, [receipt], NONE) == [Move(0, "value", A, B, 4)]
    assert block_moves(block, [receipt], Internals({}, (), frozenset({0}))) == []


def test_without_status_and_traces_nothing_is_guessed():
    with pytest.raises(SourceError, match=r"has no status .* Point the connection at a node with"):
        block_moves(_block(_tx(value=4)), [_receipt(status=None)], None)


CANCUN = {"parent_beacon_block_root": HASH}


def _frames(block, *roots):
    return from_frames(block, [TracedTransaction(root) for root in roots])


def _call(sender, to, value=0, calls=(), kind="CALL", error=None):
    return Frame(type=kind, sender=sender, to=to, value=hex(value), calls=list(calls), error=error)


def _trace(at, kind="call", error=None, created=None, position=0, block_hash=HASH, **action):
    value = {key: hex(v) if isinstance(v, int) else v for key, v in action.items()}
    if kind == "call":
        value.setdefault("call_type", "call")
    return Trace(
        action=Action(**value),
        type=kind,
        block_hash=block_hash,
        trace_address=tuple(at),
        transaction_position=position,
        error=error,
        result=Outcome(created) if created else None,
    )


# The same transaction as each kind of trace tells it: A calls B (9 wei, its own value); B pays C 3,
# C pays D 1 and creates B' with 2; a delegate call and a failed call, with what hangs below it,
# move nothing.
NEW = "0x" + "9" * 40
FRAME = _call(
    A,
    B,
    9,
    [
        _call(B, C, 3, [_call(C, D, 1), _call(C, NEW, 2, kind="CREATE2")]),
        _call(B, C, 9, [_call(B, D, 4)], kind="DELEGATECALL"),
        _call(B, C, 5, [_call(C, D, 5)], error="execution reverted"),
        _call(B, D, 6),
    ],
)
TRACES = [
    _trace([], sender=A, to=B, value=9),
    _trace([0], sender=B, to=C, value=3),
    _trace([0, 0], sender=C, to=D, value=1),
    _trace([0, 1], "create", created=NEW, sender=C, value=2),
    _trace([1], sender=B, to=C, value=9, call_type="delegatecall"),
    _trace([1, 0], sender=B, to=D, value=4),
    _trace([2], sender=B, to=C, value=5, error="Reverted"),
    _trace([2, 0], sender=C, to=D, value=5),
    _trace([3], sender=B, to=D, value=6),
]
INSIDE = [
    Move(0, "internal", B, C, 3),
    Move(0, "internal", C, D, 1),
    Move(0, "internal", C, NEW, 2),
    Move(0, "internal", B, D, 4),
    Move(0, "internal", B, D, 6),
]


def test_both_kinds_of_trace_list_what_moved_inside_in_the_order_of_execution():
    block = _block(_tx(value=9))

    assert from_traces(block, TRACES) == Internals({0: INSIDE}, [], frozenset())
    assert _frames(block, FRAME) == Internals({0: INSIDE}, (), frozenset())


def test_nothing_moved_inside_a_transaction_that_failed():
    block = _block(_tx())
    frame = _call(A, B, 1, [_call(B, C, 2)], error="out of gas")
    traces = [
        _trace([], sender=A, to=B, value=1, error="Out of gas"),
        _trace([0], sender=B, to=C, value=2),
    ]

    assert _frames(block, frame) == Internals({0: []}, (), frozenset({0}))
    assert from_traces(block, traces) == Internals({0: []}, [], frozenset({0}))


@pytest.mark.parametrize(
    ("fork", "created", "heir", "moves"),
    [
        pytest.param({}, False, D, [Move(0, "selfdestruct", C, D, 7)], id="to another"),
        pytest.param(
            CANCUN, False, D, [Move(0, "selfdestruct", C, D, 7)], id="still, since Cancun"
        ),
        pytest.param({}, False, C, [Move(0, "selfdestruct", C, None, 7)], id="to itself burns"),
        pytest.param(CANCUN, False, C, [], id="to itself no more, since Cancun"),
        pytest.param(
            CANCUN, True, C, [Move(0, "selfdestruct", C, None, 7)], id="but burns in its creation"
        ),
    ],
)
def test_a_self_destruct_moves_or_burns_what_the_contract_holds(fork, created, heir, moves):
    block = _block(_tx(), **fork)
    death = _call(C, heir, 7, kind="SELFDESTRUCT")
    outer = _call(A, C, 7, [death], kind="CREATE" if created else "CALL")
    traces = [
        _trace([], "create", created=C, sender=A, value=7)
        if created
        else _trace([], sender=A, to=C, value=7),
        _trace([0], "suicide", address=C, refund_address=heir, balance=7),
    ]

    assert _frames(block, outer).moves == {0: moves}
    assert from_traces(block, traces).moves == {0: moves}


def test_rewards_are_listed_apart_from_transactions():
    reward = _trace([], "reward", position=None, author=MINER, value=5 * 10**18)

    assert from_traces(_block(), [reward]) == Internals(
        {}, [Move(None, "reward", None, MINER, 5 * 10**18)], frozenset()
    )


def test_a_trace_of_another_block_is_a_fork():
    with pytest.raises(ForkError, match="A trace of block 9 belongs to 0x33"):
        from_traces(_block(), [_trace([], block_hash="0x33", sender=A, to=B)])


def test_a_transaction_without_a_trace_is_an_error_and_not_an_empty_one():
    block = _block(_tx(), _tx())

    with pytest.raises(SourceError, match="traces of block 9 leave out transaction 1"):
        from_traces(block, [_trace([], sender=A, to=B)])
    with pytest.raises(SourceError, match="traces of block 9 leave out transaction 0"):
        _frames(block)


def test_calls_nested_deeper_than_pythons_stack_are_followed():
    frame = _call(A, B, 1)
    for _ in range(3000):
        frame = _call(A, B, 1, [frame])

    assert len(_frames(_block(_tx()), frame).moves[0]) == 3000
