"""What token contracts tell is read as it is meant, and what cannot be relied on is named."""

import json

import pytest

from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.sources.rpc import Rpc, RpcLimits, UnsupportedError
from onchain_agg.sources.token_metadata import (
    Declared,
    TokenMetadata,
    disagreements,
    read_token_list,
    read_tokens,
)
from tests.fakes.http_server import serving

_NAME, _SYMBOL, _DECIMALS, _SUPPORTS = "0x06fdde03", "0x95d89b41", "0x313ce567", "0x01ffc9a7"
_ONE, _TWO, _THREE = (f"0x{i:040x}" for i in (1, 2, 3))
_EIGHTEEN = f"0x{18:064x}"
_TRUE = f"0x{1:064x}"


def _string(content: bytes, length=None):
    padded = content.ljust(-(-len(content) // 32) * 32, b"\0")
    size = len(content) if length is None else length
    return "0x" + (b"".join(n.to_bytes(32, "big") for n in (32, size)) + padded).hex()


def _bytes32(content: bytes):
    return "0x" + content.ljust(32, b"\0").hex()


_GOOD = {_NAME: _string(b"Good"), _SYMBOL: _string(b"GOOD"), _DECIMALS: _EIGHTEEN}


def _node(contracts):
    """Return a node's answers: what each contract tells by selector; it refuses every other."""

    def one(call):
        asked = call["params"][0]
        data, contract = asked["data"], contracts[asked["to"]]
        answer = contract.get(data, contract.get(data[:10]))
        said = {"jsonrpc": "2.0", "id": call["id"]}
        if answer is None:
            return {**said, "error": {"code": 3, "message": "execution reverted"}}
        return {**said, "result": answer}

    def answer(_path, body):
        asked = json.loads(body)
        said = [one(call) for call in asked] if isinstance(asked, list) else one(asked)
        return 200, json.dumps(said).encode()

    return answer


def _told(contracts, *, batch_calls=100):
    with serving(_node(contracts)) as served:
        rpc = Rpc([served.url], RpcLimits(batch_calls=batch_calls))
        return read_tokens(rpc, "ethereum", list(contracts))


def _one(**answers):
    selectors = {"name": _NAME, "symbol": _SYMBOL, "decimals": _DECIMALS}
    changed = {selectors[name]: value for name, value in answers.items()}
    (told,) = _told({_ONE: {k: v for k, v in {**_GOOD, **changed}.items() if v is not None}})
    return told


def test_a_token_tells_name_symbol_and_decimals():
    assert _one() == TokenMetadata(_ONE, "Good", "GOOD", 18, is_collection=False, faults=())


def test_a_symbol_of_bytes32_is_a_text():
    told = _one(symbol=_bytes32(b"MKR"), name=_bytes32(b"Maker"))

    assert (told.symbol, told.name, told.faults) == ("MKR", "Maker", ())


def test_a_symbol_of_exactly_32_bytes_is_a_text():
    assert _one(symbol=_bytes32(b"S" * 32)).symbol == "S" * 32


def test_letters_of_every_script_are_a_symbol():
    assert _one(symbol=_string("USD₮0".encode())).symbol == "USD₮0"


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        pytest.param({"symbol": None}, "it has no symbol()", id="refused"),
        pytest.param({"symbol": "0x"}, "it has no symbol()", id="nothing"),
        pytest.param({"symbol": _string(b"")}, "its symbol is empty", id="empty"),
        pytest.param({"symbol": _bytes32(b"")}, "its symbol is empty", id="zeros"),
        pytest.param({"symbol": _string(b"  ")}, "its symbol is blank", id="blank"),
        pytest.param(
            {"symbol": _string(b"\xff\xfe")}, "its symbol is no UTF-8 text (0xfffe)", id="bytes"
        ),
        pytest.param(
            {"symbol": _string(b"AB\nC")},
            "its symbol holds the control character U+000A",
            id="line break",
        ),
        pytest.param(
            {"symbol": _string("A\u202eB".encode())},
            "its symbol holds the control character U+202E",
            id="letters turned around",
        ),
        pytest.param(
            {"symbol": _bytes32(b"A\0B")},
            "its symbol holds the control character U+0000",
            id="NUL in between",
        ),
        pytest.param(
            {"symbol": _string(b"A" * 101)}, "its symbol is 101 characters long", id="long"
        ),
        pytest.param(
            {"symbol": _string(b"AB", length=2**200)},
            f"its symbol is neither a string nor bytes32 (0x{32:064x}…)",
            id="longer than the answer",
        ),
        pytest.param(
            {"symbol": "0x1234"}, "its symbol is neither a string nor bytes32 (0x1234…)", id="short"
        ),
        pytest.param(
            {"decimals": f"0x{39:064x}"}, "it tells 39 decimals, more than 38", id="39 decimals"
        ),
        pytest.param(
            {"decimals": "0x" + "ff" * 32},
            f"its decimals() answers 0x{'ff' * 32}, which is no uint8",
            id="no uint8",
        ),
        pytest.param(
            {"decimals": "0x12"}, "its decimals() answers 0x12, which is no uint8", id="one byte"
        ),
    ],
)
def test_what_cannot_be_relied_on_is_named(answers, fault):
    assert _one(**answers).faults == (fault,)


def test_a_name_that_cannot_be_read_is_no_fault():
    assert (_one(name=None).name, _one(name=_string(b"\xff")).faults) == (None, ())


def test_contracts_that_refuse_do_not_spoil_the_others():
    contracts = {
        _ONE: _GOOD,
        _TWO: {},
        _THREE: {**_GOOD, _SYMBOL: _string(b"THREE")},
    }

    told = _told(contracts, batch_calls=4)

    assert [(t.symbol, t.decimals, t.faults) for t in told] == [
        ("GOOD", 18, ()),
        (None, None, ("it has no symbol()",)),
        ("THREE", 18, ()),
    ]


def test_collections_need_no_decimals():
    erc721 = {_SYMBOL: _string(b"DECK"), _SUPPORTS + "80ac58cd".ljust(64, "0"): _TRUE}
    erc1155 = {_SUPPORTS + "d9b67a26".ljust(64, "0"): _TRUE}

    told = _told({_ONE: erc721, _TWO: erc1155, _THREE: {_SYMBOL: _string(b"X")}})

    assert [disagreements(Declared(t.address, "X", 0), t) for t in told] == [
        (),
        (),
        ("it has no decimals()",),
    ]
    assert disagreements(Declared(_ONE, "DECK", 18), told[0]) == ("it has no decimals()",)


def test_decimals_that_are_declared_otherwise_are_a_fault():
    assert disagreements(Declared(_ONE, "GOOD", 6), _one()) == (
        "it is declared with 6 decimals, but tells 18",
    )
    assert disagreements(Declared(_ONE, "GOOD", 18), _one()) == ()


def test_a_node_that_does_not_answer_is_no_fault_of_the_tokens():
    with serving(lambda *_: (500, b"")) as served, pytest.raises(SourceError, match="HTTP 500"):
        read_tokens(Rpc([served.url]), "ethereum", [_ONE])


def test_a_node_without_calls_is_no_fault_of_the_tokens():
    error = {"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "Method not found"}}

    def answer(_path, body):
        return 200, json.dumps([{**error, "id": call["id"]} for call in json.loads(body)]).encode()

    with serving(answer) as served, pytest.raises(UnsupportedError):
        read_tokens(Rpc([served.url]), "ethereum", [_ONE])


def test_a_real_token_list_is_read(real_data):
    file = real_data / "tokens/uniswap_default_mainnet.json"

    tokens = read_token_list(file, 1)

    assert len(tokens) == 396
    assert tokens[0] == Declared("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2", "WETH", 18)
    assert read_token_list(file, 137) == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "FILE cannot be read: Expecting property name enclosed in double quotes: line 1 "),
        ("{}", "FILE holds no list of tokens. Give a token list in JSON."),
        ("[1]", "FILE, token 1 is no object. Write address, symbol and decimals."),
        (
            [{"address": "0x12", "decimals": 1}],
            "FILE, token 1: address is '0x12'; write 0x and 40 hexadecimal digits.",
        ),
        (
            [{"address": _ONE, "decimals": 256}],
            "FILE, token 1: decimals is 256; write a whole number from 0 to 255.",
        ),
        (
            {"tokens": [{"address": _ONE, "symbol": s, "decimals": 6} for s in ("A", "A", "B")]},
            f"FILE, tokens 1 and 3: {_ONE} comes twice, with A of 6 and B of 6 decimals. Keep ",
        ),
    ],
)
def test_a_token_list_of_another_form_is_refused(tmp_path, content, told):
    file = tmp_path / "list.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))

    with pytest.raises(ConfigError) as caught:
        read_token_list(file, 1)

    assert str(caught.value).replace(str(file), "FILE").startswith(told)
