"""A person decides whether a plan is applied (Airflow 3.1 and later)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.hooks.form import DEFAULT_CONN_ID
from airflow_provider_persona.links import PLAN_LINKS, PersonaPlanLink, PersonaTabLink, push_page_links
from airflow_provider_persona.tasks.failure import fail_without_retry
from airflow_provider_persona.version_compat import Param, answer_within, approval_operator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.bulk.plan.file import Plan
    from airflow_provider_persona.version_compat import XComArg

    _ApprovalOperator: Any
else:
    _ApprovalOperator = approval_operator()

_REASON = "reason"
_RESUMED_BY = "execute_complete"


class PersonaApprovalOperator(_ApprovalOperator):  # type: ignore[misc]  # another class before Airflow 3.1
    """Asks a person whether a plan is to be applied, and shows what is needed to decide.

    The question has the counts by `from -> to` status, why the other rows are left out, the thresholds with what was
    reached, a sample of the rows with links to Persona's dashboard, statuses that exist nowhere, what cannot be taken
    back, when it would be done, and the plan's hash. It holds ids and statuses and no other data of anybody, because
    Airflow keeps it. The counts come from the plan's file. Its hash is checked before anybody is asked.

    Returns to XCom, beside what Airflow's `ApprovalOperator` returns: `approved`; `approval` with `by`, `at` and
    `reason`; and only after an approval `plan` and `hash` of the plan that the person saw. Give this to
    `PersonaApplyPlanOperator(plan=approve.output)`: it applies that plan and no other, also when the planning task was
    cleared meanwhile, and keeps the approval on its ledger and in its report.

    The task reads the plan's file. Where tasks run on several machines, set `state_path` to an object store.

    :param plan: what the planning task returned, like `plan_task.output`.
    :param subject: the question in one line; by default made from the plan.
    :param body: Markdown that stands above what is made from the plan.
    :param samples: rows that are shown, 0 to 50.
    :param require_reason: whether an approval without a reason fails the task. Airflow keeps the reason, and so do
        ledger and report, so it must hold nobody's data.
    :param page_url: address of a page with all rows, to be linked; by default this task's own tab Persona, and its
        plan as CSV.
    :param response_timeout: how long to wait for an answer; None for ever.
    :param defaults: the answer when nobody gives one in time: `Reject`, `Approve`, or None to fail the task.
    :param params: further fields of the form, as for Airflow's operator; `reason` is taken.
    :param persona_conn_id: connection of type `persona`, for the address of the dashboard; nothing is sent to Persona.
    :param state_path: folder for plans and ledgers, as the planning task has it.
    :param trusted_paths: folders, or addresses in object stores, that the plan may come from beside the state path.
    :param kwargs: those of Airflow's `ApprovalOperator`, like `assigned_users` and `notifiers`.
    :raises AirflowOptionalProviderFeatureException: on Airflow before 3.1, when the Dag is parsed.
    :raises ValueError: when an argument makes no sense.
    """

    template_fields: Sequence[str] = ("plan", "subject", "body", "page_url", "persona_conn_id", "state_path")
    plan: Any
    subject: str | None
    body: str | None
    ui_color = "#dce6ff"
    operator_extra_links = PLAN_LINKS

    def __init__(
        self,
        *,
        plan: Mapping[str, Any] | str | XComArg,
        subject: str | None = None,
        body: str | None = None,
        samples: int = 10,
        require_reason: bool = False,
        page_url: str | None = None,
        response_timeout: timedelta | None = None,
        defaults: str | None = "Reject",
        params: Mapping[str, Any] | None = None,
        persona_conn_id: str = DEFAULT_CONN_ID,
        state_path: str | None = None,
        trusted_paths: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        own = _own_fields(params)
        fields = {_REASON: _reason_field(required=require_reason), **own}
        if _REASON in own:
            raise ValueError(f"params: the field {_REASON} is there already; give yours another name")
        if not isinstance(samples, int) or isinstance(samples, bool) or not 0 <= samples <= 50:
            raise ValueError(f"samples is a number of rows from 0 to 50, not {samples!r}")
        waiting = {} if response_timeout is None else answer_within(response_timeout)
        # Airflow's operator wants a text; None, set below, tells `_ask` that nobody has given one.
        super().__init__(subject=subject or "", body=body, defaults=defaults, params=fields, **waiting, **kwargs)
        self.plan = plan
        self.subject = subject
        self.samples = samples
        self.require_reason = require_reason
        self.page_url = page_url
        self.persona_conn_id = persona_conn_id
        self.state_path = state_path
        self.trusted_paths = trusted_paths

    def execute(self, context: Context) -> Any:
        """Check the plan, and ask.

        :raises AirflowFailException: when the plan is gone, edited, or another one.
        """
        with fail_without_retry():
            plan = self._asked_about()
            push_page_links(context, PersonaTabLink, PersonaPlanLink)
            self._ask(plan, context)
        self.log.info("Asking about plan %s", plan.header.hash)
        try:
            return super().execute(context)
        except BaseException as waiting:  # `TaskDeferred`, from 3.3 on `TaskAwaitingInput`: neither is an `Exception`
            # The answer may come days later. What was asked goes along with it, because the planning task may have been
            # cleared by then, and its XCom may name a plan that nobody has seen.
            if getattr(waiting, "method_name", None) == _RESUMED_BY:
                asked = {"plan": plan.uri, "hash": plan.header.hash, "created_at": plan.header.created_at}
                waiting.kwargs = {**(waiting.kwargs or {}), "asked": asked}  # type: ignore[attr-defined]
            raise

    def execute_complete(self, context: Context, event: dict[str, Any], asked: Mapping[str, Any] | None = None) -> Any:
        """Return the answer, and after an approval the plan that was approved.

        :raises AirflowFailException: when a reason is required and missing.
        """
        from airflow_provider_persona.bulk.errors import PlanError
        from airflow_provider_persona.bulk.ledger.report import Approval

        answer = super().execute_complete(context=context, event=event)
        user, fields = answer.get("responded_by_user"), answer.get("params_input") or {}
        by = user.get("name") or user.get("id") if isinstance(user, Mapping) else None
        given = {"by": by, "at": _iso(answer.get("responded_at")), "reason": fields.get(_REASON)}
        approval = Approval.of(given)
        assert approval is not None
        approved = answer["chosen_options"] == [self.APPROVE]
        if approved and self.require_reason and approval.reason is None:
            with fail_without_retry():
                raise PlanError("the plan was approved without a reason, and require_reason asks for one")
        result = {**answer, "approved": approved, "approval": approval.to_json()}
        return {**result, **(asked or {})} if approved else result

    def _asked_about(self) -> Plan:
        from airflow_provider_persona.tasks.named_plan import approved_plan, places_of_plans

        places = places_of_plans(self.state_path, self.trusted_paths)
        return approved_plan(self.plan, places, None, datetime.now(UTC))

    def _ask(self, plan: Plan, context: Context) -> None:
        """Put the question into subject and body. They are rendered by now, so nothing in them is a template."""
        from airflow_provider_persona.bulk.plan.digest import PlanDigest
        from airflow_provider_persona.hooks.persona import PersonaHook
        from airflow_provider_persona.tasks.approval import Question
        from airflow_provider_persona.tasks.arguments import read_back

        told, ti = read_back(self.plan) if isinstance(self.plan, str) else self.plan, context.get("ti")
        own = {"All rows": PersonaTabLink.address(ti), "Plan (CSV)": PersonaPlanLink.address(ti)} if ti else {}
        question = Question(
            digest=PlanDigest.of(plan, self.samples),
            told={**told, "plan": plan.uri},
            now=datetime.now(UTC),
            dashboard=PersonaHook(self.persona_conn_id).settings.dashboard_url,
            pages={"All rows": self.page_url} if self.page_url else own,
            note=self.body,
        )
        self.subject, self.body = self.subject or question.subject, question.body()


def _own_fields(params: Any) -> dict[str, Any]:
    """Return the fields that are the task's own; Airflow puts the Dag's params among them."""
    if not hasattr(params, "get_param"):
        return dict(params or {})
    found = {name: params.get_param(name) for name in params}
    return {name: field for name, field in found.items() if getattr(field, "source", None) != "dag"}


def _reason_field(*, required: bool) -> Param:
    """Return the field for the reason. A text that may be null is one that Airflow's form lets a person leave empty."""
    kind = "string" if required else ["null", "string"]
    text = "Kept on the ledger and in the report; write nobody's personal data here"
    return Param("" if required else None, type=kind, title="Reason", description=text)


def _iso(moment: Any) -> Any:
    return moment.isoformat(timespec="seconds") if hasattr(moment, "isoformat") else moment
