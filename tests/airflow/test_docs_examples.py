"""The DAGs in the documents are read by Airflow, and break no rule but those they are about."""

import re
from pathlib import Path

import pytest

from onchain_agg.integrity.checking import check_folder

pytestmark = pytest.mark.airflow

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
# The smallest example says nothing of who owns its tasks, nor how long they may take.
_SHORT = {"no-owner", "no-timeout", "no-retries-on-spot"}


@pytest.mark.parametrize(
    ("page", "dags", "broken"),
    [
        pytest.param("write-a-dag-of-your-own.md", {"whales"}, set(), id="a DAG of your own"),
        pytest.param("route-a-task.md", {"nft"}, _SHORT, id="the seed's own lines"),
    ],
)
def test_the_first_dag_of_a_page_works(tmp_path, page, dags, broken):
    example = re.findall(r"```python\n(.*?)```", (HOW_TO / page).read_text(), re.DOTALL)[0]
    (tmp_path / "example.py").write_text(example)

    report = check_folder(tmp_path, pod_templates=HOW_TO.parents[1] / "pod_templates")

    assert {dag.dag_id for file in report.reading.files for dag in file.dags} == dags
    assert {finding.rule for finding in report.findings} == broken
