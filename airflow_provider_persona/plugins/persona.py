"""The Airflow plugin with Persona's pages: a tab on each task instance, and a list of runs (Airflow 3.1 and later)."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_persona.links import PREFIX, TAB
from airflow_provider_persona.version_compat import AIRFLOW_V_3_1_PLUS


class PersonaPlugin(AirflowPlugin):
    """Adds the tab "Persona" to each task instance, and the page "Persona runs" to the menu.

    On Airflow 2.11 and 3.0, which have no such places, it adds nothing.
    """

    name = "persona"
    # The addresses have no slash in front: Airflow's UI takes them from its own base, which may be a folder.
    external_views: list[Any] = (
        [
            {
                "name": "Persona",
                "href": f"{PREFIX.strip('/')}/task/{{DAG_ID}}/{{TASK_ID}}/{{MAP_INDEX}}/{{RUN_ID}}",
                "destination": "task_instance",
                "url_route": TAB,
            },
            {
                "name": "Persona runs",
                "href": f"{PREFIX.strip('/')}/runs",
                "destination": "nav",
                "category": "browse",
                "url_route": "persona-runs",
            },
        ]
        if AIRFLOW_V_3_1_PLUS
        else []
    )

    @property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]
        """The app behind the pages. It is built where Airflow asks for it, in the API server, and nowhere else."""
        if not AIRFLOW_V_3_1_PLUS:
            return []
        from airflow_provider_persona.pages.application import build

        return [{"app": build(), "url_prefix": PREFIX, "name": "Persona"}]
