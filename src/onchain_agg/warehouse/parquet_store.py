"""Archived days as Parquet files, in a local folder or on ``s3://``, with a manifest for each.

``<root>/<table>/chain=<chain>/day=<day>/v<version>.parquet``: the layout of Hive, which DuckDB,
Spark, Trino and Athena read as it is. Chain and day stand in the path alone. A file is never
changed: a correction is a new version beside the old one. Knows neither SQL nor Airflow.
"""

import hashlib
import io
import json
import os
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from pyarrow import parquet

from onchain_agg.errors import ConfigError, DataSetError, SourceError

_READ_ROWS = 65_536
_HASH_BYTES = 1 << 20


@dataclass(frozen=True)
class Written:
    """A file that was written: its rows, its size and its SHA-256."""

    rows: int
    bytes: int
    sha256: str


def location_of(table: str, chain: str, day: date, version: int) -> str:
    """Return where a version of a day lies below the archive's root."""
    return f"{table}/chain={chain}/day={day}/v{version}.parquet"


@dataclass(frozen=True)
class ParquetStore:
    """The archive below *root_url*: a folder, or a bucket and prefix such as ``s3://chain/days``.

    A server other than Amazon's, and keys, come from fsspec's configuration or the environment
    (``FSSPEC_S3_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID`` …).
    """

    root_url: str

    def read(
        self, location: str, columns: Sequence[str] | None = None
    ) -> Generator[pa.RecordBatch, None, None]:
        """Yield the rows of a file in bounded batches, with the ``day`` of its path in front.

        Args:
            location: Below the root.
            columns: Only these, in this order; all by default.

        Raises:
            DataSetError: The file is not there, or is damaged.
            SourceError: The storage does not answer.
        """
        day = date.fromisoformat(location.partition("/day=")[2].partition("/")[0])
        kept = None if columns is None else [name for name in columns if name != "day"]
        with self._found(location), self._files.open(self._path(location), "rb") as file:
            content = parquet.ParquetFile(file)
            for batch in content.iter_batches(_READ_ROWS, columns=kept):
                yield _with_day(batch, day, columns)

    def schema(self, location: str) -> pa.Schema:
        """Return the columns of a file, without the ``day`` of its path.

        Raises:
            DataSetError: The file is not there, or is damaged.
            SourceError: The storage does not answer.
        """
        with self._found(location), self._files.open(self._path(location), "rb") as file:
            return parquet.read_schema(file)

    def write(self, location: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Written:
        """Write a file that appears at *location* whole or not at all; return what was written.

        Raises:
            SourceError: The storage refused it or does not answer.
        """
        with self._appearing(location) as raw:
            rows = 0
            target = _Hashing(raw)
            with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
                for batch in batches:
                    writer.write_batch(batch)
                    rows += batch.num_rows
            return Written(rows, target.written, target.digest.hexdigest())

    def sha256(self, location: str) -> str:
        """Return the SHA-256 of a file as it is stored now.

        Raises:
            DataSetError: The file is not there.
            SourceError: The storage does not answer.
        """
        digest = hashlib.sha256()
        with self._found(location), self._files.open(self._path(location), "rb") as file:
            while piece := file.read(_HASH_BYTES):
                digest.update(piece)
        return digest.hexdigest()

    def write_manifest(self, location: str, content: Mapping[str, Any]) -> None:
        """Write the manifest of the file at *location*.

        Raises:
            SourceError: The storage refused it or does not answer.
        """
        with self._appearing(_manifest(location)) as raw:
            raw.write(json.dumps(content, indent=1, sort_keys=True).encode() + b"\n")

    def manifest(self, location: str) -> dict[str, Any]:
        """Return the manifest of the file at *location*.

        Raises:
            DataSetError: It is not there, or is no JSON.
            SourceError: The storage does not answer.
        """
        path = _manifest(location)
        with self._found(path), self._files.open(self._path(path), "rb") as file:
            content: dict[str, Any] = json.loads(file.read())
            return content

    @cached_property
    def _place(self) -> tuple[AbstractFileSystem, str]:
        try:
            files, root = url_to_fs(self.root_url)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"archive_url is {self.root_url!r}, which cannot be opened: {error}."
                " Write a folder, or s3://bucket/prefix."
            ) from error
        return files, root.rstrip("/")

    @property
    def _files(self) -> AbstractFileSystem:
        return self._place[0]

    def _path(self, location: str) -> str:
        return f"{self._place[1]}/{location}"

    @contextmanager
    def _found(self, location: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise DataSetError(
                f"{location} is not in the archive {self.root_url}. Restore it from its backup."
            ) from error
        except (pa.ArrowInvalid, json.JSONDecodeError) as error:
            raise DataSetError(
                f"{location} in the archive {self.root_url} is damaged: {_line(error)}."
                " Restore it from its backup."
            ) from error
        except OSError as error:
            raise SourceError(
                f"{location} cannot be read from the archive {self.root_url}: {_line(error)}."
            ) from error

    @contextmanager
    def _appearing(self, location: str) -> Iterator[BinaryIO]:
        """Yield a file that stands at *location* once the block ends well.

        An object store shows an upload when it is complete. A folder would show each piece, so
        there the file is written under a name that no reader looks for, and then renamed.
        """
        path = self._path(location)
        try:
            if "file" not in _protocols(self._files):
                with _uploading(self._files, path) as upload:
                    yield upload
                return
            hidden = Path(path).parent / f".{uuid.uuid4().hex}.part"
            hidden.parent.mkdir(parents=True, exist_ok=True)
            try:
                with hidden.open("xb") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                hidden.replace(path)
            finally:
                hidden.unlink(missing_ok=True)
        except OSError as error:
            raise SourceError(
                f"{location} cannot be written to the archive {self.root_url}: {_line(error)}."
            ) from error


class _Hashing(io.RawIOBase):
    """Passes what is written on, and hashes and counts it."""

    def __init__(self, target: BinaryIO) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self.written = 0
        self._target = target

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        size = memoryview(data).nbytes
        self.written += size
        self._target.write(data)
        return size


@contextmanager
def _uploading(files: AbstractFileSystem, path: str) -> Iterator[BinaryIO]:
    """Yield an upload that is completed when the block ends well, and else given up."""
    upload = files.open(path, "wb")
    try:
        yield upload
    except BaseException:
        upload.discard()
        # Closing it would complete it.
        upload.closed = True
        raise
    upload.close()


def _manifest(location: str) -> str:
    return f"manifest/{location.removesuffix('.parquet')}.json"


def _with_day(batch: pa.RecordBatch, day: date, columns: Sequence[str] | None) -> pa.RecordBatch:
    names = ["day", *batch.schema.names] if columns is None else columns
    days = pa.repeat(pa.scalar(day, pa.date32()), batch.num_rows)
    arrays = [days if name == "day" else batch.column(name) for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))


def _protocols(files: AbstractFileSystem) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
