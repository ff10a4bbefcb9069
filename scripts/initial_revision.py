"""Writes the initial migration from the tables in `onchain_agg.warehouse.tables`.

For use until the first release only; after it, a change of the tables is a new revision.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.operations.ops import UpgradeOps
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from onchain_agg.warehouse import embedded, engine, schema

TARGET = Path(schema.__file__).parent / "migrations" / "versions" / "0001_initial.py"
HEAD = '''"""The first tables, and the functions that print addresses."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from onchain_agg.warehouse.address_sql import STATEMENTS

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
'''
FUNCTIONS = """    for statement in STATEMENTS:
        op.execute(statement)
"""


def main() -> None:
    """Write the revision; compares the tables with an empty database of its own."""
    with tempfile.TemporaryDirectory(prefix="onchain-") as folder:
        home = Path(folder)
        try:
            database = engine.engine_for(embedded.embedded_url(home))
            with database.begin() as connection:
                TARGET.write_text(_revision(connection))
            database.dispose()
        finally:
            embedded.stop(home)
    for tool in (["format", "--quiet"], ["check", "--fix", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *tool, str(TARGET)], check=True)  # noqa: S603 - fixed arguments


def _revision(connection: Connection) -> str:
    """Return the module: one function a table, so that each can be read on its own."""
    options = schema.comparison_options(connection)
    context = MigrationContext.configure(connection, opts=options)
    operations = produce_migrations(context, options["target_metadata"]).upgrade_ops
    if operations is None:
        sys.exit("Alembic found nothing to create.")
    bodies: dict[str, str] = {}
    for operation in operations.ops:
        name = f"_create_{getattr(operation, 'table_name', '')}"
        body = render_python_code(UpgradeOps([operation]), migration_context=context)
        lines = [line for line in body.splitlines() if not line.lstrip().startswith("#")]
        bodies[name] = bodies.get(name, "") + "\n".join(lines) + "\n"
    names = "".join(f"        {name},\n" for name in bodies)
    calls = f"    for create in (\n{names}    ):\n        create()\n"
    functions = "".join(f"\n\ndef {name}() -> None:\n{body}" for name, body in bodies.items())
    return HEAD + calls + FUNCTIONS + functions


if __name__ == "__main__":
    main()
