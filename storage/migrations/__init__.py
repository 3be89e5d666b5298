"""Migrations: the tables, revision by revision, and bringing a database up to the last one.

Alembic runs here, without an ini file and only where there is something to do: a database that is up to date is
opened without it. All of an upgrade is one transaction, and one process at a time does it.
"""

from __future__ import annotations

import logging
from importlib import resources
from typing import TYPE_CHECKING

import sqlalchemy as sa

from speechmill.errors import Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

    from storage.catalog.database import Database

ADVISORY_LOCK = 0x5BEEC4  # any number that nobody else locks in this database


def bring_up_to_date(database: Database, *, allowed: bool = True) -> None:
    """Bring a database to the last revision; raises ``Unavailable`` where that is not ``allowed`` or not possible."""
    latest = head()
    with database.reading() as session:
        if _revision(session.connection()) == latest:
            return
    migrate(database, latest, allowed=allowed)


def migrate(database: Database, revision: str, *, allowed: bool = True) -> None:
    """Bring a database up or down to a revision (``base``: no tables at all)."""
    with database.writing() as session:
        connection = session.connection()
        if not database.is_sqlite:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        now = _revision(connection)
        if now == revision:
            return  # another process was first
        if now is not None and now > head():
            raise Unavailable(
                f"the catalog was made by a newer Speechmill (revision {now})",
                hint="install that version or a newer one",
            )
        if not allowed:
            raise Unavailable(
                "the catalog's tables are not up to date", hint="`speechmill doctor` on this version brings them there"
            )
        _run(connection, now, revision)


def head() -> str:
    """The last revision: files are named by them, ``r0001_first_tables.py``."""
    versions = resources.files("storage").joinpath("migrations", "versions")
    return max(file.name[1:5] for file in versions.iterdir() if file.name.startswith("r"))


def configuration(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration, made here rather than read from a file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "r%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _run(connection: sa.Connection, now: str | None, revision: str) -> None:
    from alembic import command

    logging.getLogger("alembic").setLevel(logging.WARNING)
    down = now is not None and (revision == "base" or revision < now)
    (command.downgrade if down else command.upgrade)(configuration(connection), revision)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found
