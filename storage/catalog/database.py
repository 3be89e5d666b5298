"""The database under the catalog: SQLite on one machine, PostgreSQL for several. Short transactions, our errors.

On SQLite: WAL, so that readers never wait; every write begins with ``BEGIN IMMEDIATE``, so that it waits for its turn
at the beginning or not at all; threads of one process take turns at a lock, which unlike SQLite's own wakes the next
one at once.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.functions import FunctionElement

from speechmill.errors import BadInput, DatabaseAway, DiskFull, Unavailable
from speechmill.recipes import canonical
from storage.catalog.models import Base

BUSY_TIMEOUT_S = 30  # how long a write waits for other processes' writes
TURN_S = 0.02  # between looks at whether they are done
POOL_SIZE = 16  # at least the threads that work at once
TRIED_AFTER_S = 1.0  # a connection that rested for longer may be dead
POSTGRES_DISK_FULL = "53100"  # SQLSTATE, appendix A of PostgreSQL's manual
POSTGRES_OPTIONS = (
    "-c timezone=UTC -c statement_timeout=30000 -c lock_timeout=30000 -c idle_in_transaction_session_timeout=60000"
)

LATER = " -c synchronous_commit=off"


class Database:
    """An engine, and the two kinds of transactions there are: ``reading`` and ``writing``."""

    def __init__(self, url: str) -> None:
        self.url: Final[URL] = _parsed(url)
        self.is_sqlite: Final = self.url.get_backend_name() == "sqlite"
        self.engine: Final = _sqlite_engine(self.url) if self.is_sqlite else _postgres_engine(self.url)
        self._writer = self.engine.execution_options(writes=True)
        # What is one statement needs no BEGIN and no COMMIT, each of which is a way to the server and back. Connections
        # of their own are told so once; a shared one would be told before and after every statement. Nor does it wait
        # for the disk, as with SQLite: what a crash of the server takes back is done again.
        self._asker = self.engine if self.is_sqlite else _postgres_engine(self.url, LATER, isolation_level="AUTOCOMMIT")
        self._teller = self._writer if self.is_sqlite else self._asker
        self._engines = {self.engine, self._asker}
        for engine in self._engines:
            sa.event.listen(engine, "handle_error", _named)
        self._compiled: dict[sa.Executable, sa.Executable] = {}
        self._turn: AbstractContextManager[object] = threading.Lock() if self.is_sqlite else nullcontext()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A view of one moment."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One change: all of it, or nothing where it ends in an exception."""
        with self._turn, Session(self._writer, autoflush=False, expire_on_commit=False) as session, session.begin():
            yield session

    def ask(self, statement: sa.Executable, values: Mapping[str, Any]) -> sa.Row[Any] | None:
        """One row by one statement, or ``None``: for what is asked for every line."""
        with self._asker.connect() as connection:
            return connection.execute(statement, values).one_or_none()

    def tell(self, statement: sa.Executable, values: Mapping[str, Any]) -> sa.Row[Any] | None:
        """One change by one statement, and the row that it returns, if it does: for what can be done again. It is seen
        at once by everybody, and on the disk with the next transaction or within a second. The statement is one that is
        built once: it is kept, compiled."""
        with self._turn, self._teller.begin() as connection:
            result = connection.execute(self.compiled(statement), values)
            return result.one_or_none() if result.returns_rows else None

    @contextmanager
    def changing(self) -> Iterator[sa.Connection]:
        """One change of a few statements: for what is done for every line."""
        with self._turn, self._writer.begin() as connection:
            yield connection

    def compiled(self, statement: sa.Executable) -> sa.Executable:
        """A statement that is built once and executed for every line. Left to itself, SQLAlchemy 2.0 compiles each
        INSERT … ON CONFLICT anew, which takes longer than the database does."""
        found = self._compiled.get(statement)
        if found is None:
            found = self._compiled[statement] = statement.compile(self.engine)  # type: ignore[attr-defined]
        return found

    def insert(self, table: type[Base]) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows ON CONFLICT."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @property
    def connections_in_use(self) -> int:
        """How many transactions are under way: none while ffmpeg, S3 or an engine is at work."""
        return sum(int(engine.pool.checkedout()) for engine in self._engines)  # type: ignore[attr-defined, misc]

    def close(self) -> None:
        for engine in self._engines:
            engine.dispose()


class now_s(FunctionElement[float]):  # noqa: N801 (a function of SQL)
    """Seconds since 1970 by the database's clock."""

    type = sa.Double()
    inherit_cache = True


@compiles(now_s, "sqlite")
def _now_s_sqlite(*_: object, **__: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now_s, "postgresql")
def _now_s_postgresql(*_: object, **__: object) -> str:
    return "extract(epoch FROM clock_timestamp())::double precision"


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    if parsed is not None and parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
        return parsed
    if parsed is not None and parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise BadInput(
        f"“{parsed or url}” is no database that the catalog can use",
        hint="set SPEECHMILL_DATABASE_URL to sqlite:////a/file.db or postgresql+psycopg://user@host/name",
    )


def _sqlite_engine(url: URL) -> Engine:
    assert url.database is not None
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"there can be no catalog at {url.database}: {error}", hint="choose another place") from error
    engine = sa.create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        json_serializer=canonical,
        connect_args={"timeout": BUSY_TIMEOUT_S},
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions begin when we say so, not when the driver guesses
        _keep_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _keep_log(connection: sqlite3.Connection) -> None:
    """Turn to WAL, which SQLite's own patience does not cover: it fails at once where another process is about to write
    a catalog that is not in that mode yet."""
    ends_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > ends_s:
                raise
        time.sleep(TURN_S)


def _postgres_engine(url: URL, options: str = "", **how: Any) -> Engine:
    engine = sa.create_engine(
        url,
        **how,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        json_serializer=canonical,
        connect_args={"connect_timeout": 10, "options": POSTGRES_OPTIONS + options},
    )

    @sa.event.listens_for(engine, "checkin")
    def _rest(_: object, record: ConnectionPoolEntry) -> None:
        record.info["rests_since_s"] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def _still_there(connection: Any, record: ConnectionPoolEntry, _: object) -> None:
        """A connection that has rested is tried, and replaced where the server restarted meanwhile. To try each before
        every statement, as the pool can, would be a third of all ways to the server."""
        rested_s = time.monotonic() - record.info.get("rests_since_s", time.monotonic())
        if rested_s > TRIED_AFTER_S and not _answers(connection):
            raise sa.exc.InvalidatePoolError

    return engine


def _answers(connection: Any) -> bool:
    try:
        connection.execute("SELECT")
        connection.rollback()
    except psycopg.Error:
        return False
    return True


def _named(context: ExceptionContext) -> None:
    """What the database cannot do, in our words; mistakes of ours stay what they are."""
    error = context.original_exception
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL" or getattr(error, "sqlstate", None) == POSTGRES_DISK_FULL:
        raise DiskFull(
            "the disk is full while writing the catalog",
            hint="free some space and run the same command again; finished work is kept",
        ) from error
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        raise Unavailable(
            "the catalog is busy", hint="see what else uses it, then run the same command again"
        ) from error
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")):
        raise Unavailable(f"the catalog cannot be used: {error}", hint="see `speechmill doctor`") from error
    if context.is_disconnect or (context.connection is None and isinstance(error, context.dialect.loaded_dbapi.Error)):
        raise DatabaseAway(f"the database does not answer: {error}", hint="see `speechmill doctor`") from error
