"""A run in a process of its own that is killed at its n-th step, as the kernel kills: no cleanup.

A step is a statement, a piece of a COPY, a commit that is about to be sent or one that was just
answered.
"""

import multiprocessing
import os
import signal
from dataclasses import dataclass

import psycopg
from sqlalchemy import Engine, event

from onchain_agg.warehouse.engine import engine_for
from tests.fakes import warehouse

# Not a step: every commit was answered, and nobody was told that the run succeeded.
BEFORE_SUCCESS = -1

# The server process imports the libraries once; each run is a fork of it.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])
_RUN_WITHIN_S = 120


@dataclass
class _Fuse:
    steps: int
    burnt: int = 0

    def burn(self, *_: object) -> None:
        self.burnt += 1
        if self.burnt == self.steps:
            _die()


def killed_at(engine: Engine, chain, node, steps: int) -> bool:
    """Bring the warehouse up to date in another process; return whether it died on the way.

    Args:
        engine: The warehouse; the other process connects for itself.
        chain: The chain.
        node: What it is read from.
        steps: The step at which the process is killed, counted from 1; or `BEFORE_SUCCESS`.

    It publishes the data sets that this process would.
    """
    process = started(engine, chain, node, steps)
    process.join(_RUN_WITHIN_S)
    assert process.exitcode in {0, -signal.SIGKILL}, f"the run ended with {process.exitcode}"
    return process.exitcode != 0


def started(engine: Engine, chain, node, steps: int = 0):
    """Start such a run and return its process; with 0 steps it only ends by itself or by force."""
    url = engine.url.render_as_string(hide_password=False)
    process = _FORKS.Process(target=_run, args=(url, chain, node, steps, warehouse.PUBLISHED))
    process.start()
    return process


def _run(url: str, chain, node, steps: int, published: tuple[str, ...]) -> None:
    warehouse.PUBLISHED = published
    engine, fuse = engine_for(url), _Fuse(steps)
    event.listen(engine, "before_cursor_execute", fuse.burn)
    _burn_around(engine.dialect, "do_commit", fuse)
    _burn_around(psycopg.Copy, "write", fuse)
    warehouse.bring_up_to_date(engine, chain, node)
    if steps == BEFORE_SUCCESS:
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _burn_around(owner: object, name: str, fuse: _Fuse) -> None:
    call = getattr(owner, name)

    def burning(*args: object) -> object:
        fuse.burn()
        answer = call(*args)
        fuse.burn()
        return answer

    setattr(owner, name, burning)
