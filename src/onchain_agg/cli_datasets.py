"""``onchain-agg datasets``: the reference page of the data sets."""

import click

from onchain_agg.command_errors import one_line_errors
from onchain_agg.metrics.reference_page import datasets_page


@click.command()
@one_line_errors
def datasets() -> None:
    """Print what every data set says and how it is made, in Markdown."""
    click.echo(datasets_page(), nl=False)
