"""One life of each resource with a life-cycle in the simulator: how it begins, and how it ends well or badly."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_persona.hooks.persona import PersonaHook
from airflow_provider_persona.sensors import lifecycle as sensors
from airflow_provider_persona.tasks.wait_sensor import PersonaWaitSensor
from persona_simulator.control_client import SimulatorControl

CSV = base64.b64encode(b"reference_id,name_first\nc-1,Canaria\n").decode()
FILE = {"data": CSV, "filename": "accounts.csv"}


@dataclass(frozen=True)
class Life:
    """One life.

    :param sensor: class of the sensor that waits for it.
    :param create: operation that makes one and its body; None when `seed` is there from the start.
    :param start: its first status.
    :param good: status in which it ends well, and
    :param end: what else is set then.
    :param targets: statuses to name, None for the usual ones.
    """

    resource: str
    sensor: type[PersonaWaitSensor]
    good: str
    bad: str
    start: str
    create: tuple[str, Mapping[str, Any], Mapping[str, str]] | None = None
    seed: str = ""
    end: Mapping[str, Any] = field(default_factory=dict)
    targets: list[str] | None = None
    failures: list[str] | None = None
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def argument(self) -> str:
        return self.resource.replace("-", "_") + "_id"

    def begin(self, persona: SimulatorControl) -> str:
        """Make one that stays as it is until it is changed, and return its id."""
        thing_id = self.made()
        change(persona, thing_id, self.start)
        return thing_id

    def made(self) -> str:
        """Make one as a Dag would, and return its id."""
        if self.create is None:
            return self.seed
        operation_id, body, path = self.create
        with PersonaHook() as hook:
            return str(hook.call(operation_id, path=path, body=body).json()["data"]["id"])

    def arguments(self, thing_id: str) -> dict[str, Any]:
        """Return the arguments of a sensor for one."""
        named = {"target_statuses": self.targets, "failure_statuses": self.failures}
        return {self.argument: thing_id, **{name: value for name, value in named.items() if value is not None}}


def change(persona: SimulatorControl, thing_id: str, status: str, attributes: Mapping[str, Any] | None = None) -> None:
    """Change a thing as Persona or a person in the dashboard would."""
    persona.change_object(thing_id, status, attributes)


def _attributes(**attributes: Any) -> Mapping[str, Any]:
    return {"data": {"attributes": {name.replace("_", "-"): value for name, value in attributes.items()}}}


_QUERY = {"query": {"name-first": "Canaria", "name-last": "Vogelsang"}}

LIVES = (
    Life(
        "inquiry",
        sensors.PersonaInquirySensor,
        "completed",
        "declined",
        "created",
        ("create-an-inquiry", _attributes(inquiry_template_id="itmpl_kyc"), {}),
    ),
    Life(
        "inquiry-session",
        sensors.PersonaInquirySessionSensor,
        "active",
        "expired",
        "new",
        ("create-an-inquiry-session", _attributes(inquiry_id="inq_sim000001"), {}),
        targets=["active"],
    ),
    Life("verification", sensors.PersonaVerificationSensor, "passed", "failed", "submitted", seed="ver_selfie"),
    Life(
        "report",
        sensors.PersonaReportSensor,
        "ready",
        "errored",
        "pending",
        ("create-a-report", {"data": {"type": "report/watchlist", "attributes": _QUERY}}, {}),
        end={"has-match": True},
        found={"has_match": True},
    ),
    Life(
        "transaction",
        sensors.PersonaTransactionSensor,
        "Settled",
        "Charged Back",
        "created",
        ("create-a-transaction", _attributes(transaction_type_id="txntp_payment"), {}),
        targets=["Settled"],
        failures=["Charged Back"],
    ),
    Life(
        "workflow-run",
        sensors.PersonaWorkflowRunSensor,
        "some_end",
        "errored",
        "in_progress",
        ("create-a-workflow-run", _attributes(fields={}), {"workflow-id": "wfl_onboarding"}),
        end={"completed-at": "2026-01-01T00:00:00.000Z"},
    ),
    Life(
        "importer",
        sensors.PersonaImporterSensor,
        "ready",
        "errored",
        "pending",
        ("import-an-account", {"data": {"type": "importer", "attributes": {"file": FILE}}}, {}),
        end={"successful-count": 2, "duplicate-count": 1, "error-count": 0},
        found={"successful_count": 2, "duplicate_count": 1, "error_count": 0},
    ),
    Life("document", sensors.PersonaDocumentSensor, "processed", "errored", "submitted", seed="doc_government_id"),
    Life(
        "list",
        sensors.PersonaListSensor,
        "archived",
        "emptied",
        "active",
        seed="lst_country",
        targets=["archived"],
        failures=["emptied"],
    ),
    Life(
        "graph-query",
        sensors.PersonaGraphQuerySensor,
        "completed",
        "timed_out",
        "submitted",
        ("create-a-graph-query", _attributes(graph_query_template_id="grphqt_1"), {}),
    ),
)

BY_NAME = {life.resource: life for life in LIVES}
