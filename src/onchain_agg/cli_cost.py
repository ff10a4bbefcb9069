"""``onchain-agg cost``: what spot, pods, workers and environments cost, from dated prices."""

import json
from pathlib import Path

import click

from onchain_agg.command_errors import one_line_errors
from onchain_agg.costs.inputs import load_inputs
from onchain_agg.costs.report import costs_data, costs_text
from onchain_agg.routing.workload_file import configured_workloads


@click.command()
@click.option("--inputs", type=Path, multiple=True, help="YAML laid over the packaged inputs.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How it is printed.",
)
@one_line_errors
def cost(inputs: tuple[Path, ...], form: str) -> None:
    """Print what spot saves, when workers beat pods, and what environments cost to keep.

    The prices are dated and stand with their source in the inputs; nothing is asked of AWS.
    """
    table = configured_workloads()
    told = load_inputs(table, *inputs)
    if form == "json":
        click.echo(json.dumps(costs_data(table, told), indent=2))
    else:
        click.echo(costs_text(table, told))
