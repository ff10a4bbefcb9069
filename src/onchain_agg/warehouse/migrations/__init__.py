"""Alembic's revisions of the schemas ``chain``, ``state`` and ``ops``."""
