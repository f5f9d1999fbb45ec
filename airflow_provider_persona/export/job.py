"""A read as a value: what is read, and the protocol of the target that it goes into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_persona.export.columns import Columns

if TYPE_CHECKING:
    from airflow_provider_persona.client import PersonaClient
    from airflow_provider_persona.export.listing import Listing, Mark


@dataclass(frozen=True, slots=True)
class ReadJob:
    """What a task reads.

    :param listing: the list or search.
    :param mapping: from columns to attributes, as for `Columns`; None for whole objects.
    :param source: fingerprint of what is read and through which connection.
    :param run: identity of the task's run.
    """

    listing: Listing
    mapping: Mapping[str, str] | None
    source: str
    run: str

    def check(self) -> None:
        """Check the arguments, before anything is read, created or replaced.

        :raises BadCallError: when they do not fit the operation.
        :raises ExportError: when the columns cannot be used.
        :raises StoreError: when a column has no plain name.
        """
        Columns(self.mapping)
        self.listing.request()


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What a read did.

    :param rows: objects that were read.
    :param counts: for XCom: numbers and addresses, never a row.
    :param newest: the mark for the next read; None when nothing was read.
    :param unseen: columns that stayed empty because no object had their attribute.
    """

    rows: int
    counts: Mapping[str, Any]
    newest: Mark | None
    unseen: Sequence[str]


class ReadTarget(Protocol):
    """Where the objects go."""

    def fill(self, job: ReadJob, client: PersonaClient, since: Mark | None) -> ReadReport:
        """Read everything and write it.

        :param since: the mark that the read goes back to; None to read all.
        :raises PersonaError: typed.
        :raises StoreError: when it cannot be written.
        """
