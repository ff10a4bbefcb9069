"""The rule that a waiver is still needed."""

from collections.abc import Iterator

from onchain_agg.integrity.facts import Reading
from onchain_agg.integrity.rules.rule import Finding, Rule, covers


def _stale_waiver(rule: Rule, reading: Reading) -> Iterator[Finding]:
    # The package lists this module's rule too.
    from onchain_agg.integrity.rules import all_rules  # noqa: PLC0415

    rules = all_rules()
    # A file that was not imported has none of the tasks that its waivers are for.
    whole = [file for file in reading.files if not file.errors]
    given = [(file, waiver) for file in whole for waiver in file.waivers]
    found = {
        name: tuple(rules[name].find(rules[name], reading))
        for name in {waiver.rule for _file, waiver in given}
    }
    for file, waiver in given:
        needed = any(
            finding.file == file.name and covers(waiver, finding) for finding in found[waiver.rule]
        )
        if not needed and not rules[waiver.rule].depends_on_machine:
            yield Finding(
                rule=rule.id,
                file=file.name,
                line=waiver.line,
                dag_id=waiver.dag_id,
                task_id=waiver.task_id,
                text=f"The waiver of {waiver.rule} sets nothing aside: the rule is kept here.",
                cure=rule.cure,
            )


RULES = (
    Rule(
        id="stale-waiver",
        statement="A waiver sets something aside.",
        reason="It would hide the next, unintended, break of its rule.",
        cure="Remove the waiver.",
        find=_stale_waiver,
        can_be_waived=False,
    ),
)
