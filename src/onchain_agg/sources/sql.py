"""The declaration of somebody else's table as a source: which of its columns is which of ours.

A declaration is a `SqlSource`, or a YAML file of the same fields in the folder of sources; see
`sql_file`. `sql_read` reads the table, `warehouse.sql_pull` keeps what was read.

Numbers are exact from end to end. A floating-point column is taken by the shortest decimal text
that stands for its value, so 0.1 stays 0.1; digits that the column lost before cannot come back.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from onchain_agg.durations import duration
from onchain_agg.errors import ConfigError, did_you_mean
from onchain_agg.sources.sql_targets import TARGETS, Kind, Target, TargetName
from onchain_agg.yaml_lines import FieldError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Mapped(BaseModel):
    """Where the values of one of our columns come from: exactly one of column and constant.

    Attributes:
        column: A column of the table.
        constant: The value of every row.
        values: The table's texts and ours for them, such as ``B: buy``; every other text is an
            error. Empty: the values stay as they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    column: str | None = None
    constant: str | int | None = None
    values: dict[str, str] = {}

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if (self.column is None) == (self.constant is None):
            raise FieldError("give exactly one of column and constant", ())
        if self.values and self.column is None:
            raise FieldError("values belong to a column, not to a constant", ())
        return self


def _mapped(told: Any) -> Any:
    """Return the long form of ``market: pair``."""
    return {"column": told} if isinstance(told, str) else told


def _looked_back(told: Any) -> Any:
    return told if isinstance(told, timedelta | int) else duration(told)


def _zone(told: Any) -> str:
    try:
        return ZoneInfo(told).key
    except (KeyError, OSError, TypeError, ValueError):
        raise ValueError("write the name of a time zone such as UTC or Asia/Seoul") from None


_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
_Table = Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+)?$")]


class SqlSource(BaseModel):
    """A table or view of any database that SQLAlchemy speaks to, as a source of facts.

    Attributes:
        name: Its name; of a YAML file, the file's.
        connection: The Airflow connection to its database.
        url: Its database's SQLAlchemy URL, in place of a connection; ``${NAME}`` stands for an
            environment variable, so that no password need be written down.
        table: The table or view, with its schema before a dot where that is not the user's own.
        target: What its rows become.
        columns: Our columns, and where their values come from.
        watermark: The column by which it is read on: a time, day or whole number that is never
            NULL and that grows with every new and every corrected row.
        lag: How far below the highest watermark each pull begins, for rows that were committed
            late; a span such as ``15m``, or a number where the watermark is one.
        key: Columns that tell rows of one watermark apart; by default the primary key.
        time_zone: Of times that have no zone of their own; None refuses such times.
        time_unit: What a whole number counts since 1970 in a column of times; None refuses them.
        batch_rows: Rows that are read, held in memory and committed at a time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: _Name
    connection: str | None = None
    url: str | None = Field(default=None, repr=False)
    table: _Table
    target: TargetName
    columns: dict[str, Annotated[Mapped, BeforeValidator(_mapped)]]
    watermark: str
    lag: Annotated[timedelta | int, BeforeValidator(_looked_back)] = 0
    # YAML has lists, not tuples.
    key: Annotated[tuple[str, ...], Field(strict=False)] = ()
    time_zone: Annotated[str, BeforeValidator(_zone)] | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    batch_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000

    @model_validator(mode="after")
    def _fits_its_target(self) -> Self:
        if (self.connection is None) == (self.url is None):
            raise FieldError("give exactly one of connection and url", ())
        target = TARGETS[self.target]
        for name, mapped in self.columns.items():
            _check_column(self.target, target, name, mapped)
        for name, field in target.fields.items():
            if field.required and name not in self.columns:
                raise FieldError(
                    f"{self.target} need {name}, {field.kind.value}. Say which column of the table "
                    f"it is, or give it as {{constant: …}}",
                    ("columns",),
                )
        return self

    def database_url(self, environ: Mapping[str, str] | None = None) -> "URL":
        """Return the URL that the declaration gives, with its environment variables filled in.

        Raises:
            ConfigError: It gives none, a variable is not set, or the text is no URL.
        """
        # Reading declarations must not cost a database library.
        from sqlalchemy.engine import make_url  # noqa: PLC0415
        from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

        if self.url is None:
            raise ConfigError(f"Source {self.name} has no url. Open connection {self.connection}.")
        values = os.environ if environ is None else environ
        for name in _VARIABLE.findall(self.url):
            if name not in values:
                raise ConfigError(
                    f"Source {self.name}: its url needs the environment variable {name}. Set it."
                )
        try:
            return make_url(_VARIABLE.sub(lambda found: values[found[1]], self.url))
        except (ArgumentError, ValueError):
            # The text may hold a password, so neither it nor the cause is repeated.
            raise ConfigError(
                f"Source {self.name}: its url is no database URL. Write it as "
                "dialect+driver://user:password@host:port/database."
            ) from None


def _check_column(target_name: str, target: Target, name: str, mapped: Mapped) -> None:
    if name not in target.fields:
        hint = did_you_mean(name, target.fields)
        raise FieldError(
            f"{target_name} have no such column. {hint}Columns: {', '.join(target.fields)}",
            ("columns", name),
        )
    field = target.fields[name]
    if mapped.values and field.kind is not Kind.TEXT:
        raise FieldError(
            f"it is {field.kind.value}, and values translate texts alone. Remove them",
            ("columns", name, "values"),
        )
    told = [*mapped.values.values(), *([mapped.constant] if mapped.constant is not None else [])]
    wrong = [one for one in told if field.choices and one not in field.choices]
    if wrong:
        raise FieldError(
            f"it is {wrong[0]!r}. Write {' or '.join(field.choices)}", ("columns", name)
        )
