"""Bitcoin's first blocks through the DAGs, against what Coin Metrics published of those days.

After the scheduler's tests, by its name: the open day that it leaves is dirty.
"""

import pytest
from sqlalchemy import text

from tests.fakes.published import NAMES, published_days

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(340)]


def test_36_days_through_the_dags_equal_the_published_series(deployment, real_data):
    state, _ = deployment.run("ingest_bitcoin")
    deployment.settle()

    published = published_days(real_data)
    query = text(
        "SELECT * FROM serving.bitcoin_network_daily WHERE chain = 'bitcoin'"
        " AND day BETWEEN :first AND :last"
    )
    with deployment.engine.connect() as connection:
        rows = connection.execute(query, {"first": min(published), "last": max(published)})
        served = {row["day"]: {name: row[name] for name in NAMES} for row in rows.mappings()}
    assert state == "success"
    assert len(served) == 36
    assert served == published
