"""Labels: what is believed now, what was believed before, and which days that changes."""

from datetime import UTC, date, datetime, timedelta

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text

from onchain_agg.chains import chain_named
from onchain_agg.cli import main
from onchain_agg.errors import ConfigError
from onchain_agg.metrics.dataset import Window
from onchain_agg.metrics.labels import labels_on
from onchain_agg.sources.label_file import LabelRow
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.labels import Imported, import_labels, labels_as_of
from onchain_agg.warehouse.tables.chain import LABEL
from onchain_agg.warehouse.tables.ops import DIRTY, FACT_DAY, READER
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, branch

pytestmark = pytest.mark.data

T0 = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOT, COLD = "0x" + "aa" * 20, "0x" + "bb" * 20
# EIP-55's own example.
MIXED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
Y20, Y21, Y22, Y23 = (date(year, 1, 1) for year in (2020, 2021, 2022, 2023))


@pytest.fixture(scope="module")
def database(new_database):
    with new_database() as engine:
        yield engine


@pytest.fixture
def engine(database):
    """Return a warehouse without labels; a database of its own would cost each test more."""
    with database.begin() as connection:
        connection.execute(LABEL.delete())
    return database


def row(address, entity, first, last=None, category="exchange", line=2):
    return LabelRow(address, category, entity, first, last, f"labels.csv, line {line}")


def bring(engine, rows, at=T0, source="desk", chain=EVM, **named):
    return import_labels(engine, chain, rows, source=source, at=at, **named)


def counts(done: Imported):
    return done.added, done.corrected, done.ended, done.unchanged


def believed(engine, moment=None, chain=EVM):
    with engine.connect() as connection:
        return {
            (label.address.hex()[:2], label.entity, label.valid_from, label.valid_to)
            for label in labels_as_of(connection, chain, moment)
        }


def test_the_same_file_again_writes_nothing(engine):
    rows = [row(HOT, "kraken", Y20), row(COLD, "kraken", Y20, Y22)]

    assert counts(bring(engine, rows)) == (2, 0, 0, 0)
    again = bring(engine, rows, T0 + HOUR, replace_all=True)

    assert again == Imported(0, 0, 0, 2, (), None)
    with engine.connect() as connection:
        assert list(connection.scalars(select(LABEL.c.known_from))) == [T0, T0]


@pytest.mark.parametrize(
    ("corrected", "after"),
    [
        pytest.param([row(HOT, "kraken", Y21)], ("aa", "kraken", Y21, None), id="begins later"),
        pytest.param([row(HOT, "kraken", Y20, Y22)], ("aa", "kraken", Y20, Y22), id="ends"),
        pytest.param([row(HOT, "upbit", Y20)], ("aa", "upbit", Y20, None), id="is another's"),
    ],
)
def test_a_correction_ends_one_belief_and_begins_another(engine, corrected, after):
    bring(engine, [row(HOT, "kraken", Y20)])

    done = bring(engine, corrected, T0 + HOUR)

    assert counts(done) == (0, 1, 0, 0)
    assert believed(engine) == {after}
    assert believed(engine, T0 - HOUR) == set()
    assert believed(engine, T0) == {("aa", "kraken", Y20, None)}
    assert believed(engine, T0 + HOUR) == {after}


def test_an_address_that_was_sold_has_both_owners_one_after_the_other(engine):
    bring(engine, [row(HOT, "kraken", Y20)])

    done = bring(engine, [row(HOT, "kraken", Y20, Y22), row(HOT, "upbit", Y22)], T0 + HOUR)

    assert counts(done) == (1, 1, 0, 0)
    assert believed(engine) == {("aa", "kraken", Y20, Y22), ("aa", "upbit", Y22, None)}


def test_one_row_takes_the_place_of_all_that_it_spans(engine):
    bring(engine, [row(HOT, "kraken", Y20, Y21), row(HOT, "kraken", Y22)])

    done = bring(engine, [row(HOT, "kraken", Y20)], T0 + HOUR)

    assert counts(done) == (0, 1, 0, 0)
    assert believed(engine) == {("aa", "kraken", Y20, None)}


def test_replacing_ends_what_the_file_does_not_name_but_no_other_sources_labels(engine):
    bring(engine, [row(HOT, "kraken", Y20), row(COLD, "kraken", Y20)])
    bring(engine, [row(COLD, "kraken", Y21)], T0 + HOUR, source="vendor")

    done = bring(engine, [row(HOT, "kraken", Y20)], T0 + 2 * HOUR, replace_all=True)

    assert counts(done) == (0, 0, 1, 1)
    assert believed(engine) == {("aa", "kraken", Y20, None), ("bb", "kraken", Y21, None)}


def test_an_import_is_never_dated_before_the_last_one(engine):
    bring(engine, [row(HOT, "kraken", Y20)])

    done = bring(engine, [row(HOT, "upbit", Y20)], T0 - HOUR)

    assert done.at == T0 + timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param(
            [row(HOT, "kraken", Y20), row(HOT.upper().replace("X", "x"), "kraken", Y20, line=3)],
            "labels.csv, line 3: it repeats labels.csv, line 2. Remove one of the two.",
            id="a row that comes twice",
        ),
        pytest.param(
            [row(HOT, "kraken", Y20, Y22), row(HOT, "upbit", Y21, line=3)],
            f"labels.csv, line 3: exchange {HOT} is upbit from 2021-01-01 on, which overlaps"
            " labels.csv, line 2: kraken from 2020-01-01 to before 2022-01-01. End one where the"
            " other begins.",
            id="two rows that overlap",
        ),
        pytest.param(
            [row(HOT, "upbit", Y22, Y23)],
            f"labels.csv, line 2: exchange {HOT} is upbit from 2022-01-01 to before 2023-01-01, but"
            " desk says kraken from 2021-01-01 on. Correct one of them, or end it with valid_to.",
            id="a row that overlaps what is believed",
        ),
        pytest.param(
            [row(COLD, "upbit", Y21)],
            f"labels.csv, line 2: exchange {COLD} is upbit from 2021-01-01 on, but vendor says"
            " kraken from 2021-01-01 on. Correct one of them, or end it with valid_to.",
            id="a row that another source contradicts",
        ),
        pytest.param(
            [row(HOT, "kraken", Y20, Y20)],
            "labels.csv, line 2: valid_to 2020-01-01 is not after valid_from 2020-01-01. valid_to"
            " is the first day after.",
            id="no day at all",
        ),
        pytest.param(
            [row(MIXED.replace("Ae", "aE"), "kraken", Y20)],
            f"labels.csv, line 2: address is {MIXED.replace('Ae', 'aE')!r}; its capitals do not"
            " match its checksum.",
            id="a wrong checksum",
        ),
        pytest.param(
            [row("0x12", "kraken", Y20)],
            "labels.csv, line 2: address is '0x12'; write 0x and 40 hexadecimal digits.",
            id="no address",
        ),
        pytest.param(
            [row(COLD, "all", Y20)],
            "labels.csv, line 2: entity is 'all', which stands for all exchanges as one. Write the"
            " exchange's own name.",
            id="an exchange of the name of all",
        ),
    ],
)
def test_a_wrong_row_is_named_and_nothing_of_its_file_is_taken(engine, rows, message):
    bring(engine, [row(HOT, "kraken", Y21)])
    bring(engine, [row(COLD, "kraken", Y21)], source="vendor")
    before = believed(engine)
    good = row("0x" + "cc" * 20, "kraken", Y20, line=1)

    with pytest.raises(ConfigError) as error:
        bring(engine, [good, *rows], T0 + HOUR)

    assert str(error.value) == message
    assert believed(engine) == before


def test_addresses_are_read_as_their_chain_writes_them(engine):
    bitcoin = chain_named("bitcoin")
    rows = [row("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "satoshi", Y20, category="miner")]
    bring(engine, rows, chain=bitcoin)
    bring(engine, [row(MIXED, "kraken", Y20)])

    with engine.connect() as connection:
        (genesis,) = labels_as_of(connection, bitcoin, None)
        (mixed,) = labels_as_of(connection, EVM, None)
    assert genesis.address.hex() == "0062e907b15cbf27d5425399ebf6f0fb50ebb88f18"
    assert mixed.address.hex() == MIXED[2:].lower()
    with pytest.raises(ConfigError, match="line 2: 'bc1q' is no address of bitcoin"):
        bring(engine, [row("bc1q", "x", Y20)], chain=bitcoin)


@pytest.fixture
def followed(new_database):
    """Return a database of its own, for its blocks."""
    with new_database() as engine:
        yield engine


@pytest.fixture
def days(followed):
    """Return the four days that have applied blocks there, where somebody reads labels."""
    blocks = branch(EVM, 12)
    ingest.load(followed, EVM, FakeNode(EVM, blocks), 0, 11)
    apply_blocks(followed, EVM, final_height=-1)
    with followed.begin() as connection:
        connection.execute(DIRTY.delete())
        connection.execute(READER.insert().values(dataset="flows", input="chain.label"))
    return sorted({block.at.date() for block in blocks})


def test_only_days_with_blocks_whose_labels_changed_become_dirty(followed, days):
    first, second, third, fourth = days
    before = first - timedelta(days=400)

    opened = bring(followed, [row(HOT, "kraken", before)])
    ended = bring(followed, [row(HOT, "kraken", before, third)], T0 + HOUR)
    moved = bring(followed, [row(HOT, "kraken", second, third)], T0 + 2 * HOUR)
    sold = bring(followed, [row(HOT, "upbit", second, third)], T0 + 3 * HOUR)

    assert opened.days == (first, second, third, fourth)
    assert ended.days == (third, fourth)
    # The day on which a label begins differs from what it was, too.
    assert moved.days == (first, second)
    assert sold.days == (second, third)
    with followed.connect() as connection:
        dirty = select(DIRTY.c.dataset, DIRTY.c.scope, DIRTY.c.day).distinct()
        assert {tuple(one) for one in connection.execute(dirty)} == {
            ("flows", EVM.name, day) for day in days
        }
        versions = select(FACT_DAY.c.day, FACT_DAY.c.version).order_by(FACT_DAY.c.day)
        assert [tuple(one) for one in connection.execute(versions)] == [
            (first, 2),
            (second, 3),
            (third, 3),
            (fourth, 2),
        ]


def test_data_sets_see_the_labels_of_a_day(followed, days):
    _, second, third, _ = days
    bring(
        followed,
        [
            row(HOT, "kraken", Y20, third),
            row(HOT, "upbit", third),
            row(COLD, "kraken", third),
            row("0x" + "cc" * 20, "kraken", Y20, third),
            row("0x" + "dd" * 20, "pool", Y20, category="miner"),
        ],
    )
    # Two sources that say the same count once.
    bring(followed, [row(HOT, "upbit", third)], T0 + HOUR, source="vendor")

    def rows(query):
        with followed.connect() as connection:
            found = connection.execute(select(query))
            return sorted((address.hex()[:2], *rest) for address, *rest in found)

    window = Window(EVM.name, third)
    assert rows(labels_on(window, "exchange")) == [("aa", "upbit"), ("bb", "kraken")]
    assert rows(labels_on(window, "exchange", second)) == [("aa", "kraken"), ("cc", "kraken")]


@given(data=st.data())
def _any_order(engine, data):
    spans = [(a, y) for a in (HOT, COLD) for y in range(2016, 2020)]
    chosen = data.draw(st.lists(st.sampled_from(spans), unique=True, min_size=1))
    rows = [
        row(a, data.draw(st.sampled_from(["kraken", "upbit"])), date(y, 1, 1), date(y + 1, 1, 1))
        for a, y in chosen
    ]
    cut = data.draw(st.integers(0, len(rows)))
    files = [rows[:cut], rows[cut:], rows[: cut // 2]]
    ends = []
    for order in (files, data.draw(st.permutations(files))):
        with engine.begin() as connection:
            connection.execute(LABEL.delete())
        for n, file in enumerate(order):
            bring(engine, file, T0 + n * HOUR)
        ends.append(believed(engine))

    assert ends[0] == ends[1]
    assert len(ends[0]) == len(rows)


def test_files_that_do_not_contradict_one_another_may_come_in_any_order(engine):
    _any_order(engine)


@given(data=st.data())
def _each_moment(engine, data):
    with engine.begin() as connection:
        connection.execute(LABEL.delete())
    then: dict[datetime, set] = {}
    for n in range(data.draw(st.integers(1, 4))):
        entity = st.one_of(st.none(), st.sampled_from(["kraken", "upbit"]))
        file = [
            row(address, name, Y20, data.draw(st.sampled_from([None, Y22])))
            for address in (HOT, COLD)
            if (name := data.draw(entity)) is not None
        ]
        at = T0 + n * HOUR
        bring(engine, file, at, replace_all=data.draw(st.booleans()))
        then[at] = believed(engine)

    assert {at: believed(engine, at) for at in then} == then
    assert {at: believed(engine, at + HOUR / 2) for at in then} == then


def test_at_each_past_moment_it_is_known_what_was_believed(engine):
    _each_moment(engine)


@pytest.fixture
def command(engine, monkeypatch):
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)
    return lambda *words: CliRunner().invoke(main, ["labels", *map(str, words)])


def test_the_commands_import_a_file_and_show_what_is_believed(command, tmp_path, engine):
    file = tmp_path / "desk.csv"
    head = "address,category,entity,valid_from,valid_to\n"
    file.write_text(f"{head}{HOT},exchange,kraken,2020-01-01,\n{COLD},miner,pool,2020-01-01,\n")
    first = command("import", "anvil", file)
    file.write_text(f'{head}{HOT},exchange,"Kraken, Inc",2020-01-01,2022-01-01\n')
    second = command("import", "anvil", file, "--replace")

    assert first.output == (
        "anvil: 2 labels added, 0 corrected, 0 ended, 0 known already; 0 days are computed again.\n"
    )
    assert second.output.startswith("anvil: 0 labels added, 1 corrected, 1 ended, 0 known")
    assert command("show", "anvil").output == (
        "address,category,entity,valid_from,valid_to,source\n"
        f'{HOT},exchange,"Kraken, Inc",2020-01-01,2022-01-01,desk\n'
    )
    with engine.connect() as connection:
        at = connection.scalar(text("SELECT min(known_from) FROM chain.label"))
    shown = command("show", "anvil", "--category", "miner", "--as-of", f"{at:%Y-%m-%d %H:%M:%S}")
    assert shown.output == "address,category,entity,valid_from,valid_to,source\n"


def test_a_wrong_file_ends_the_command_in_one_line(command, tmp_path):
    file = tmp_path / "desk.csv"
    file.write_text("address,category,entity,valid_from\n0x12,exchange,kraken,soon\n")

    ended = command("import", "anvil", file)

    assert ended.exit_code == 2
    assert ended.stderr == (
        f"Error: {file}, line 2: valid_from is 'soon'. Write a day as 2026-03-01.\n"
    )
