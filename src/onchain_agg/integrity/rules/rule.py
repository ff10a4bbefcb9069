"""What a rule is, and what it finds."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from onchain_agg.integrity.facts import DagFacts, DagFile, Reading, TaskFacts, Waived


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A place that breaks a rule.

    Attributes:
        file: Relative to the folder; None for what the deployment breaks.
        line: 1 where the place in *file* is not known.
        dag_id: None for what the file breaks.
        task_id: None for what the DAG breaks.
        text: What is wrong, with the value.
        cure: What to do about it.
    """

    rule: str
    file: str | None
    line: int
    dag_id: str | None
    task_id: str | None
    text: str
    cure: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule for every DAG folder.

    Attributes:
        id: Its name in reports, options and waivers.
        statement: What holds where the rule is kept.
        reason: What happens where it is broken.
        cure: What to do about a finding, where the finding knows nothing better.
        find: Returns the places that break it.
        can_be_waived: Whether a task or DAG may set it aside.
        depends_on_machine: Whether another machine may find what this one does not, so that a
            waiver may be needed only there.
    """

    id: str
    statement: str
    reason: str
    cure: str
    find: Callable[["Rule", Reading], Iterable[Finding]]
    can_be_waived: bool = True
    depends_on_machine: bool = False

    def in_task(self, task: TaskFacts, text: str, cure: str | None = None) -> Finding:
        """Return the finding that *task* breaks the rule."""
        return Finding(
            rule=self.id,
            file=task.file,
            line=task.line or 1,
            dag_id=task.dag_id,
            task_id=task.task_id,
            text=text,
            cure=cure or self.cure,
        )

    def in_dag(self, dag: DagFacts, text: str) -> Finding:
        """Return the finding that *dag* breaks the rule."""
        return Finding(
            rule=self.id,
            file=dag.file,
            line=dag.line or 1,
            dag_id=dag.dag_id,
            task_id=None,
            text=text,
            cure=self.cure,
        )

    def in_file(self, file: DagFile, line: int, text: str, cure: str | None = None) -> Finding:
        """Return the finding that *file* breaks the rule at *line*."""
        return Finding(
            rule=self.id,
            file=file.name,
            line=line,
            dag_id=None,
            task_id=None,
            text=text,
            cure=cure or self.cure,
        )

    def in_deployment(self, text: str, cure: str | None = None) -> Finding:
        """Return the finding that the deployment breaks the rule."""
        return Finding(
            rule=self.id,
            file=None,
            line=1,
            dag_id=None,
            task_id=None,
            text=text,
            cure=cure or self.cure,
        )


def covers(waiver: Waived, finding: Finding) -> bool:
    """Return whether *waiver*, of the finding's file, sets *finding* aside."""
    return (
        waiver.rule == finding.rule
        and finding.dag_id in {None, waiver.dag_id}
        and waiver.task_id in {None, finding.task_id}
    )
