"""The recorder, run again on real nodes."""

import pytest

from onchain_agg import sample
from scripts.record_sample import record_anvil, record_regtest
from tests.nodes import anvil, evm_contracts, litecoind

pytestmark = pytest.mark.node


@pytest.mark.skipif(
    bool(anvil.available() or evm_contracts.available()),
    reason=str(anvil.available() or evm_contracts.available()),
)
def test_the_evm_chain_is_recorded_to_the_same_bytes_again(tmp_path):
    facts = record_anvil(tmp_path)

    again = (tmp_path / "anvil" / "recording.jsonl.xz").read_bytes()
    assert again == sample.recording_file().read_bytes()
    assert facts == sample.expected()["anvil"]


@pytest.mark.skipif(bool(litecoind.available()), reason=str(litecoind.available()))
def test_the_block_file_is_recorded_to_the_same_bytes_again(tmp_path):
    facts = record_regtest(tmp_path)

    again = (tmp_path / "regtest" / "blk00000.dat").read_bytes()
    assert again == (sample.block_dir() / "blk00000.dat").read_bytes()
    assert facts == sample.expected()["regtest"]
