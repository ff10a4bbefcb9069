"""The input of a local run: what is taken, and what each wrong one says before anything starts."""

import json
from pathlib import Path

import pytest

from onchain_agg.chains import all_chains
from onchain_agg.errors import ConfigError, UnknownNameError
from onchain_agg.local.inputs import Input, Request, checked, sample_inputs
from onchain_agg.sources.opening import read_genesis


def _names(family: str) -> str:
    names = [name for name, chain in all_chains().items() if type(chain).__name__ == family]
    return ", ".join(sorted(names))


def test_nothing_given_means_the_sample():
    assert checked(Request()) is None


def test_a_block_file_is_bitcoin_unless_said_otherwise(tmp_path):
    file = tmp_path / "blk00000.dat"
    file.touch()

    given = checked(Request(blocks=str(file)))
    other = checked(Request(blocks=str(tmp_path), chain="litecoin"))

    assert given == Input(
        chain="bitcoin",
        connection={"conn_type": "onchain_bitcoin", "extra": {"blocks": str(file)}},
    )
    assert given.conf == {}
    assert other is not None
    assert other.chain == "litecoin"


def test_a_node_takes_a_range_of_blocks():
    given = checked(
        Request(evm_rpc="https://node.example/v2", chain="polygon", first="0", last="7")
    )

    assert given == Input(
        chain="polygon",
        connection={"conn_type": "onchain_evm", "host": "https://node.example/v2"},
        first=0,
        last=7,
    )
    assert given.conf == {"first": 0, "last": 7}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            Request(evm_rpc="http://n", chain="base", first="x"),
            "FROM is 'x'. Write a block number: 0 or more, digits only.",
        ),
        (
            Request(btc_rpc="http://n", last="-1"),
            "TO is '-1'. Write a block number: 0 or more, digits only.",
        ),
        (
            Request(btc_rpc="http://n", first="9", last="8"),
            "FROM is 9, which lies after TO, 8. Swap them.",
        ),
        (
            Request(blocks="/nowhere/blk00000.dat"),
            "BLOCKS is '/nowhere/blk00000.dat', which does not exist. Correct the path.",
        ),
        (
            Request(evm_rpc="http://n"),
            f"EVM_RPC needs CHAIN. Set it to one of {_names('EvmChain')}.",
        ),
        (
            Request(evm_rpc="http://n", chain="bitcoin"),
            f"CHAIN is 'bitcoin', which EVM_RPC cannot read. Set one of {_names('EvmChain')}.",
        ),
        (
            Request(btc_rpc="http://n", chain="base"),
            (
                "CHAIN is 'base', which BLOCKS and BTC_RPC cannot read. "
                f"Set one of {_names('UtxoChain')}."
            ),
        ),
        (
            Request(btc_rpc="http://n", evm_rpc="http://n"),
            "BTC_RPC and EVM_RPC are both set. Set one of them.",
        ),
        (
            Request(first="1"),
            (
                "CHAIN, FROM and TO belong to an input. Set BLOCKS, BTC_RPC or EVM_RPC too, "
                "or none of them for the sample."
            ),
        ),
        (
            Request(btc_rpc="user:secret@host"),
            "BTC_RPC is not the address of a node. Write http://host:port.",
        ),
    ],
)
def test_a_wrong_input_names_the_option_and_the_cure(request_, message):
    with pytest.raises(ConfigError) as caught:
        checked(request_)

    assert str(caught.value) == message


def test_a_misspelt_chain_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="Did you mean 'polygon'"):
        checked(Request(evm_rpc="http://n", chain="poligon"))


def test_a_folder_without_block_files_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no blk\*\.dat"):
        checked(Request(blocks=str(tmp_path)))


def test_the_sample_brings_both_chains_and_a_genesis_that_the_source_can_read(tmp_path: Path):
    with sample_inputs(tmp_path) as (evm, utxo):
        genesis = Path(evm.connection["extra"]["genesis"])

        assert (evm.chain, utxo.chain) == ("anvil", "regtest")
        assert evm.connection["host"].startswith("http://127.0.0.1:")
        assert list(Path(utxo.connection["extra"]["blocks"]).glob("blk*.dat")) != []
        written = json.loads(genesis.read_text())["alloc"]
        assert sum(read_genesis(genesis).values()) == sum(
            int(one["balance"], 16) for one in written.values()
        )
