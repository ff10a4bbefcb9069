"""Addresses as text: the published vectors, and there and back for every kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.chains import chain_named
from onchain_agg.errors import ConfigError
from onchain_agg.sources.bitcoin_address import address_bytes, address_text

CHAINS = st.sampled_from(["bitcoin", "litecoin", "regtest"]).map(chain_named)
ADDRESSES = st.one_of(
    st.tuples(st.sampled_from([0x00, 0x05, 0x10]), st.binary(min_size=20, max_size=20)),
    st.tuples(st.just(0x10), st.binary(min_size=32, max_size=32)),
    st.tuples(st.integers(0x11, 0x20), st.binary(min_size=2, max_size=40)),
).map(lambda parts: bytes([parts[0]]) + parts[1])

KNOWN = [
    # The genesis block's key and the generator point's key.
    ("bitcoin", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "0062e907b15cbf27d5425399ebf6f0fb50ebb88f18"),
    ("bitcoin", "1111111111111111111114oLvT2", "00" * 21),
    ("bitcoin", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "05b472a266d0bd89c13706a4132ccfb16f7c3b9fcb"),
    # BIP 173 and BIP 350.
    (
        "bitcoin",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        "10751e76e8199196d454941c45d1b3a323f1433bd6",
    ),
    (
        "bitcoin",
        "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
        "11751e76e8199196d454941c45d1b3a323f1433bd6751e76e8199196d454941c45d1b3a323f1433bd6",
    ),
    ("bitcoin", "bc1sw50qgdz25j", "20751e"),
    ("bitcoin", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs", "12751e76e8199196d454941c45d1b3a323"),
    (
        "bitcoin",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "1179be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    ),
    ("bitcoin", "bc1pfeessrawgf", "114e73"),
]


@pytest.mark.parametrize(("chain", "text", "address"), KNOWN)
def test_a_published_address_is_read_and_written(chain, text, address):
    assert address_text(chain_named(chain), bytes.fromhex(address)) == text
    assert address_bytes(chain_named(chain), text).hex() == address


def test_bech32_may_be_typed_in_capitals():
    address = address_bytes(chain_named("bitcoin"), "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4")

    assert address.hex() == "10751e76e8199196d454941c45d1b3a323f1433bd6"


@given(CHAINS, ADDRESSES)
def test_text_leads_back_to_the_address(chain, address):
    assert address_bytes(chain, address_text(chain, address)) == address


@given(CHAINS, ADDRESSES, st.data())
def test_one_wrong_character_is_noticed(chain, address, data):
    text = address_text(chain, address)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c.lower() != text[at].lower()))

    with pytest.raises(ConfigError, match=f"no address of {chain.name}"):
        address_bytes(chain, text[:at] + other + text[at + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "bc1",
        "bc1gmk9yu",
        # BIP 350: bech32 where bech32m belongs, and the other way round.
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
        "bc1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqm0u3m6",
        "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL",
        # A character outside the alphabet, a version above 16, programs too short and too long.
        "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
        "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
        "bc1pw5dgrnzv",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
        "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
        # Filling of more than four bits, and filling that is not zero.
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j",
        # Mixed case, and another network's.
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5Jj0",
        "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9",
        "LVuDpNCSSj6pQ7t9Pv6d6sUkLKoqDEVUnJ",
        "1" * 500,
    ],
)
def test_a_text_that_is_no_address_of_the_chain_is_refused(text):
    with pytest.raises(ConfigError, match="no address of bitcoin"):
        address_bytes(chain_named("bitcoin"), text)


@pytest.mark.parametrize(
    "address", ["", "00", "05" + "00" * 21, "10" + "00" * 21, "1100", "21" + "00" * 20, "11" * 42]
)
def test_bytes_that_are_no_address_are_refused_and_shown(address):
    with pytest.raises(ConfigError, match=f"0x{address} is no address of bitcoin"):
        address_text(chain_named("bitcoin"), bytes.fromhex(address))
