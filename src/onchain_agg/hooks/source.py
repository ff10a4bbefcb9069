"""What the hooks of both kinds of chain share: the connection, and the extras that are read."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from onchain_agg.errors import ConfigError

if TYPE_CHECKING:
    from onchain_agg.chains import EvmChain, UtxoChain
    from onchain_agg.sources.batch import BlockSource
    from onchain_agg.sources.rpc import RpcLimits


class SourceHook(BaseHook):
    """Opens the block source that an Airflow connection describes.

    Few extras are read, and every other one is ignored: who may edit a connection must not be able
    to pass options to the client libraries.
    """

    conn_type: str

    def __init__(self, conn_id: str) -> None:
        """Take the connection's id; it is looked up when the source is opened."""
        super().__init__()
        self.conn_id = conn_id

    def is_configured(self) -> bool:
        """Return whether the connection exists."""
        try:
            self.get_connection(self.conn_id)
        except AirflowNotFoundException:
            return False
        return True

    def source(self, chain: "EvmChain | UtxoChain") -> "BlockSource":
        """Return the source of *chain*'s blocks.

        Raises:
            ConfigError: The connection does not exist, or has a value that it cannot have.
        """
        # Decoders take longer to import than Airflow may spend on a DAG file.
        from onchain_agg.sources.opening import open_source  # noqa: PLC0415
        from onchain_agg.sources.rpc import Rpc  # noqa: PLC0415

        connection = self._connection()
        urls, limits = self.endpoints(connection), self._limits(connection.extra_dejson)
        return open_source(
            chain,
            endpoints=Rpc(urls, limits) if urls else (),
            blocks=self._path(connection.extra_dejson, "blocks"),
            genesis=self._path(connection.extra_dejson, "genesis"),
            content=str(connection.extra_dejson.get("content") or "full"),
        )

    @abstractmethod
    def endpoints(self, connection: Connection) -> list[str]:
        """Return the URLs to ask, first the preferred one, with their credentials in place."""

    def _connection(self) -> Connection:
        try:
            return self.get_connection(self.conn_id)
        except AirflowNotFoundException as error:
            raise ConfigError(
                f"Connection {self.conn_id!r} does not exist. Add it with `airflow connections add "
                f"{self.conn_id} --conn-type {self.conn_type} --conn-host <URL of the node>`."
            ) from error

    def _limits(self, extras: Mapping[str, Any]) -> "RpcLimits":
        from onchain_agg.sources.rpc import RpcLimits  # noqa: PLC0415 - as above

        return RpcLimits(
            calls_per_second=self._number(extras, "calls_per_second"),
            timeout_s=self._number(extras, "timeout_s") or RpcLimits.timeout_s,
        )

    def _number(self, extras: Mapping[str, Any], name: str) -> float | None:
        value = extras.get(name)
        if value in (None, ""):
            return None
        try:
            number = float(str(value))
        except ValueError:
            number = 0.0
        if not 0 < number < math.inf:
            raise ConfigError(
                f"Connection {self.conn_id!r}: extra {name!r} is {value!r}. Give a number above 0."
            )
        return number

    def _path(self, extras: Mapping[str, Any], name: str) -> Path | None:
        value = extras.get(name)
        if not value:
            return None
        if not isinstance(value, str) or not Path(value).exists():
            raise ConfigError(
                f"Connection {self.conn_id!r}: extra {name!r} is {value!r}, which does not exist "
                "on this worker. Correct the path or mount the files."
            )
        return Path(value)


def urls_of(connection: Connection) -> list[str]:
    """Return the URLs in the connection's host, which commas part."""
    return [url.strip() for url in (connection.host or "").split(",") if url.strip()]
