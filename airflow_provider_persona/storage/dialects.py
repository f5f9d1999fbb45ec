"""What is used of a database, and how databases differ, as data: a new kind is a new entry of `_DIALECTS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

MYSQLCLIENT: Final = "MySQLdb"
MYSQL_CONNECTOR: Final = "mysql"
PSYCOPG: Final = "psycopg"
PSYCOPG2: Final = "psycopg2"


class Database(Protocol):
    """A database that gives DB-API connections. Every `DbApiHook` of Airflow is one; this is what is called of it."""

    supports_autocommit: bool
    """Whether `set_autocommit` may be called."""

    @property
    def conn_type(self) -> str:
        """Airflow's name for the kind of database, like `postgres`."""

    @property
    def placeholder(self) -> str:
        """How the driver marks a parameter, like `%s`."""

    def get_conn(self) -> Any:
        """Return a new DB-API connection; the caller closes it."""

    def get_conn_id(self) -> str:
        """Return the id of the Airflow connection, for messages."""

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:  # noqa: FBT001 - the hook's own signature
        """Turn autocommit of a connection on or off."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is special about a kind of database.

    :param quote: the character around a name, so that reserved words can be names. Empty where quotes would make
        capitals count that do not count without them.
    :param is_lower: whether the database turns names without quotes into small letters.
    :param longest_name: bytes that a name may have; None where it is not known. PostgreSQL cuts longer names silently,
        so that two tables could become one.
    :param text: the type of text without a bound.
    :param table_options: what `CREATE TABLE` ends with.
    :param text_codes: the driver's numbers for types that hold text, in a cursor's `description`.
    :param begins_by_statement: whether a transaction begins and ends by statements, not by the driver's methods.
    :param read_only: the statement after which a connection refuses what writes; empty where there is none.
    :param refusals: words in the errors of such refusals that have no SQLSTATE of their own.
    """

    quote: str = ""
    is_lower: bool = False
    longest_name: int | None = None
    text: str = "TEXT"
    table_options: str = ""
    text_codes: frozenset[int] = frozenset()
    begins_by_statement: bool = False
    read_only: str = ""
    refusals: tuple[str, ...] = ()

    def quoted(self, name: str) -> str:
        """Return a checked name as a statement takes it, also where it is a reserved word.

        Capitals mean what they mean without quotes.
        """
        parts_of_name = (name.lower() if self.is_lower else name).split(".")
        return ".".join(f"{self.quote}{part}{self.quote}" for part in parts_of_name)


POSTGRES: Final = Dialect(
    quote='"',
    is_lower=True,
    longest_name=63,
    text_codes=frozenset({18, 25, 1042, 1043}),  # "char", text, char(n) and varchar(n)
    read_only="SET TRANSACTION READ ONLY",
    refusals=("DECLARE CURSOR must not contain data-modifying statements", "SELECT ... INTO is not allowed here"),
)
MYSQL: Final = Dialect(
    quote="`",
    longest_name=64,
    text="LONGTEXT",
    # Without a character set of its own a table gets the database's, which need not hold every text. The usual order
    # of MySQL takes capitals for small letters, but ids of Persona can differ in capitals only.
    table_options=" CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    # varchar, the four kinds of text (which have the numbers of blob), varchar and char(n)
    text_codes=frozenset({15, 249, 250, 251, 252, 253, 254}),
    read_only="START TRANSACTION READ ONLY",
)
SQLITE: Final = Dialect(
    quote='"', read_only="PRAGMA query_only = ON", refusals=("attempt to write a readonly database",)
)
# Each cursor of DuckDB is a connection of its own, which the methods of the first connection know nothing of.
DUCKDB: Final = Dialect(
    begins_by_statement=True,
    read_only="BEGIN TRANSACTION READ ONLY",
    refusals=("transaction is launched in read-only mode",),
)
OTHER: Final = Dialect()

_DIALECTS: Final = {
    PSYCOPG: POSTGRES,
    PSYCOPG2: POSTGRES,
    MYSQLCLIENT: MYSQL,
    MYSQL_CONNECTOR: MYSQL,
    "sqlite3": SQLITE,
    "duckdb": DUCKDB,
    "_duckdb": DUCKDB,
}


def dialect_of(connection: Any) -> Dialect:
    """Return the dialect behind a driver's connection."""
    return _DIALECTS.get(driver_of(connection), OTHER)


def driver_of(connection: Any) -> str:
    """Return the name of the package that a connection belongs to, like `psycopg2`."""
    return type(connection).__module__.partition(".")[0]
