"""Options: where they come from, and what a wrong one says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from onchain_agg.chains import Asset
from onchain_agg.errors import ConfigError, SourceError
from onchain_agg.settings import (
    Settings,
    extra_assets,
    load_settings,
    sources_folder,
    warehouse_url,
)
from onchain_agg.warehouse.engine import engine_for

_HEADER = "chain,address,symbol,decimals,start_block,whale_threshold\n"


@pytest.fixture
def no_airflow(tmp_path: Path, monkeypatch):
    """Hide an Airflow that the test process has loaded, and any configuration of it."""
    monkeypatch.delitem(sys.modules, "airflow.configuration", raising=False)
    return {"AIRFLOW_HOME": str(tmp_path / "none")}


def test_defaults_lie_in_the_current_folder(no_airflow, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert load_settings(no_airflow) == Settings(
        home=tmp_path / ".onchain-agg", warehouse_url=None, assets_file=None, refresh_minutes=10
    )


def test_the_environment_sets_every_option(no_airflow, tmp_path):
    assets = tmp_path / "assets.csv"
    assets.write_text(_HEADER)

    settings = load_settings(
        {
            **no_airflow,
            "ONCHAIN_AGG_HOME": str(tmp_path / "here"),
            "ONCHAIN_AGG_WAREHOUSE_URL": "postgresql://db/x",
            "ONCHAIN_AGG_ASSETS_FILE": str(assets),
            "ONCHAIN_AGG_REFRESH_MINUTES": "3",
        }
    )

    assert settings == Settings(
        home=tmp_path / "here",
        warehouse_url="postgresql://db/x",
        assets_file=assets,
        refresh_minutes=3,
    )
    assert warehouse_url(settings) == "postgresql://db/x"


def test_airflow_cfg_is_read_and_the_environment_wins_over_it(tmp_path):
    (tmp_path / "airflow.cfg").write_text(
        "[onchain_agg]\nrefresh_minutes = 7\nwarehouse_url = postgresql://from-airflow/x\n"
    )
    code = (
        "from onchain_agg.settings import load_settings as load;"
        "print(load().refresh_minutes, load().warehouse_url)"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "PATH": os.environ["PATH"],
            "AIRFLOW_HOME": str(tmp_path),
            "ONCHAIN_AGG_REFRESH_MINUTES": "4",
        },
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert printed.splitlines()[-1] == "4 postgresql://from-airflow/x"


def test_a_notebook_reads_its_options_without_importing_airflow(tmp_path):
    code = (
        "import sys; from onchain_agg.settings import load_settings; load_settings();"
        "print([name for name in sys.modules if name.split('.')[0] == 'airflow'])"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert printed.strip() == "[]"


@pytest.mark.parametrize("value", ["0", "-1", "ten", "1.5", "٣"])
def test_a_bad_refresh_names_option_value_and_cure(no_airflow, value):
    with pytest.raises(ConfigError) as caught:
        load_settings({**no_airflow, "ONCHAIN_AGG_REFRESH_MINUTES": value})

    assert str(caught.value) == (
        f"Option [onchain_agg] refresh_minutes is {value!r}. Set a whole number of at least 1, "
        "in airflow.cfg or as ONCHAIN_AGG_REFRESH_MINUTES."
    )


def test_a_missing_assets_file_is_named(no_airflow):
    with pytest.raises(ConfigError) as caught:
        load_settings({**no_airflow, "ONCHAIN_AGG_ASSETS_FILE": "/nowhere/assets.csv"})

    assert str(caught.value) == (
        "Option [onchain_agg] assets_file is '/nowhere/assets.csv', which is not a file. Correct "
        "the path, in airflow.cfg or as ONCHAIN_AGG_ASSETS_FILE, or remove the option."
    )


def _settings(path: Path) -> Settings:
    return Settings(home=path.parent, warehouse_url=None, assets_file=path, refresh_minutes=10)


def test_assets_keep_every_digit_and_are_grouped_by_chain(tmp_path):
    path = tmp_path / "assets.csv"
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    path.write_text(
        f"{_HEADER}ethereum,{address},BIG,18,5,{2**256 - 1}\nbitcoin,,BTC2,8,0,1\n"
        f"ethereum,,ETH,18,0,0\n"
    )

    assert extra_assets(_settings(path)) == {
        "ethereum": (
            Asset(
                symbol="BIG",
                address=address.lower(),
                decimals=18,
                start_block=5,
                whale_threshold=2**256 - 1,
            ),
            Asset(symbol="ETH", address=None, decimals=18, start_block=0, whale_threshold=0),
        ),
        "bitcoin": (
            Asset(symbol="BTC2", address=None, decimals=8, start_block=0, whale_threshold=1),
        ),
    }


def test_without_a_file_there_are_no_extra_assets(tmp_path):
    settings = Settings(home=tmp_path, warehouse_url=None, assets_file=None, refresh_minutes=10)

    assert extra_assets(settings) == {}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("etherium,,X,1,0,0", "No chain is named 'etherium'. Did you mean 'ethereum'? Defined:"),
        (",,X,1,0,0", "chain is empty; name one of anvil"),
        (
            "ethereum,0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed,X,1,0,0",
            "address is '0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'; its capitals do not match",
        ),
        ("ethereum,0x12,X,1,0,0", "address is '0x12'; write 0x and 40 hexadecimal digits."),
        ("bitcoin,0x12,X,1,0,0", "address is '0x12', but the chain has no tokens"),
        ("ethereum,,,1,0,0", "symbol is empty"),
        ("ethereum,,X,256,0,0", "decimals is '256'; write a whole number from 0 to 255."),
        ("ethereum,,X,1,0,1e9", "whale_threshold is '1e9'; write a whole number from 0 to"),
        ("ethereum,,X,1,-1,0", "start_block is '-1'"),
        ("ethereum,,X", "decimals is ''"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path, line, reason):
    path = tmp_path / "assets.csv"
    path.write_text(f"{_HEADER}ethereum,,OK,18,0,0\n{line}\n")

    with pytest.raises(ConfigError) as caught:
        extra_assets(_settings(path))

    assert str(caught.value).startswith(f"{path}, line 3: {reason}")


def test_a_file_without_the_header_says_which_line_it_needs(tmp_path):
    path = tmp_path / "assets.csv"
    path.write_text("ethereum,,X,1,0,0\n")

    with pytest.raises(ConfigError) as caught:
        extra_assets(_settings(path))

    assert str(caught.value) == (
        f"{path}: the first line must be {_HEADER.strip()!r}; standard, wraps, bluechip may follow."
    )


def test_a_collection_tells_its_standard_and_what_it_wraps(tmp_path):
    path = tmp_path / "assets.csv"
    base, wrapper = f"0x{1:040x}", f"0x{2:040x}"
    path.write_text(
        f"{_HEADER.strip()},standard,wraps,bluechip\nethereum,{base},A,0,7,1,721,,true\n"
        f"ethereum,{wrapper},WA,0,8,1,1155,{base},\nethereum,,ETH,18,0,1,,,false\n"
    )
    collection = Asset(
        symbol="A",
        address=base,
        decimals=0,
        start_block=7,
        whale_threshold=1,
        standard=721,
        bluechip=True,
    )
    wrapped = Asset(
        symbol="WA",
        address=wrapper,
        decimals=0,
        start_block=8,
        whale_threshold=1,
        standard=1155,
        wraps=base,
    )
    coin = Asset(symbol="ETH", address=None, decimals=18, start_block=0, whale_threshold=1)

    assert extra_assets(_settings(path)) == {"ethereum": (collection, wrapped, coin)}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            f"0x{1:040x},A,0,7,1,erc721,,",
            "standard is 'erc721'; write one of 20, 721, 1155, or leave it empty.",
        ),
        (",A,0,7,1,721,,", "standard is '721', but address is empty; name the collection."),
        (
            f"0x{1:040x},A,0,7,1,721,,yes",
            "bluechip is 'yes'; write one of false, true, or leave it empty.",
        ),
        (f"0x{1:040x},A,0,7,1,721,0x1,", "address is '0x1'; write 0x and 40 hexadecimal digits."),
    ],
)
def test_a_bad_field_of_a_collection_is_told_with_its_cure(tmp_path, line, reason):
    path = tmp_path / "assets.csv"
    path.write_text(f"{_HEADER.strip()},standard,wraps,bluechip\nethereum,{line}\n")

    with pytest.raises(ConfigError) as caught:
        extra_assets(_settings(path))

    assert str(caught.value) == f"{path}, line 2: {reason}"


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("postgresql://me:s3c@ret@h:x/db", "warehouse_url is not a database URL. Write it as "),
        ("not a url", "warehouse_url is not a database URL. Write it as postgresql+psycopg://"),
        ("sqlite:///x.db", "warehouse_url is 'sqlite:///x.db', but the warehouse is PostgreSQL"),
        (
            "postgresql+psycopg2://u:secret@h/d",
            "warehouse_url is 'postgresql+psycopg2://u:***@h/d', but the warehouse is PostgreSQL",
        ),
    ],
)
def test_a_url_that_is_not_postgresql_through_psycopg_is_refused(url, start):
    with pytest.raises(ConfigError) as caught:
        engine_for(url)

    assert str(caught.value).startswith(start)
    assert "secret" not in str(caught.value)


def test_an_unreachable_server_is_one_line_without_the_password():
    with pytest.raises(SourceError) as caught:
        engine_for("postgresql://user:secret@127.0.0.1:1/d")

    message = str(caught.value)
    assert message.startswith(
        "PostgreSQL at postgresql+psycopg://user:***@127.0.0.1:1/d cannot be used: "
    )
    assert message.endswith("Start the server or correct warehouse_url.")
    assert "secret" not in message
    assert "\n" not in message


def test_the_folder_of_sources_is_none_unless_it_is_set(no_airflow, tmp_path):
    assert sources_folder(no_airflow) is None
    environ = {**no_airflow, "ONCHAIN_AGG_SOURCES_FOLDER": str(tmp_path)}
    assert sources_folder(environ) == tmp_path


def test_a_folder_of_sources_that_is_none_is_refused(no_airflow, tmp_path):
    path = str(tmp_path / "missing")

    with pytest.raises(ConfigError) as error:
        sources_folder({**no_airflow, "ONCHAIN_AGG_SOURCES_FOLDER": path})

    assert str(error.value) == (
        f"Option [onchain_agg] sources_folder is {path!r}, which is not a folder. Correct the path,"
        " in airflow.cfg or as ONCHAIN_AGG_SOURCES_FOLDER, or remove the option."
    )
