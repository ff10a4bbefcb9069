"""Output scripts and the addresses they pay to, a column at a time."""

from hashlib import sha256

import numpy as np
import pytest
from Crypto.Hash import RIPEMD160
from hypothesis import given, settings
from hypothesis import strategies as st

from onchain_agg.sources import bitcoin_script
from onchain_agg.sources.bitcoin_script import address_column, hash160, unspendable

HASH = bytes(range(20))
# The public key of the genesis block's output, and the hash it is known by.
KEY = bytes.fromhex(
    "04678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5f"
)
KEY_HASH = bytes.fromhex("62e907b15cbf27d5425399ebf6f0fb50ebb88f18")
# The generator point, as BIP 173 uses it.
SHORT_KEY = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
SHORT_KEY_HASH = bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")

PAYS_TO = {
    "P2PKH": (b"\x76\xa9\x14" + HASH + b"\x88\xac", b"\x00" + HASH),
    "P2PK": (b"\x41" + KEY + b"\xac", b"\x00" + KEY_HASH),
    "P2PK, compressed": (b"\x21" + SHORT_KEY + b"\xac", b"\x00" + SHORT_KEY_HASH),
    "P2SH": (b"\xa9\x14" + HASH + b"\x87", b"\x05" + HASH),
    "P2WPKH": (b"\x00\x14" + HASH, b"\x10" + HASH),
    "P2WSH": (b"\x00\x20" + bytes(32), b"\x10" + bytes(32)),
    "taproot": (b"\x51\x20" + bytes(32), b"\x11" + bytes(32)),
    "anchor": (b"\x51\x02\x4e\x73", b"\x11\x4e\x73"),
    "MWEB peg-in": (b"\x59\x20" + bytes(32), b"\x19" + bytes(32)),
    "version 16 of 40 bytes": (b"\x60\x28" + bytes(40), b"\x20" + bytes(40)),
}
NO_ADDRESS = {
    "empty": b"",
    "OP_RETURN": b"\x6a\x04abcd",
    "bare multisig": b"\x51\x21" + SHORT_KEY + b"\x51\xae",
    "key of impossible form": b"\x21\x05" + SHORT_KEY[1:] + b"\xac",
    "key longer than its form": b"\x41\x02" + KEY[1:] + b"\xac",
    "P2PKH with another last byte": b"\x76\xa9\x14" + HASH + b"\x88\xad",
    "P2SH with another first byte": b"\xa8\x14" + HASH + b"\x87",
    "version 0 of 21 bytes": b"\x00\x15" + bytes(21),
    "program of one byte": b"\x51\x01\x00",
    "program of 41 bytes": b"\x51\x29" + bytes(41),
    "program with a byte after it": b"\x51\x02\x4e\x73\x00",
    "number beyond version 16": b"\x61\x14" + HASH,
    "negative number": b"\x4f\x14" + HASH,
}


def laid_out(scripts):
    """The scripts one after another with rubbish between, where they start and where they end."""
    raw, starts, ends = b"\xff" * 3, [], []
    for script in scripts:
        starts.append(len(raw))
        raw += script
        ends.append(len(raw))
        raw += b"\x14\xac"
    return raw + bytes(4), np.array(starts, np.int64), np.array(ends, np.int64)


def addresses(*scripts):
    column = address_column(*laid_out(scripts))
    column.validate(full=True)
    return column.to_pylist()


@pytest.mark.parametrize(("script", "address"), PAYS_TO.values(), ids=PAYS_TO)
def test_a_script_of_a_known_form_has_its_address(script, address):
    assert addresses(script) == [address]


@pytest.mark.parametrize("script", NO_ADDRESS.values(), ids=NO_ADDRESS)
def test_a_script_of_no_known_form_has_no_address(script):
    assert addresses(script) == [None]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.sampled_from([*PAYS_TO.values(), *((script, None) for script in NO_ADDRESS.values())])
    )
)
def test_scripts_in_any_order_keep_their_own_address(pairs):
    assert addresses(*(script for script, _ in pairs)) == [address for _, address in pairs]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (b"\x6a", True),
        (b"\x6a\x04abcd", True),
        (b"", False),
        (b"\x51" * 10_000, False),
        (b"\x51" * 10_001, True),
        (b"\x00\x14" + HASH, False),
    ],
    ids=["bare OP_RETURN", "OP_RETURN", "empty", "longest", "too long", "P2WPKH"],
)
def test_only_op_return_and_oversized_scripts_can_never_be_spent(script, expected):
    assert unspendable(*laid_out([script])).tolist() == [expected]


def test_an_empty_script_before_op_return_stays_spendable():
    raw = b"\x6a" + bytes(4)

    assert unspendable(raw, np.array([0]), np.array([0])).tolist() == [False]


@given(st.binary(max_size=100))
def test_both_makers_of_ripemd160_agree(data):
    expected = RIPEMD160.new(data).digest()

    assert bitcoin_script._pycryptodome_ripemd160(data) == expected
    assert hash160(data) == RIPEMD160.new(sha256(data).digest()).digest()


def test_a_host_whose_openssl_lacks_ripemd160_uses_the_other_maker(monkeypatch):
    def refuse(name, data):
        raise ValueError(f"unsupported hash type {name}")

    monkeypatch.setattr(bitcoin_script, "new_hash", refuse)

    assert bitcoin_script._ripemd160_maker() is bitcoin_script._pycryptodome_ripemd160
