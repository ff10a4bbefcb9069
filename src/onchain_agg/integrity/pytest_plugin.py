"""``pytest --dag-folder dags/``: the integrity rules as tests, in any repository of DAGs.

Each DAG file is one test, which fails with what breaks the rules in it; the folder is one more,
which fails with what breaks them in the deployment. Without the option the plugin does nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from onchain_agg.integrity.checking import Report
    from onchain_agg.integrity.rules.rule import Finding

_REPORT = pytest.StashKey["Report"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options; without the first one the plugin does nothing."""
    group = parser.getgroup("onchain-agg")
    group.addoption("--dag-folder", help="check the DAGs of this folder by onchain-agg's rules")
    group.addoption(
        "--dag-rule", action="append", default=[], help="hold only this rule; may be repeated"
    )
    group.addoption(
        "--dag-ignore", action="append", default=[], help="leave this rule out; may be repeated"
    )
    group.addoption(
        "--pod-templates", help="folder with the pod templates that the scheduler will have"
    )


# First, so that -k and --deselect choose among these tests too.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add a test for the folder and one for each of its DAG files."""
    if config.getoption("--dag-folder"):
        added = list(_items(session, _report(config)))
        items.extend(added)
        # pytest counts what it is told of.
        told = pytest.CollectReport(nodeid="", outcome="passed", longrepr=None, result=[*added])
        session.ihook.pytest_collectreport(report=told)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell what the check took for granted, and what authors waived."""
    report = config.stash.get(_REPORT, None)
    if report is None:
        return
    from onchain_agg.integrity.report import waived_lines  # noqa: PLC0415 - see `_report`

    terminalreporter.section("DAG integrity")
    for note in report.notes:
        terminalreporter.write_line(f"Note: {note}")
    for line in waived_lines(report):
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"{len(report.reading.files)} DAG files in {report.seconds:.1f} s.")


def _report(config: pytest.Config) -> "Report":
    # Every pytest run of the environment loads the plugin, with or without DAGs.
    from onchain_agg.errors import OnchainAggError  # noqa: PLC0415
    from onchain_agg.integrity.checking import check_folder  # noqa: PLC0415

    templates = config.getoption("--pod-templates")
    try:
        report = check_folder(
            config.invocation_params.dir / config.getoption("--dag-folder"),
            only=config.getoption("--dag-rule"),
            ignore=config.getoption("--dag-ignore"),
            pod_templates=config.invocation_params.dir / templates if templates else None,
        )
    except OnchainAggError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[_REPORT] = report
    return report


def _items(session: pytest.Session, report: "Report") -> Iterator[pytest.Item]:
    for place in (None, *(file.name for file in report.reading.files)):
        path = report.reading.folder / (place or "")
        root = session.config.rootpath
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        yield _Integrity.from_parent(
            session,
            # -k looks at names.
            name=f"{shown.as_posix()}::integrity",
            nodeid=f"{shown.as_posix()}::integrity",
            place=path,
            findings=tuple(one for one in report.findings if one.file == place),
        )


class _Integrity(pytest.Item):
    """The test that nothing breaks the rules in a place."""

    def __init__(self, *, place: Path, findings: "tuple[Finding, ...]", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._place = place
        self._findings = findings

    def runtest(self) -> None:
        if self._findings:
            raise _BrokenRulesError

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        from onchain_agg.integrity.report import finding_lines  # noqa: PLC0415 - see `_report`

        if excinfo.errisinstance(_BrokenRulesError):
            return "\n".join(finding_lines(self._findings))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self._place, None, "integrity"


class _BrokenRulesError(Exception):
    """A place breaks rules."""
