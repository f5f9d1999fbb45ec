"""Extra links: buttons on a task's page in Airflow that lead to what the task is about.

A link knows the key of an XCom and nothing else. The task pushes the address under that key, so the link is there while
the task waits, and after it failed. Airflow's pages ask no connection for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS, BaseOperatorLink, XCom, conf

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

PREFIX: Final = "/persona"
"""Where Airflow's API server has the pages of the plugin."""

TAB: Final = "persona"
"""Last part of the tab's address in Airflow's UI."""


class _PushedLink(BaseOperatorLink):
    """Leads to the address that the task pushed to XCom."""

    key: str

    @property
    def xcom_key(self) -> str:
        """Key of the XCom with the address."""
        return self.key

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002 - the parent's parameter
        """Return the address that the task pushed, empty where there is none."""
        return XCom.get_value(key=self.key, ti_key=ti_key) or ""

    @classmethod
    def push(cls, context: Mapping[str, Any] | None, address: str | None) -> None:
        """Keep the address for the page of the running task.

        :param context: Airflow's context of the task.
        :param address: where the link leads; None for no link.
        """
        keep = getattr((context or {}).get("ti"), "xcom_push", None)
        if address is None or keep is None:  # no task instance: somebody calls `execute` by hand
            return
        try:
            keep(key=cls.key, value=address)
        except Exception as error:  # noqa: BLE001 - a link is a convenience; the task can do without
            log.warning("The link to %s could not be kept: %s", address, type(error).__name__)


class PersonaObjectLink(_PushedLink):
    """Leads to the case, inquiry, account, report or other object of a task in Persona's dashboard.

    It is there for objects with an id of Persona's own, and leads below the `dashboard_url` of the connection.
    """

    name = "Open in Persona"
    key = "persona_object_url"


class _PageLink(_PushedLink):
    """Leads to a page or a file of the plugin, which Airflow has from 3.1 on."""

    file: str | None = None
    """Which file it downloads: `plan` or `ledger`."""

    @classmethod
    def address(cls, ti: Any) -> str:
        """Return the address for a task instance."""
        index = ti.map_index if _is_mapped(ti) else -1
        parts = (quote(str(part), safe="") for part in (ti.dag_id, ti.task_id, index, ti.run_id))
        return f"{_base()}{PREFIX}/csv/{cls.file}/{'/'.join(parts)}"


class PersonaTabLink(_PageLink):
    """Leads to the tab Persona of a task that plans, approves or applies changes (Airflow 3.1 and later)."""

    name = "Persona: all rows"
    key = "persona_tab_url"

    @classmethod
    def address(cls, ti: Any) -> str:
        """Return the address of the tab."""
        mapped = f"/mapped/{ti.map_index}" if _is_mapped(ti) else ""
        dag_id, run_id, task_id = (quote(part, safe="") for part in (ti.dag_id, ti.run_id, ti.task_id))
        return f"{_base()}/dags/{dag_id}/runs/{run_id}/tasks/{task_id}{mapped}/plugin/{TAB}"


class PersonaPlanLink(_PageLink):
    """Downloads the plan of a task as CSV, without the values that are to be written (Airflow 3.1 and later)."""

    name = "Persona: plan (CSV)"
    key = "persona_plan_url"
    file = "plan"


class PersonaLedgerLink(_PageLink):
    """Downloads the ledger of a task as CSV: what became of each row (Airflow 3.1 and later)."""

    name = "Persona: ledger (CSV)"
    key = "persona_ledger_url"
    file = "ledger"


PLAN_LINKS: Final = (PersonaTabLink(), PersonaPlanLink()) if AIRFLOW_V_3_1_PLUS else ()
"""The links of a task that has a plan and no ledger. Older Airflows have no pages that they could lead to."""

RUN_LINKS: Final = (*PLAN_LINKS, PersonaLedgerLink()) if AIRFLOW_V_3_1_PLUS else ()
"""The links of a task that applies a plan, or plans and applies."""


def push_page_links(context: Mapping[str, Any], *links: type[_PageLink]) -> None:
    """Keep links to pages of the running task, where this Airflow has them.

    It asks Airflow's supervisor, so it must not be called on an event loop's thread.

    :param context: Airflow's context of the task.
    :param links: which.
    """
    for link in links if AIRFLOW_V_3_1_PLUS and context.get("ti") is not None else ():
        link.push(context, link.address(context["ti"]))


def _is_mapped(ti: Any) -> bool:
    return ti.map_index is not None and ti.map_index >= 0


def _base() -> str:
    # Without a configured address the path alone has to do: Airflow's page takes it from its own origin.
    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
