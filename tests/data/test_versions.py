"""Publishing keeps every former version, and readers see whole windows only."""

from datetime import UTC, date, datetime, timedelta
from threading import Event, Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    column,
    literal,
    select,
    text,
    values,
)

from onchain_agg.errors import DataSetError
from onchain_agg.warehouse.ledger import tick
from onchain_agg.warehouse.types import DAY, NAME
from onchain_agg.warehouse.versions import as_of, create_tables, publish, thin, twins
from tests.fakes.scenes import row_versions, scalar

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

DAY_ONE = date(2026, 5, 1)
MORNING = datetime(2026, 5, 1, 8, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WINDOW = {"chain": "anvil", "day": DAY_ONE}
PROBE = Table(
    "probe_v1",
    MetaData(schema="serving"),
    Column("chain", NAME, primary_key=True, comment="Name."),
    Column("day", DAY, primary_key=True, comment="Day."),
    Column("holder", Text, primary_key=True, comment="Whose."),
    Column("amount", Integer, nullable=False, comment="How much."),
    Column("note", Text, comment="May be missing."),
)
BOTH = ("serving.probe_v1", "history.probe_v1")


@pytest.fixture
def warehouse(engine):
    with engine.begin() as connection:
        create_tables(connection, PROBE)
    return engine


def query_of(rows, day=DAY_ONE, chain="anvil"):
    """Return a query of the table's columns whose rows are (holder, amount, note)."""
    if not rows:
        return query_of([("nobody", 0, None)]).where(literal(False))
    given_rows = values(
        column("holder", Text), column("amount", Integer), column("note", Text), name="given_rows"
    ).data(rows)
    labels = literal(chain, Text).label("chain"), literal(day, DAY).label("day")
    return select(*labels, *given_rows.c)


def published(engine, rows, clock, day=DAY_ONE):
    """Publish (holder, amount, note) rows and return the change."""
    with engine.begin() as connection:
        return publish(
            connection, PROBE, query_of(rows, day), {**WINDOW, "day": day}, lambda: clock
        )


def seen_at(engine, moment):
    with engine.connect() as connection:
        return {tuple(row)[2:] for row in as_of(connection, PROBE, moment, 1000)}


def history(engine):
    with engine.connect() as connection:
        query = text(
            "SELECT holder, amount, note, known_from, known_to FROM history.probe_v1 ORDER BY 1, 4"
        )
        return [tuple(row) for row in connection.execute(query)]


def test_unchanged_rows_stay_where_they_are_and_the_others_move_to_history(warehouse):
    published(warehouse, [("a", 1, None), ("b", 2, "x"), ("c", 3, None)], MORNING)
    before = row_versions(warehouse, "serving.probe_v1")

    change = published(
        warehouse, [("a", 1, None), ("b", 2, None), ("d", 4, None)], MORNING + SECOND
    )

    assert (change.rows, change.arrived, change.moved) == (3, 2, 2)
    assert len(before & row_versions(warehouse, "serving.probe_v1")) == 1
    assert history(warehouse) == [
        ("b", 2, "x", MORNING, MORNING + SECOND),
        ("c", 3, None, MORNING, MORNING + SECOND),
    ]
    assert seen_at(warehouse, MORNING + SECOND) == {("a", 1, None), ("b", 2, None), ("d", 4, None)}


def test_publishing_equal_rows_in_another_order_writes_nothing(warehouse):
    first = published(warehouse, [("a", 1, None), ("b", 2, "x")], MORNING)
    before = row_versions(warehouse, *BOTH)

    again = published(warehouse, [("b", 2, "x"), ("a", 1, None)], MORNING + SECOND)

    assert (again.arrived, again.moved, again.rows) == (0, 0, 2)
    assert again.checksum == first.checksum
    assert row_versions(warehouse, *BOTH) == before


def test_an_emptied_window_moves_to_history_whole_and_leaves_other_days_alone(warehouse):
    published(warehouse, [("a", 1, None)], MORNING)
    published(warehouse, [("a", 9, None)], MORNING, day=DAY_ONE + timedelta(days=1))

    with warehouse.begin() as connection:
        change = publish(connection, PROBE, None, WINDOW, lambda: MORNING + SECOND)

    assert (change.rows, change.arrived, change.moved) == (0, 0, 1)
    assert seen_at(warehouse, MORNING) == {("a", 1, None), ("a", 9, None)}
    assert seen_at(warehouse, MORNING + SECOND) == {("a", 9, None)}


ROWS = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.integers(0, 2), st.sampled_from([None, "x"]))
).map(lambda found: [(holder, *row) for holder, row in sorted(found.items())])
# What the machine's clock does between two publishes, backwards included.
STEPS = st.integers(-5, 5).map(lambda minutes: timedelta(minutes=minutes, seconds=7))


def empty(engine):
    with engine.begin() as connection:
        for name in (*BOTH, "ops.publish_clock"):
            connection.execute(text(f"DELETE FROM {name}"))


def test_as_of_every_revision_says_what_was_served_then(warehouse):
    @given(st.lists(st.tuples(ROWS, STEPS), min_size=1, max_size=4))
    def holds(revisions):
        empty(warehouse)
        now, served = MORNING, []
        for rows, step in revisions:
            now += step
            last = ticked(warehouse, now)
            published(warehouse, rows, last)
            served.append((last, set(rows)))
        ends = [moment for moment, _ in served[1:]] + [datetime(2030, 1, 1, tzinfo=UTC)]

        for (moment, rows), end in zip(served, ends, strict=True):
            assert seen_at(warehouse, moment) == rows
            assert seen_at(warehouse, end - timedelta(microseconds=1)) == rows
        assert seen_at(warehouse, MORNING - timedelta(days=1)) == set()

    holds()


def ticked(engine, now):
    with engine.begin() as connection:
        return tick(connection, PROBE.name, "anvil", now)


def test_the_publish_clock_never_repeats_nor_goes_back(warehouse):
    step = timedelta(microseconds=1)

    assert ticked(warehouse, MORNING) == MORNING
    assert ticked(warehouse, MORNING) == MORNING + step
    assert ticked(warehouse, MORNING - SECOND) == MORNING + 2 * step
    assert ticked(warehouse, MORNING + SECOND) == MORNING + SECOND


def test_readers_never_see_half_a_window(warehouse):
    published(warehouse, [("a", 0, None), ("b", 0, None), ("c", 0, None)], MORNING)
    stop, seen = Event(), []

    def read():
        with warehouse.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            while not stop.is_set():
                query = text("SELECT holder, amount FROM serving.probe_v1 ORDER BY holder")
                seen.append([tuple(row) for row in connection.execute(query)])

    reader = Thread(target=read)
    reader.start()
    wanted = []
    for number in range(1, 40):
        rows = [(holder, number, None) for holder in "abc"[: 2 + number % 2]]
        wanted.append([(holder, amount) for holder, amount, _ in rows])
        published(warehouse, rows, MORNING + number * SECOND)
    stop.set()
    reader.join(30)

    assert not reader.is_alive()
    wanted.append([("a", 0), ("b", 0), ("c", 0)])
    assert [window for window in seen if window not in wanted] == []
    assert len({tuple(window) for window in seen}) > 1


# For each holder the minutes at which its row changed; every fourth time it vanished.
CHANGES = st.dictionaries(
    st.sampled_from("ab"), st.lists(st.integers(1, 350), unique=True, max_size=14).map(sorted)
)


def remember(engine, changes):
    """Write the history and the served rows that these changes leave; return the hours' ends."""
    past, present = [], []
    for holder, minutes in changes.items():
        moments = [MORNING + timedelta(minutes=minute) for minute in minutes]
        for number, since in enumerate(moments):
            row = {**WINDOW, "holder": holder, "amount": number, "known_from": since}
            if number % 4 != 3 and number + 1 < len(moments):
                past.append({**row, "known_to": moments[number + 1]})
            elif number % 4 != 3:
                present.append(row)
    with engine.begin() as connection:
        for table, rows in ((twins(PROBE).history, past), (twins(PROBE).serving, present)):
            if rows:
                connection.execute(table.insert(), rows)
    return [MORNING + timedelta(hours=h) - timedelta(microseconds=1) for h in range(1, 8)]


def test_thinning_keeps_what_was_served_at_the_end_of_each_hour(warehouse):
    tomorrow = DAY_ONE + timedelta(days=1)

    @given(CHANGES)
    def holds(changes):
        empty(warehouse)
        ends = remember(warehouse, changes)
        before = [seen_at(warehouse, end) for end in ends]
        rows = len(history(warehouse))

        with warehouse.begin() as connection:
            dropped = thin(connection, PROBE, date(2000, 1, 1), tomorrow)

        assert [seen_at(warehouse, end) for end in ends] == before
        kept = history(warehouse)
        assert len(kept) == rows - dropped
        assert len({(row[0], row[3].hour) for row in kept}) == len(kept)  # one an hour
        with warehouse.begin() as connection:
            assert thin(connection, PROBE, date(2000, 1, 1), tomorrow) == 0

    holds()


def test_thinning_keeps_one_revision_an_hour_and_leaves_no_hole(warehouse):
    minutes = [0, 10, 20, 70, 80, 190]
    for number, minute in enumerate(minutes):
        published(warehouse, [("a", number, None)], MORNING + timedelta(minutes=minute))

    with warehouse.begin() as connection:
        dropped = thin(connection, PROBE, date(2000, 1, 1), DAY_ONE + timedelta(days=1))

    # Those of 8:00 and 8:10 were gone before nine, and that of 9:10 before ten.
    assert dropped == 3
    assert [(row[1], row[3], row[4]) for row in history(warehouse)] == [
        (2, MORNING, MORNING + timedelta(minutes=70)),
        (4, MORNING + timedelta(minutes=70), MORNING + timedelta(minutes=190)),
    ]


def test_thinning_keeps_every_revision_of_a_closed_day_and_spares_recent_days(warehouse):
    night = datetime(2026, 5, 2, 0, 0, 1, tzinfo=UTC)
    for number in range(5):
        published(warehouse, [("a", number, None)], night + number * SECOND)
    recent = DAY_ONE + timedelta(days=3)
    for number in range(5):
        at = MORNING + timedelta(days=3) + number * SECOND
        published(warehouse, [("a", number, None)], at, day=recent)
    before = history(warehouse)

    with warehouse.begin() as connection:
        dropped = thin(connection, PROBE, date(2000, 1, 1), recent)

    assert dropped == 0
    assert history(warehouse) == before


def of_columns(**named):
    """Return a query with just these columns."""
    return select(*(literal(value).label(name) for name, value in named.items()))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        pytest.param(
            query_of([("a", 1, None), ("a", 2, None)]),
            "probe_v1: the key ('anvil', datetime.date(2026, 5, 1), 'a') comes more than once.",
            id="a key that comes twice",
        ),
        pytest.param(
            query_of([("a", 1, None)], day=date(2026, 5, 2)),
            "probe_v1: row ('anvil', datetime.date(2026, 5, 2), 'a') lies outside"
            " {'chain': 'anvil', 'day': datetime.date(2026, 5, 1)}.",
            id="a row of another day",
        ),
        pytest.param(
            query_of([("a", 1, None)], chain="polygon"),
            "probe_v1: row ('polygon', datetime.date(2026, 5, 1), 'a') lies outside"
            " {'chain': 'anvil', 'day': datetime.date(2026, 5, 1)}.",
            id="a row of another chain",
        ),
        pytest.param(
            query_of([("b", 5, None), ("a", None, None)]),
            'probe_v1: null value in column "amount" of relation "probe_v1" violates not-null'
            " constraint",
            id="a missing value",
        ),
        pytest.param(
            of_columns(chain="anvil", holder="a", amount=1, note="x", colour="red"),
            "probe_v1: the query lacks ['day'] and has ['colour'] too many.",
            id="other columns",
        ),
    ],
)
def test_a_query_that_breaks_the_contract_leaves_the_window_as_it_was(warehouse, query, message):
    published(warehouse, [("a", 1, None), ("b", 2, None)], MORNING)
    before = row_versions(warehouse, *BOTH)

    with pytest.raises(DataSetError) as error, warehouse.begin() as connection:
        publish(connection, PROBE, query, WINDOW, lambda: MORNING + SECOND)

    assert str(error.value) == message
    assert row_versions(warehouse, *BOTH) == before


def test_a_row_without_its_key_is_refused(warehouse):
    with (
        pytest.raises(DataSetError, match='probe_v1: null value in column "holder"'),
        warehouse.begin() as connection,
    ):
        publish(connection, PROBE, query_of([(None, 1, None)]), WINDOW, lambda: MORNING)

    assert scalar(warehouse, "SELECT count(*) FROM serving.probe_v1") == 0


def test_the_twins_of_a_table_are_made_once():
    assert twins(PROBE).serving is twins(PROBE).serving
    assert twins(PROBE).history.fullname == "history.probe_v1"


@pytest.mark.parametrize(
    ("further", "kept"),
    [
        ({}, {"series": ["chain", "holder", "day"]}),
        (
            {"note": ("holder", "note")},
            {"series": ["chain", "holder", "day"], "note": ["holder", "note"]},
        ),
        (
            {"rank": ("chain", "holder", "day", "amount DESC")},
            {"rank": ["chain", "holder", "day", "amount DESC"]},
        ),
    ],
    ids=["alone", "beside", "begun"],
)
def test_a_series_has_an_index_unless_a_further_one_begins_with_its_columns(further, kept):
    name = "_".join(["indexed", *further, "v1"])
    key = (Column("chain", NAME), Column("day", DAY), Column("holder", Text))
    info = {"series": "holder", "indexes": further}
    table = Table(name, MetaData(schema="serving"), *key, PrimaryKeyConstraint(*key), info=info)

    made = twins(table).serving.indexes
    found = {one.name: [str(part).rpartition(".")[2] for part in one.expressions] for one in made}

    assert found == {f"ix_{name}_{key}": columns for key, columns in kept.items()}


def test_rows_lie_in_the_order_of_their_key_whatever_the_order_they_came_in(warehouse):
    published(warehouse, [(holder, 1, None) for holder in "cadbe"], MORNING)

    with warehouse.connect() as connection:
        lie = connection.scalars(text("SELECT holder FROM serving.probe_v1 ORDER BY ctid")).all()
    assert lie == list("abcde")
