"""How a command ends on an error of this package: in one line, with an exit code."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from onchain_agg.errors import ConfigError, OnchainAggError

BAD_INPUT, FAILED = 2, 1


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn an error of this package into its message and an exit code.

    The code is `BAD_INPUT` where the input is at fault, `FAILED` where it met a fault on its way.
    """

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except OnchainAggError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(BAD_INPUT if isinstance(error, ConfigError) else FAILED)

    return wrapped
