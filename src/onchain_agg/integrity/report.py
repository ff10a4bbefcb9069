"""What a check found, as text, JSON or GitHub's annotations."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from onchain_agg.integrity.checking import Report
from onchain_agg.integrity.rules import all_rules
from onchain_agg.integrity.rules.rule import Finding


def as_text(report: Report) -> str:
    """Return the findings by file, each with its cure, and a line that sums them up."""
    lines: list[str] = []
    for file, findings in groupby(report.findings, key=lambda one: one.file):
        lines += [_path(report, file), *(f"  {one}" for one in finding_lines(findings)), ""]
    lines += [*waived_lines(report), *(f"Note: {note}" for note in report.notes)]
    files = report.reading.files
    counted = (
        f"{_many(len(files), 'file')}, {_many(sum(len(file.dags) for file in files), 'DAG')}, "
        f"{_many(sum(len(file.tasks) for file in files), 'task')}"
    )
    waived = f", {len(report.waived)} waived" if report.waived else ""
    found = f"{_many(len(report.findings), 'finding')}{waived}"
    return "\n".join([*lines, f"{found} in {counted} ({report.seconds:.1f} s)."])


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield two lines for each finding: what is wrong, and the cure."""
    for one in findings:
        line = f"line {one.line}  " if one.file else ""
        yield f"{line}{_subject(one)}[{one.rule}] {one.text}"
        yield f"    {one.cure}"


def waived_lines(report: Report) -> Iterator[str]:
    """Yield a line for each finding that is set aside, with the author's reason."""
    for one, waiver in report.waived:
        place = f"{_path(report, one.file)} line {one.line}"
        yield f"Waived: {place}  {_subject(one)}[{one.rule}] {one.text} Reason: {waiver.reason}"


def as_json(report: Report) -> str:
    """Return everything that was found, waived and noted as one JSON object."""
    files = report.reading.files
    return json.dumps(
        {
            "findings": [_fields(report, one) for one in report.findings],
            "waived": [
                _fields(report, one) | {"waiver": waiver.reason} for one, waiver in report.waived
            ],
            "notes": report.notes,
            "files": len(files),
            "dags": sum(len(file.dags) for file in files),
            "tasks": sum(len(file.tasks) for file in files),
            "seconds": round(report.seconds, 3),
        },
        indent=2,
    )


def as_github(report: Report) -> str:
    """Return a GitHub Actions annotation for each finding, waived or not, and each note.

    Paths are relative to the current folder, which is the repository's in a workflow.
    """
    lines = [
        _annotation("error", report, one, f"{_subject(one)}{one.text} {one.cure}")
        for one in report.findings
    ]
    lines += [
        _annotation("notice", report, one, f"{_subject(one)}{one.text} Waived: {waiver.reason}")
        for one, waiver in report.waived
    ]
    return "\n".join([*lines, *(f"::notice ::{_github_text(note)}" for note in report.notes)])


def rules_page() -> str:
    """Return the reference page of the rules in Markdown."""
    parts = [_PAGE_HEAD]
    for rule in all_rules().values():
        waiver = "" if rule.can_be_waived else " It cannot be waived."
        parts.append(
            f"## {rule.id}\n\n{rule.statement}{waiver}\n\nWhy: {rule.reason}\n\nCure: {rule.cure}\n"
        )
    return "\n".join(parts)


_PAGE_HEAD = """\
# Integrity rules

What `onchain-agg check FOLDER` and `pytest --dag-folder FOLDER` hold any folder of DAGs to.
This page is made by `onchain-agg check --rules`.

A rule is set aside for one task or DAG, in its file, with a reason that every report repeats:

```python
from onchain_agg.integrity import waive

waive(load(), "no-timeout", reason="A full sync takes days, and its DAG run has a deadline.")
```
"""


def _fields(report: Report, finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "file": _path(report, finding.file),
        "line": finding.line,
        "dag_id": finding.dag_id,
        "task_id": finding.task_id,
        "text": finding.text,
        "cure": finding.cure,
    }


def _path(report: Report, file: str | None) -> str:
    """Return the path of *file* as the current folder sees it; the folder's where it is None."""
    path = report.reading.folder / (file or "")
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _subject(finding: Finding) -> str:
    """Return what breaks the rule, with a colon; nothing where it is the file."""
    if finding.dag_id is None:
        return ""
    task = f".{finding.task_id}" if finding.task_id else ""
    return f"{finding.dag_id}{task}: "


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _annotation(kind: str, report: Report, finding: Finding, text: str) -> str:
    place = _github_place(report, finding)
    return f"::{kind} {place}title={finding.rule}::{_github_text(text)}"


def _github_place(report: Report, finding: Finding) -> str:
    if finding.file is None:
        return ""
    path = _path(report, finding.file)
    for character, code in (("%", "%25"), (":", "%3A"), (",", "%2C")):
        path = path.replace(character, code)
    return f"file={path},line={finding.line},"


def _github_text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
