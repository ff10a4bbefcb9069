"""Bringing a database to the schema that this version of the package needs."""

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from psycopg.errors import InsufficientPrivilege, InvalidSchemaName, UndefinedTable
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.schema import CreateSchema

from onchain_agg.errors import ConfigError
from onchain_agg.warehouse.engine import shown
from onchain_agg.warehouse.tables import METADATA, SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config

VERSION_SCHEMA = "ops"
MIGRATED_SCHEMAS = ("chain", "market", "state", "ops")
_OWN = f"Let one user own the schemas {', '.join(SCHEMAS)} and all that is in them."
# Two `init` at once: the second one waits and then finds nothing to do.
_LOCK = 0x0C4A_1A66


def migrate(engine: Engine) -> str:
    """Bring the database to the newest revision and return that revision.

    Creates the schemas that are missing. All of it is one transaction.

    Raises:
        ConfigError: The user may not create schemas; names user, database and the cure.
    """
    # Every task checks the revision, and only this command needs Alembic for it.
    from alembic import command  # noqa: PLC0415

    config = alembic_config()
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _create_schemas(connection)
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except ProgrammingError as error:
            if not isinstance(error.orig, InsufficientPrivilege):
                raise
            raise ConfigError(f"{shown(engine.url)}: {_first_line(error)}. {_OWN}") from error
    return needed_revision()


def check_migrated(engine: Engine) -> None:
    """Return where the database is at the revision that this version needs.

    Raises:
        ConfigError: It is not; names the database, both revisions and the command.
    """
    at = current_revision(engine)
    needed = needed_revision()
    if at != needed:
        raise ConfigError(
            f"Database {shown(engine.url)} is not migrated (at revision {at or 'none'}, "
            f"needs {needed}). Run `onchain-agg init`."
        )


def current_revision(engine: Engine) -> str | None:
    """Return the revision that the database is at, or None where it was never migrated."""
    query = text(f"SELECT version_num FROM {VERSION_SCHEMA}.alembic_version")
    try:
        with engine.connect() as connection:
            revision: str | None = connection.scalar(query)
    except ProgrammingError as error:
        if isinstance(error.orig, UndefinedTable | InvalidSchemaName):
            return None
        raise ConfigError(f"{shown(engine.url)}: {_first_line(error)}. {_OWN}") from error
    return revision


def needed_revision() -> str:
    """Return the revision that this version of the package needs: the newest file's number."""
    revisions = files("onchain_agg.warehouse.migrations").joinpath("versions").iterdir()
    numbers = [path.name[:4] for path in revisions if path.name[:4].isdigit()]
    if not numbers:
        raise ConfigError("The installed package holds no migrations. Install it again.")
    return max(numbers)


def alembic_config() -> "Config":
    """Return Alembic's configuration of the packaged migrations; there is no ini file."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", "onchain_agg.warehouse:migrations")
    config.set_main_option("path_separator", "os")
    return config


def comparison_options(connection: Connection) -> dict[str, Any]:
    """Return the options under which Alembic compares the database with ``METADATA``.

    Left out are the partitions of a table (loading makes them) and the schemas whose tables the
    data sets define.
    """
    partitions = _partitions(connection)

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        if kind == "schema":
            return name in MIGRATED_SCHEMAS
        return kind != "table" or (parents["schema_name"], name) not in partitions

    return {
        "target_metadata": METADATA,
        "version_table_schema": VERSION_SCHEMA,
        "include_schemas": True,
        "include_name": include_name,
        "compare_type": True,
        "compare_server_default": True,
    }


def _first_line(error: ProgrammingError) -> str:
    return str(error.orig).splitlines()[0]


def _create_schemas(connection: Connection) -> None:
    present = set(connection.execute(text("SELECT nspname FROM pg_namespace")).scalars())
    missing = [name for name in SCHEMAS if name not in present]
    if missing:
        _check_right_to_create(connection, missing)
    for name in missing:
        connection.execute(CreateSchema(name))


def _check_right_to_create(connection: Connection, missing: "Sequence[str]") -> None:
    user, database, allowed = connection.execute(
        text(
            "SELECT current_user, current_database(),"
            " has_database_privilege(current_database(), 'CREATE')"
        )
    ).one()
    if not allowed:
        raise ConfigError(
            f"User {user!r} may not create schemas ({', '.join(missing)}) in database "
            f'{database!r}. Run as its owner: GRANT CREATE ON DATABASE "{database}" TO "{user}";'
        )


def _partitions(connection: Connection) -> set[tuple[str, str]]:
    rows = connection.execute(
        text(
            "SELECT n.nspname, c.relname FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relispartition"
        )
    )
    return {(schema, name) for schema, name in rows}
