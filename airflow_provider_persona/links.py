"""Extra links: buttons on a task's page in Airflow that lead to what the task is about.

A link knows the key of an XCom and nothing else. The task pushes the address under that key, so the link is there while
the task waits, and after it failed. Airflow's pages ask no connection for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.version_compat import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)


class PersonaObjectLink(BaseOperatorLink):
    """Leads to the case, inquiry, account, report or other object of a task in Persona's dashboard.

    It is there for objects with an id of Persona's own, and leads below the `dashboard_url` of the connection.
    """

    name = "Open in Persona"
    key = "persona_object_url"

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
        if address is None or keep is None:  # no task instance: somebody tries an operator out
            return
        try:
            keep(key=cls.key, value=address)
        except Exception as error:  # noqa: BLE001 - a link is a convenience; the task can do without
            log.warning("The link to %s could not be kept: %s", address, type(error).__name__)
