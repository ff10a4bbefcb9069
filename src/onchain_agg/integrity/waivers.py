"""How an author sets a rule aside for one task or DAG, with the reason in the file."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from onchain_agg.errors import ConfigError, UnknownNameError
from onchain_agg.integrity.facts import Waived, plain_text

_Waivable = TypeVar("_Waivable")


def waive(target: _Waivable, rule: str, *, reason: str) -> _Waivable:
    """Set *rule* aside for *target* and return *target*.

    A DAG's waiver holds for its tasks, and for what its file does while it is read.

    Args:
        target: An operator, a mapped one, what a TaskFlow call returned, or a DAG.
        rule: Id of the rule, as `onchain-agg check` prints it.
        reason: Why the rule does not hold here; every report repeats it.

    Raises:
        ConfigError: No reason is given, or *target* cannot have waivers.
        UnknownNameError: There is no such rule, or it cannot be waived.
    """
    # Reads the rules' modules, which a DAG file that waives nothing does not need.
    from onchain_agg.integrity.rules import waivable_rules  # noqa: PLC0415

    known = waivable_rules()
    if rule not in known:
        raise UnknownNameError("rule that can be waived", rule, known)
    if not reason.strip():
        raise ConfigError(f"The waiver of {rule!r} has no reason. Write why the rule is set aside.")
    # A TaskFlow call returns a reference to its operator's result.
    subject = target if hasattr(target, "dag_id") else getattr(target, "operator", None)
    if subject is None:
        raise ConfigError(
            f"{target!r} cannot have waivers. Pass an operator, what a TaskFlow function returned "
            "when it was called, or a DAG."
        )
    caller = sys._getframe(1)  # noqa: SLF001 - the standard way to a caller's line
    _given.append(_Given(subject, rule, reason.strip(), caller.f_code.co_filename, caller.f_lineno))
    return target


def noted(file: Path) -> tuple[Waived, ...]:
    """Return the waivers given in this process; the line is 1 for one given outside *file*."""
    return tuple(
        Waived(
            dag_id=plain_text(one.subject.dag_id),
            task_id=plain_text(one.subject.task_id) if hasattr(one.subject, "task_id") else None,
            rule=plain_text(one.rule),
            reason=one.reason,
            line=one.line if one.file == str(file) else 1,
        )
        for one in _given
    )


@dataclass(frozen=True)
class _Given:
    """A waiver; the subject may get its DAG after it."""

    subject: Any
    rule: str
    reason: str
    file: str
    line: int


_given: list[_Given] = []
