"""Holds the rules against a folder of DAGs, and the waivers against what they found."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from onchain_agg.errors import ConfigError, UnknownNameError
from onchain_agg.integrity.facts import Reading, Waived
from onchain_agg.integrity.reading import read
from onchain_agg.integrity.rules import all_rules
from onchain_agg.integrity.rules.rule import Finding, Rule, covers


@dataclass(frozen=True)
class Report:
    """What a check found.

    Attributes:
        waived: Findings that an author set aside, each with the reason.
        notes: What the check took for granted or could not look at.
    """

    reading: Reading
    findings: tuple[Finding, ...]
    waived: tuple[tuple[Finding, Waived], ...]
    notes: tuple[str, ...]
    seconds: float


def check_folder(
    folder: Path,
    *,
    only: Iterable[str] = (),
    ignore: Iterable[str] = (),
    pod_templates: Path | None = None,
) -> Report:
    """Return what breaks the rules in the DAG files of *folder*, by file and line.

    Args:
        folder: Of the DAG files; sub-folders belong to it.
        only: Ids of the rules to hold; none stands for all.
        ignore: Ids of rules to leave out.
        pod_templates: A folder with the pod templates that the scheduler will have.

    Raises:
        UnknownNameError: There is no rule of an id in *only* or *ignore*.
        ConfigError: The folder cannot be read; says why.
    """
    began = time.monotonic()
    rules = chosen_rules(only, ignore)
    if pod_templates is not None and not pod_templates.is_dir():
        raise ConfigError(f"{pod_templates} is not a folder. Name that of the pod templates.")
    reading = replace(read(folder), pod_templates=pod_templates)
    found = [finding for rule in rules for finding in rule.find(rule, reading)]
    findings, waived = _apart(found, reading)
    return Report(
        reading,
        tuple(sorted(findings, key=_place)),
        tuple(sorted(waived, key=lambda pair: _place(pair[0]))),
        tuple(_notes(reading)),
        time.monotonic() - began,
    )


def chosen_rules(only: Iterable[str], ignore: Iterable[str]) -> list[Rule]:
    """Return the rules of *only*, or all, without those of *ignore*.

    Raises:
        UnknownNameError: There is no rule of such an id.
    """
    rules = all_rules()
    chosen, left_out = tuple(only), tuple(ignore)
    for name in (*chosen, *left_out):
        if name not in rules:
            raise UnknownNameError("rule", name, rules)
    return [
        rule for rule in rules.values() if rule.id in (chosen or rules) and rule.id not in left_out
    ]


def _place(finding: Finding) -> tuple[str, int, str, str]:
    return finding.file or "", finding.line, finding.task_id or "", finding.rule


def _apart(
    found: list[Finding], reading: Reading
) -> tuple[list[Finding], list[tuple[Finding, Waived]]]:
    """Return the findings that hold, and those that are waived, each with its waiver."""
    given = {file.name: file.waivers for file in reading.files}
    findings, waived = [], []
    for finding in found:
        waivers = given.get(finding.file or "", ())
        waiver = next((one for one in waivers if covers(one, finding)), None)
        if waiver:
            waived.append((finding, waiver))
        else:
            findings.append(finding)
    return findings, waived


def _notes(reading: Reading) -> Iterator[str]:
    if assumption := reading.deployment.assumption:
        yield assumption
    unseen = {
        task.pod_template
        for file in reading.files
        for task in file.tasks
        if task.pod_template and reading.template_at(task.pod_template) is None
    }
    if any(map(reading.is_sizes_template, unseen)):
        yield (
            "Pod templates were not looked at, as this machine does not have their folder; name a "
            "folder that has them by --pod-templates."
        )
    for path in sorted(unseen):
        if not reading.is_sizes_template(path):
            yield f"{path} was not looked at, as this machine does not have its folder."
