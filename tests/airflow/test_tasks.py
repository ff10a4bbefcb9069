"""What tasks make of the library's errors, and in which order they publish."""

import pytest
from airflow.sdk.exceptions import AirflowFailException

from onchain_agg.errors import ConfigError, DataSetError, ForkError, SourceError
from onchain_agg.operators.publish import _ordered, _raise_together
from onchain_agg.operators.session import failing_fast

pytestmark = pytest.mark.airflow


@pytest.mark.parametrize("error", [ConfigError("wrong"), DataSetError("wrong")])
def test_an_error_that_no_retry_heals_fails_the_task_at_once(error):
    with pytest.raises(AirflowFailException, match=r"^wrong$"), failing_fast():
        raise error


@pytest.mark.parametrize("error", [SourceError("down"), ForkError("forked"), OSError("full")])
def test_an_error_that_may_pass_is_left_to_the_retries(error):
    with pytest.raises(type(error)), failing_fast():
        raise error


def test_the_scope_that_woke_the_run_is_published_first():
    dirty = [("d", "anvil"), ("d", "base"), ("d", "polygon")]

    assert _ordered(dirty, "base") == ["base", "anvil", "polygon"]
    assert _ordered(dirty, None) == ["anvil", "base", "polygon"]
    assert _ordered([], "base") == []


def test_failures_of_several_scopes_are_told_together_and_retried_only_where_that_helps():
    _raise_together([])
    with pytest.raises(SourceError, match=r"^a; b$"):
        _raise_together([SourceError("a"), ForkError("b")])
    with pytest.raises(AirflowFailException, match=r"^a; b$"), failing_fast():
        _raise_together([SourceError("a"), DataSetError("b")])
