"""Tells people about runs through any notifier of Airflow: the first failure, the recovery, what is unusual.

It keeps the last runs of each task in `notices/…` below the state path, so a task that fails every hour sends one
notice and not twenty-four. A notice holds counts, reasons, and ids as far as the task's XCom has them; never a value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.tasks.arguments import TEMPLATE_MARKS, as_text, is_given
from airflow_provider_persona.tasks.identity import TaskIdentity
from airflow_provider_persona.tasks.run_history import (
    PastRun,
    RunHistory,
    RunState,
    deviations,
    is_worth_a_notice,
)
from airflow_provider_persona.version_compat import AirflowFailException, BaseNotifier, context_merge

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_persona.bulk.ledger.report import Report

CONTEXT_KEY = "persona_notice"
"""Name of the notice in the templates of the notifier that sends it."""


@dataclass(frozen=True, slots=True)
class PersonaNotice:
    """What a notice says about a run.

    :param title: one line: which task, and what about it.
    :param text: all of it in plain text, the title first.
    :param state: `failed`, `recovered`, `unusual` or `deadline`.
    """

    title: str
    text: str
    state: str

    def __str__(self) -> str:
        return self.text


class PersonaRunNotifier(BaseNotifier):
    """Tells about a task's runs by another notifier, once for each change: first failure, recovery, unusual run.

    Give the same notifier to `on_failure_callback` and `on_success_callback` of a task, or through `default_args` to
    all of a Dag. It also takes a `DeadlineAlert` (Airflow 3.1 and later):
    `AsyncCallback(PersonaRunNotifier, kwargs={"notifier": "alerts.to_slack"})`.

    The notice of a bulk task has its report: counts, the most frequent reasons, and where plan and ledger are.

    :param notifier: who sends: a notifier that names the notice in its templates, like
        `SlackNotifier(text="{{ persona_notice }}")` (`persona_notice.title`, `.text` and `.state` are there too); a
        function that takes the notice and returns a notifier, which is used as it is, without rendering its templates;
        or the import path of either, which a `DeadlineAlert` needs.
    :param max_deviation: how many times more than usual is worth a notice, above 1: changes, failures or seconds; and
        how many times fewer changes. Usual is the median of the successful ones among the last 30 runs, once there
        are three. None: runs that succeed are not weighed.
    :param state_path: folder for the file with the last runs; by default the task's `state_path`, or `[persona]
        state_path`.
    :param context: Airflow's context, which a `DeadlineAlert` gives.
    :raises ValueError: when `max_deviation` is not above 1.
    """

    def __init__(
        self,
        notifier: BaseNotifier | Callable[[PersonaNotice], BaseNotifier] | str,
        *,
        max_deviation: float | None = 3.0,
        state_path: str | None = None,
        context: Context | None = None,
    ) -> None:
        super().__init__()
        if max_deviation is not None and max_deviation <= 1:
            raise ValueError(f"max_deviation is how many times the usual is too much, above 1, not {max_deviation}")
        self.notifier = notifier
        self.max_deviation = max_deviation
        self.state_path = state_path
        self.context = context or {}

    def notify(self, context: Context) -> None:
        """Send a notice, if there is something new to tell.

        :raises Exception: what the other notifier raises; the same is then told after the next run.
        """
        if "deadline" in context:
            self._send(_missed(context), context)
            return
        ti: Any = context["ti"]
        history = self._history(context)
        earlier = self._earlier(history)
        run, unusual = self._weighed(context, earlier)
        before = earlier[-1].state if earlier else None
        if is_worth_a_notice(run.state, before):
            self._send(_notice(context, ti, run.state, before, unusual), context)
        try:
            history.add(earlier, run)
        except Exception as error:  # noqa: BLE001 - a store that cannot be reached must not fail a callback that sent
            self.log.warning("The run is not kept for later notices (%s)", type(error).__name__)

    async def async_notify(self, context: Context) -> None:
        """Send a notice from the triggerer, where deadlines are watched; as `notify`."""
        await asyncio.to_thread(self.notify, context)

    def _send(self, notice: PersonaNotice, context: Context) -> None:
        found: Any = self.notifier
        if isinstance(found, str):
            found = _imported(found)
        if isinstance(found, BaseNotifier):
            # The notice goes in as a value, so nothing that stands in it is rendered. A notifier puts what it renders
            # in the place of its templates, so each notice takes a copy. Else the next one would render this text.
            sender = copy(found)
            context_merge(
                context, {CONTEXT_KEY: notice, **{name: getattr(sender, name) for name in sender.template_fields}}
            )
            sender.render_template_fields(context)
        else:
            sender = found(notice)
        # Not `sender(context)`: on Airflow 2.11 `BaseNotifier.__call__` logs what `notify` raises and returns, and a
        # notice that nobody got would count as sent.
        sender.notify(context)
        self.log.info("Sent: %s", notice.title)

    def _history(self, context: Context) -> RunHistory:
        from airflow_provider_persona.storage.run_folders import run_folder
        from airflow_provider_persona.tasks.state_path import state_root

        of_task = self._rendered(getattr(context.get("task"), "state_path", None), context)
        root = state_root(self.state_path or (of_task if is_given(of_task) else None))
        return RunHistory(run_folder(root, ["notices", *TaskIdentity.of(context["ti"]).task_parts]) / "runs.json")

    def _rendered(self, of_task: Any, context: Context) -> str | None:
        """Return the state path of the task; None for one that cannot be known here."""
        # After a task was killed, the Dag processor calls the callback, with a task that nobody has rendered.
        if isinstance(of_task, str) and not any(mark in of_task for mark in TEMPLATE_MARKS):
            return of_task
        if of_task is None:
            return None
        task: Any = context["task"]
        try:
            return as_text(task.render_template(of_task, context), "state_path")
        except Exception as error:  # noqa: BLE001 - a template may raise anything, and the notice must go out
            self.log.warning("The task's state_path is not known here (%s)", type(error).__name__)
            return None

    def _earlier(self, history: RunHistory) -> list[PastRun]:
        try:
            return history.read()
        except Exception as error:  # noqa: BLE001 - what fsspec's stores raise
            self.log.warning("The last runs are not known (%s), so this one counts as the first", type(error).__name__)
            return []

    def _weighed(self, context: Context, earlier: list[PastRun]) -> tuple[PastRun, list[str]]:
        ti: Any = context["ti"]
        report = _report_of(context)
        numbers: dict[str, Any] = {}
        if report is not None:
            numbers = {"changes": report.changes, "failures": report.failures, "seconds": report.seconds}
        if _has_failed(context):
            return PastRun(ti.run_id, RunState.FAILED, **numbers), []
        run = PastRun(ti.run_id, RunState.OK, **numbers)
        unusual = deviations(run, earlier, self.max_deviation) if self.max_deviation is not None else []
        return (PastRun(ti.run_id, RunState.UNUSUAL, **numbers) if unusual else run), unusual


def _has_failed(context: Context) -> bool:
    """Whether a callback is one after a failure; one of a task that was killed has no exception."""
    ti: Any = context["ti"]
    state = getattr(ti, "state", None)
    if context.get("exception") is not None or str(getattr(state, "value", state)) in ("failed", "up_for_retry"):
        return True
    # After a worker died, Airflow 3 calls the callback in the Dag processor, with a task instance that has neither a
    # state nor a start (`_execute_task_callbacks`, 3.3.2). It calls none there but those of failures.
    return state is None and getattr(ti, "start_date", None) is None


def _report_of(context: Context) -> Report | None:
    """Return what the task reports. A task that takes a run back keeps what it was given under the same name."""
    from airflow_provider_persona.bulk.ledger.report import Report

    found = getattr(context.get("task"), "report", None)
    return found if isinstance(found, Report) else None


def _notice(context: Context, ti: Any, state: RunState, before: RunState | None, unusual: list[str]) -> PersonaNotice:
    shown = "recovered" if state is RunState.OK else state.value
    title = f"Persona: {ti.dag_id}.{ti.task_id} {'is unusual' if shown == 'unusual' else shown}"
    lines = [title, *(f"Unusual: {each}" for each in unusual)]
    if before is RunState.FAILED and state is RunState.UNUSUAL:
        lines.append("The run before had failed.")
    report = _report_of(context)
    if report is not None:
        lines += [str(report), *(f"- {reason}" for reason in report.reasons)]
        lines += [f"Plan: {report.plan}", f"Ledger: {report.ledger}"]
    elif state is RunState.FAILED:
        lines.append(_told(context.get("exception")))
    lines.append(f"Run {ti.run_id}, try {ti.try_number}")
    if url := getattr(ti, "log_url", None):
        lines.append(f"Log: {url}")
    return PersonaNotice(title, "\n".join(lines), shown)


def _told(error: Any) -> str:
    """Return what an error says if it is ours; the text of another one may hold values."""
    from airflow_provider_persona.api.errors import ProviderError

    if not isinstance(error, BaseException):  # none on Airflow 3; on 2.11 a text of the scheduler's
        return "Airflow ended the task, or its worker died; the log has more"
    origin = error.__cause__ or error.__context__ if isinstance(error, AirflowFailException) else error
    return str(error) if isinstance(origin, ProviderError) else f"{type(error).__name__}; the log has more"


def _missed(context: Any) -> PersonaNotice:
    """Return the notice of a missed deadline; Airflow gives its callback plain data and no task."""
    run, deadline = (context.get(name) or {} for name in ("dag_run", "deadline"))
    title = f"Persona: {run.get('dag_id', 'a Dag')} missed its deadline"
    lines = [title, f"Run {run.get('dag_run_id') or run.get('run_id', '')} is {run.get('state', 'not over')}"]
    if due := deadline.get("deadline_time"):
        lines.append(f"It was due at {due}")
    return PersonaNotice(title, "\n".join(lines), "deadline")


def _imported(path: str) -> Any:
    from importlib import import_module

    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)
