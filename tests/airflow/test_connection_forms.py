"""The forms of the connection types, as Airflow's pages get them."""

import pytest
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

from onchain_agg.hooks import BitcoinHook, EvmHook, MarketHook

pytestmark = pytest.mark.airflow

_SECONDS = ("Timeout (s)", ["number", "null"], "Silence after which a call fails.")
_CALLS = ("Calls per second", ["number", "null"], "Limit of each endpoint.")
_ABOVE_0 = {"exclusiveMinimum": 0}


@pytest.fixture(scope="module")
def forms():
    """Return every form by connection type."""
    return {form.connection_type: form for form in HookMetaService.hook_meta_data()}


def _standard(form):
    """Return title and placeholder of each field that is not hidden; None where Airflow's own."""
    fields = form.standard_fields.model_dump()
    return {
        name: (field["title"], field["placeholder"]) if field else None
        for name, field in fields.items()
        if not (field and field["hidden"])
    }


def _extras(form):
    """Return title, types and description of each extra, and what its values must keep to."""
    found = {}
    for name, field in form.extra_fields.items():
        schema = dict(field["schema"])
        shown = (schema.pop("title"), schema.pop("type"), field["description"])
        found[name] = (shown, schema)
    return found


def test_the_form_of_an_evm_node(forms):
    form = forms["onchain_evm"]

    assert form.hook_name == "On-chain: EVM node"
    assert _standard(form) == {
        "description": None,
        "host": (
            "URL",
            "https://node.example/v2 (several, in order of preference, with commas between)",
        ),
        "password": (
            "API key",
            "Takes the place of {api_key} in the URL, else follows it as a path",
        ),
    }
    assert _extras(form) == {
        "genesis": (
            ("Genesis file", ["string", "null"], "JSON of the genesis allocation."),
            {},
        ),
        "content": (
            ("Content", ["string", "null"], "full, or logs for token transfers alone."),
            {"enum": ["full", "logs", None]},
        ),
        "timeout_s": (_SECONDS, _ABOVE_0),
        "calls_per_second": (_CALLS, _ABOVE_0),
    }


def test_the_form_of_a_bitcoin_node(forms):
    form = forms["onchain_bitcoin"]

    assert form.hook_name == "On-chain: Bitcoin-family node"
    assert _standard(form) == {
        "description": None,
        "host": (
            "URL",
            "http://127.0.0.1:8332 (several, in order of preference, with commas between)",
        ),
        "login": ("RPC user", None),
        "password": ("RPC password", None),
    }
    assert _extras(form) == {
        "blocks": (
            ("Block files", ["string", "null"], "A blk*.dat file or a folder of them."),
            {},
        ),
        "timeout_s": (_SECONDS, _ABOVE_0),
        "calls_per_second": (_CALLS, _ABOVE_0),
    }


def test_the_form_of_an_exchange(forms):
    form = forms["onchain_market"]

    assert form.hook_name == "On-chain: exchange"
    assert _standard(form) == {
        "description": None,
        "host": ("Exchange", "kraken (an exchange's id in ccxt)"),
        "login": ("API key", "Public data needs no key"),
        "password": ("Secret", None),
    }
    assert _extras(form) == {
        "sandbox": (
            ("Sandbox", ["boolean", "null"], "Whether to use the exchange's test system."),
            {},
        ),
        "url": (
            (
                "URL",
                ["string", "null"],
                "Takes the place of scheme and host in every URL, for a proxy.",
            ),
            {},
        ),
        "timeout_s": (_SECONDS, _ABOVE_0),
        "calls_per_second": (_CALLS, _ABOVE_0),
    }


@pytest.mark.parametrize("hook", [BitcoinHook, EvmHook, MarketHook], ids=lambda hook: hook.__name__)
def test_a_form_belongs_to_its_hook_and_every_extra_is_in_its_docstring(forms, hook):
    form = forms[hook.conn_type]

    assert form.hook_class_name == f"{hook.__module__}.{hook.__name__}"
    assert form.hook_name == hook.hook_name
    assert [name for name in form.extra_fields if f"``{name}``" not in hook.__doc__] == []
