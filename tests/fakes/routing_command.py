"""``onchain-agg routing`` as a person runs it: what it prints, and how it refuses."""

import json

from click.testing import CliRunner

from onchain_agg.cli import main


def output(*arguments):
    result = CliRunner().invoke(main, ["routing", *arguments], catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def as_json(*arguments):
    """Return what the command printed, read as JSON."""
    return json.loads(output(*arguments, "--format", "json"))


def refused(*arguments, code):
    """Return what was said of *arguments*, which must fail with *code*."""
    result = CliRunner().invoke(main, ["routing", *arguments], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (code, "")
    return result.stderr
