"""Airflow's Test button on connections to nodes: what it asks, and what it tells."""

import base64
import json
import threading
import time

import pytest

from onchain_agg.chains import chain_named
from tests.airflow.connections import asked_of_a_worker, asked_of_the_api_server
from tests.fakes.http_server import json_rpc, serving

pytestmark = pytest.mark.airflow


@pytest.fixture(params=[asked_of_the_api_server, asked_of_a_worker])
def tested(request):
    """Return Airflow's test of a connection, once by each process that may run it."""
    return request.param


def test_a_working_node_is_told_with_its_chain_and_height(tested):
    with serving(json_rpc(eth_chainId="0x1", eth_blockNumber="0x1312d00")) as node:
        found = tested(conn_type="onchain_evm", host=node.url)

    assert found == (
        True,
        f"{node.url} serves ethereum (chain id 1), newest block 20,000,000.",
    )


def test_every_url_is_tested_and_the_bad_one_named(tested):
    with serving(json_rpc(eth_chainId="0x1", eth_blockNumber="0x2")) as node:
        works, told = tested(conn_type="onchain_evm", host=f"{node.url}/v2, http://127.0.0.1:1")

    good, bad = told.split(". ", 1)
    assert not works
    assert good == f"{node.url}/v2 serves ethereum (chain id 1), newest block 2"
    assert bad.startswith("eth_chainId at http://127.0.0.1:1: no answer (NewConnectionError: ")
    assert bad.endswith(". Start the node, or correct its address or key.")


def test_urls_of_two_chains_are_one_connection_too_few():
    with (
        serving(json_rpc(eth_chainId="0x1", eth_blockNumber="0x2")) as one,
        serving(json_rpc(eth_chainId="0x2105", eth_blockNumber="0x3")) as other,
    ):
        found = asked_of_a_worker(conn_type="onchain_evm", host=f"{one.url},{other.url}")

    assert found == (
        False,
        (
            f"{one.url} serves ethereum (chain id 1), newest block 2. {other.url} serves base "
            "(chain id 8453), newest block 3. A connection is for one chain, and these are base, "
            "ethereum."
        ),
    )


def test_a_chain_of_nobody_is_told_by_its_id():
    with serving(json_rpc(eth_chainId="0x3e7", eth_blockNumber="0x2")) as node:
        found = asked_of_a_worker(conn_type="onchain_evm", host=node.url)

    assert found == (
        False,
        (
            f"{node.url} serves a chain that is not defined (chain id 999), newest block 2. Give "
            "the URL of another chain's node, or define the chain."
        ),
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(
            lambda *_: (429, b"later"), "eth_chainId at URL: HTTP 429.", id="a quota is not awaited"
        ),
        pytest.param(
            lambda *_: (401, b"no"),
            "eth_chainId at URL: HTTP 401: check the key in the connection.",
            id="wrong key",
        ),
        pytest.param(
            lambda *_: (200, b"<html>"),
            "eth_chainId at URL: answered with something that is not JSON (JSON is malformed: "
            "invalid character (byte 0)).",
            id="a web page",
        ),
        pytest.param(
            json_rpc(getblockcount=1),
            "eth_chainId at URL: error -32601: Method eth_chainId not found.",
            id="a node of another kind",
        ),
        pytest.param(
            json_rpc(eth_chainId="one", eth_blockNumber="0x2"),
            "URL answered chain id 'one' and block '0x2', which are not hexadecimal.",
            id="no number",
        ),
    ],
)
def test_a_node_that_answers_badly_is_told_at_once(answer, told):
    with serving(answer) as node:
        works, found = asked_of_a_worker(conn_type="onchain_evm", host=node.url)

    assert not works
    assert (
        found.replace(node.url, "URL") == f"{told} Start the node, or correct its address or key."
    )


@pytest.mark.parametrize("key", ["abc", "a-key-of-more-than-twelve-letters"])
def test_a_test_shows_no_key(tested, key):
    def echo(path, _body):
        return 200, json.dumps({"id": 0, "error": {"code": 1, "message": f"bad {path}"}}).encode()

    with serving(echo) as node:
        works, told = tested(conn_type="onchain_evm", host=f"{node.url}/v2", password=key)

    assert not works
    assert node.paths == [f"/v2/{key}"]
    assert told == (
        f"eth_chainId at {node.url}/v2/***: error 1: bad /v2/***. Start the node, or correct its "
        "address or key."
    )


def test_a_test_ends_though_the_node_never_does(monkeypatch):
    monkeypatch.setattr("onchain_agg.hooks.connection._TEST_S", 0.3)
    over = threading.Event()

    def silent(*_):
        over.wait(10)
        return 200, b"{}"

    started = time.monotonic()
    with serving(silent) as node:
        found = asked_of_a_worker(conn_type="onchain_evm", host=node.url)
        took = time.monotonic() - started
        over.set()

    assert found == (
        False,
        f"{node.url} has not answered within 0.3 s. Start the node, or correct its address or key.",
    )
    assert took < 5


def test_a_test_does_not_wait_for_a_rate_that_is_meant_for_tasks():
    with serving(json_rpc(eth_chainId="0x1", eth_blockNumber="0x2")) as node:
        works, _ = asked_of_a_worker(
            conn_type="onchain_evm", host=node.url, extra={"calls_per_second": 0.01}
        )

    assert works


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({}, "No RPC endpoint is configured. Give the connection a host.", id="no URL"),
        pytest.param(
            {"host": "node.example:8545"},
            "This connection: its host is not an http:// or https:// URL. Correct it. In a user or "
            "password, write / as %2F, @ as %40 and a comma as %2C.",
            id="no scheme",
        ),
        pytest.param(
            {"host": "https://user:pa/ss@127.0.0.1:1/x"},
            "This connection: its host is not an http:// or https:// URL. Correct it. In a user or "
            "password, write / as %2F, @ as %40 and a comma as %2C.",
            id="a slash in a password",
        ),
        pytest.param(
            {"host": "http://a.example,http://b.example", "password": "a-longer-key"},
            "This connection has an API key and 2 URLs. Write {api_key} into each URL that the key "
            "belongs to.",
            id="whose key",
        ),
        pytest.param(
            {"host": "http://a.example", "extra": {"timeout_s": "soon"}},
            "This connection: extra 'timeout_s' is 'soon'. Give a number above 0.",
            id="no number",
        ),
    ],
)
def test_a_connection_that_cannot_be_is_told_without_its_made_up_id(tested, fields, told):
    assert tested(conn_type="onchain_evm", **fields) == (False, told)


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        pytest.param(
            {"content": "half"},
            "ethereum: content is 'half'. Write full or logs.",
            id="content",
        ),
        pytest.param(
            {"genesis": "/nowhere/genesis.json"},
            "This connection: extra 'genesis' is '/nowhere/genesis.json', which does not exist on "
            "this machine. Correct the path or mount the files.",
            id="genesis",
        ),
    ],
)
def test_the_other_extras_are_tested_too(extra, told):
    with serving(json_rpc(eth_chainId="0x1", eth_blockNumber="0x2")) as node:
        found = asked_of_a_worker(conn_type="onchain_evm", host=node.url, extra=extra)

    assert found == (False, told)


def test_a_bitcoin_node_is_told_by_its_first_block(tested):
    chain = chain_named("litecoin")
    with serving(json_rpc(getblockhash=chain.genesis_hash, getblockcount=3_000_000)) as node:
        found = tested(
            conn_type="onchain_bitcoin",
            host=node.url,
            login="me",
            password="P@ss",  # noqa: S106 - no secret
        )

    assert found == (
        True,
        f"{node.url} serves litecoin (block 0 is {chain.genesis_hash}), newest block 3,000,000.",
    )
    assert {headers["authorization"] for headers in node.headers} == {
        "Basic " + base64.b64encode(b"me:P@ss").decode()
    }


def test_block_files_are_told_by_their_chain(tested, tmp_path):
    for number in range(2):
        (tmp_path / f"blk0000{number}.dat").write_bytes(chain_named("bitcoin").magic + bytes(90))

    found = tested(conn_type="onchain_bitcoin", extra={"blocks": str(tmp_path)})

    assert found == (True, f"{tmp_path} has 2 block files, of bitcoin.")


def test_hidden_block_files_are_told_by_their_chain(tmp_path):
    key = bytes(range(1, 9))
    magic = bytes(a ^ b for a, b in zip(chain_named("regtest").magic, key, strict=False))
    (tmp_path / "xor.dat").write_bytes(key)
    (tmp_path / "blk00000.dat").write_bytes(magic + bytes(90))

    found = asked_of_a_worker(conn_type="onchain_bitcoin", extra={"blocks": str(tmp_path)})

    assert found == (True, f"{tmp_path} has 1 block file, of regtest.")


def test_block_files_of_no_known_chain_are_told(tmp_path):
    file = tmp_path / "blk00000.dat"
    file.write_bytes(bytes.fromhex("0b110907") + bytes(90))

    found = asked_of_a_worker(conn_type="onchain_bitcoin", extra={"blocks": str(file)})

    assert found == (
        False,
        (
            f"{file} starts with the magic 0b110907, which is of no chain that is defined (bitcoin "
            "f9beb4d9, litecoin fbc0b6db, regtest fabfb5da). Where the node hides its files, keep "
            "xor.dat beside them."
        ),
    )


def test_a_folder_without_block_files_is_told(tmp_path):
    found = asked_of_a_worker(conn_type="onchain_bitcoin", extra={"blocks": str(tmp_path)})

    assert found == (
        False,
        f"No blk*.dat in {tmp_path}. Name the `blocks` directory of the node's data.",
    )


@pytest.mark.parametrize("fields", [{}, {"host": "http://a.example", "extra": {"blocks": "/"}}])
def test_a_bitcoin_connection_is_a_node_or_files(tested, fields):
    assert tested(conn_type="onchain_bitcoin", **fields) == (
        False,
        (
            "This connection: give the URL of a node or a path to block files (extra 'blocks'), "
            "and only one of them."
        ),
    )
