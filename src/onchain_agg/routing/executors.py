"""What kind of executor a name means: Airflow stores the name that a task was given, of several.

Knows no Airflow: a history may be another deployment's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

CELERY, KUBERNETES, LOCAL = "CeleryExecutor", "KubernetesExecutor", "LocalExecutor"


@dataclass(frozen=True, kw_only=True)
class Executors:
    """What the names of executors mean.

    Attributes:
        default: Class of the deployment's first executor.
        aliases: Class by alias.
        pods: Class that ``queue="kubernetes"`` stands for.
    """

    default: str = CELERY
    aliases: Mapping[str, str] = field(default_factory=dict)
    pods: str = KUBERNETES

    @property
    def starts_pods(self) -> bool:
        """Return whether ``queue="kubernetes"`` means pods, and no stand-in on one machine."""
        return self.pods == KUBERNETES

    def kind(self, executor: str | None) -> str:
        """Return the class of *executor*, of the default one for None."""
        return self.default if executor is None else _class(self.aliases, executor)


def executors_of(configured: str, kubernetes_executor: str) -> Executors:
    """Return what names mean under ``[core] executor`` and ``[onchain_agg] kubernetes_executor``.

    Executors of single teams are passed by: they are for those teams' DAGs alone.
    """
    everyones = next((part for part in configured.split(";") if "=" not in part), "")
    entries = [entry.strip() for entry in everyones.split(",") if entry.strip()]
    aliases = {
        alias: path.rpartition(".")[2]
        for alias, _, path in (entry.partition(":") for entry in entries)
        if path
    }
    first = entries[0].rpartition(":")[2] if entries else CELERY
    return Executors(
        default=_class({}, first), aliases=aliases, pods=_class(aliases, kubernetes_executor)
    )


def _class(aliases: Mapping[str, str], executor: str) -> str:
    return aliases.get(executor) or executor.rpartition(".")[2]
