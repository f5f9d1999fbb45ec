"""Workflow runs and graph queries: work that a call starts and that ends in the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from persona_simulator.call import Call
from persona_simulator.clock import timestamp
from persona_simulator.problems import not_found
from persona_simulator.resources.acts import ATTRIBUTES, creating, referring
from persona_simulator.resources.answers import object_payload
from persona_simulator.resources.holdings import Change, Holdings, Outcomes
from persona_simulator.resources.seeds import WORKFLOW_VERSION
from persona_simulator.resources.things import Thing


def trigger(holdings: Holdings, call: Call) -> Outcomes:
    """Answer `POST /workflows/{id}/trigger`; any workflow will do, since only a dashboard can make one."""
    if not call.subject.startswith("wfl_"):
        raise not_found()
    call.need(dict, *ATTRIBUTES, "fields")
    run = begin_run(holdings, call.subject, call.now)
    return Outcomes(object_payload(holdings, run, call), changes=[Change(run, None, ("created",), "created")])


def begin_run(holdings: Holdings, workflow: str, now: float) -> Thing:
    """Start a run of a workflow and return it."""
    links = {
        "workflow": referring("workflow", workflow),
        "workflow-version": referring("workflow-version", WORKFLOW_VERSION),
    }
    run = holdings.make("workflow-run", now, None, links)
    run.hidden["meta"] = {"processing-time-seconds": None}

    def outcome(ended: float) -> Mapping[str, Any]:
        run.hidden["meta"] = {"processing-time-seconds": round(ended - now, 3)}
        return {"status": "completed", "completed-at": timestamp(ended)}

    holdings.begin_work(run, now, outcome, None)
    return run


def _query(_holdings: Holdings, call: Call) -> Mapping[str, Any]:
    if not call.need(str, *ATTRIBUTES, "graph-query-template-id").startswith("grphqt_"):
        raise not_found("data.attributes.graph_query_template_id is not found")
    return {"params": call.may(dict, *ATTRIBUTES, "parameter-map") or {}}


def _begin_query(holdings: Holdings, query: Thing, call: Call) -> None:
    def outcome(ended: float) -> Mapping[str, Any]:
        nodes = [{"type": "account", "value": account["id"]} for account in query.relationships["accounts"]]
        return {"status": "completed", "completed-at": timestamp(ended), "node-limit-reached": False, "nodes": nodes}

    query.relationships["accounts"] = [thing.reference for thing in holdings.shelf("account").order[:1]]
    if call.may(bool, "meta", "run-sync"):
        query.set(outcome(call.now))
    else:
        holdings.begin_work(query, call.now, outcome, "completed")


create_graph_query = creating("graph-query", _query, event="submitted", after=_begin_query)
