"""The rules: one entry each, in the tables of these modules. A new entry is found by itself."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from onchain_agg.integrity.rules.rule import Rule


@cache
def all_rules() -> dict[str, Rule]:
    """Return the rules by id, in the order of their modules."""
    rules: dict[str, Rule] = {}
    for module in iter_modules(__path__):
        table = getattr(import_module(f"{__name__}.{module.name}"), "RULES", ())
        rules |= {rule.id: rule for rule in table}
    return rules


def waivable_rules() -> tuple[str, ...]:
    """Return the ids of the rules that a task or DAG may set aside."""
    return tuple(rule.id for rule in all_rules().values() if rule.can_be_waived)
