"""``onchain-agg check``: the integrity rules over a folder of DAGs."""

import sys
from pathlib import Path

import click

from onchain_agg.command_errors import FAILED, one_line_errors
from onchain_agg.errors import ConfigError
from onchain_agg.integrity.checking import check_folder
from onchain_agg.integrity.report import as_github, as_json, as_text, rules_page

_FORMS = {"text": as_text, "json": as_json, "github": as_github}


@click.command()
@click.argument("folder", type=Path, required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_FORMS)),
    default="text",
    show_default=True,
    help="github: annotations of a workflow's run.",
)
@click.option("--rule", "only", multiple=True, help="Hold only this rule; may be repeated.")
@click.option("--ignore", multiple=True, help="Leave this rule out; may be repeated.")
@click.option(
    "--pod-templates",
    type=Path,
    help="Folder with the pod templates that the scheduler will have.",
)
@click.option("--rules", "list_rules", is_flag=True, help="Print what the rules are, and end.")
@one_line_errors
def check(
    folder: Path | None,
    form: str,
    only: tuple[str, ...],
    ignore: tuple[str, ...],
    pod_templates: Path | None,
    *,
    list_rules: bool,
) -> None:
    """Hold the DAG files in FOLDER against the integrity rules.

    Ends with 0 where nothing was found, 1 where something was, 2 where FOLDER cannot be read.
    """
    if list_rules:
        click.echo(rules_page(), nl=False)
        return
    if folder is None:
        raise ConfigError("No folder is named. Name the folder of the DAG files.")
    report = check_folder(folder, only=only, ignore=ignore, pod_templates=pod_templates)
    if text := _FORMS[form](report):
        click.echo(text)
    if report.findings:
        sys.exit(FAILED)
