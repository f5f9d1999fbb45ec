"""The FastAPI app behind the pages, which Airflow's API server mounts under `/persona`. Needs Airflow 3.1 or later.

A mounted app authenticates nothing by itself. So each route asks Airflow's own dependencies who the user is and whether
they may read the task instances and the XCom of the Dag in the path. Only the static files and their types are open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import resources
from typing import Annotated, Any, Final, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException as AnyHTTPException

from airflow_provider_persona.bulk.errors import BulkError
from airflow_provider_persona.bulk.ledger.row_index import RowFilter
from airflow_provider_persona.bulk.ledger.shown_rows import rows_of_plan
from airflow_provider_persona.pages.answers import (
    header_answer,
    index_answer,
    limit_answer,
    rows_answer,
    task_answer,
)
from airflow_provider_persona.pages.csv_lines import ledger_csv, plan_csv
from airflow_provider_persona.pages.headers import SafeHeaders
from airflow_provider_persona.pages.run_files import CannotReadError, RunFiles
from airflow_provider_persona.pages.task_records import (
    REVERT_DAG,
    TaskRecords,
    approvals_of,
    list_records,
    records_of,
    revert_dag,
)
from airflow_provider_persona.tasks.identity import TaskIdentity

_SECONDS: Final = 1.0
"""How long one request reads plan and ledger. A page asks again until all is read."""
_LONGEST: Final = 600.0
"""The same for a download, which has to read all."""
_RUNS_ON_A_PAGE: Final = 25
_TYPES: Final = {".css": "text/css", ".js": "text/javascript"}

_MAY_READ_TASKS: Final = [
    Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.TASK_INSTANCE)),
    Depends(requires_access_dag(method="GET", access_entity=DagAccessEntity.XCOM)),
]
_OF_A_TASK: Final = "{dag_id}/{task_id}/{map_index}/{run_id:path}"
"""A run's id may hold anything, a slash too, so it comes last."""


def task_address(dag_id: str, task_id: str, map_index: str, run_id: str) -> TaskIdentity:
    """Return the task that a path names. Airflow leaves its placeholder for the index where a task is not mapped."""
    # Nine digits: a database takes no number that is much longer, and Python reads none of more than 4,300.
    is_number = map_index.isdecimal() and len(map_index) <= 9
    return TaskIdentity(dag_id, run_id, task_id, int(map_index) if is_number else -1)


AddressDep = Annotated[TaskIdentity, Depends(task_address)]


def task_records(address: AddressDep, session: SessionDep) -> TaskRecords:
    """Return what is known of the task that a path names."""
    found = records_of(session, address)
    if found is None:
        raise HTTPException(404, "There is no such task instance")
    return found


RecordsDep = Annotated[TaskRecords, Depends(task_records)]


def build() -> Any:
    """Return the app, with what it sends wrapped in headers that browsers are to obey."""
    app = FastAPI(title="Persona", docs_url=None, redoc_url=None, openapi_url=None)
    files = RunFiles()
    _add_pages(app)
    _add_data(app, files)
    _add_downloads(app, files)
    return SafeHeaders(app)


def _add_pages(app: FastAPI) -> None:
    @app.get("/task/" + _OF_A_TASK, dependencies=_MAY_READ_TASKS)
    def task_page(request: Request) -> HTMLResponse:
        return _page(request, "task")

    @app.get("/runs", dependencies=_MAY_READ_TASKS)
    def runs_page(request: Request) -> HTMLResponse:
        return _page(request, "runs")

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        found = _STATIC.get(name)  # of a dictionary that is filled at import, so that no name can be a path
        if found is None:
            raise HTTPException(404, "There is no such file")
        return Response(found, media_type=_TYPES[name[name.rindex(".") :]])

    @app.exception_handler(AnyHTTPException)
    def refuse(request: Request, error: AnyHTTPException) -> Response:
        # A person gets a page, in the frame of Airflow's tab; a script gets JSON.
        if request.url.path.startswith((f"{_root(request)}/task/", f"{_root(request)}/runs")):
            return _page(request, "refused", error.status_code)
        return JSONResponse({"detail": error.detail}, error.status_code)

    @app.exception_handler(CannotReadError)
    def explain(_: Request, error: CannotReadError) -> Response:
        return JSONResponse({"detail": str(error)}, 409)


def _add_data(app: FastAPI, files: RunFiles) -> None:
    @app.get("/data/task/" + _OF_A_TASK, dependencies=_MAY_READ_TASKS)
    def task(records: RecordsDep, session: SessionDep, user: GetUserDep) -> Response:
        answer: dict[str, Any] = {**task_answer(records), "approvals": [], "files": None, "why": None}
        answer["limit_use"] = limit_answer(records)
        may_revert = _may(user, REVERT_DAG, DagAccessEntity.RUN, method="POST")
        answer["revert"] = revert_dag(session) if may_revert else None
        try:
            with files.index_of(records, _readable_by(user), _SECONDS) as (index, is_complete):
                answer["plan"] |= header_answer(index.plan.header) | {"address": index.plan.uri}
                answer["files"] = index_answer(index, is_complete=is_complete)
        except CannotReadError as error:
            answer["why"] = str(error)
        wanted = answer["plan"]["hash"]
        if wanted and _may(user, records.address.dag_id, DagAccessEntity.HITL_DETAIL):
            answer["approvals"] = [asdict(each) for each in approvals_of(session, records.address, wanted)]
        return _json(answer)

    @app.get("/data/rows/" + _OF_A_TASK, dependencies=_MAY_READ_TASKS)
    def rows(
        records: RecordsDep,
        user: GetUserDep,
        page: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        state: str | None = None,
        reason: str | None = None,
        transition: str | None = None,
        object_id: str | None = None,
    ) -> Response:
        wanted = RowFilter(state or None, reason or None, transition or None, object_id or None)
        try:
            with files.index_of(records, _readable_by(user), _SECONDS) as (index, is_complete):
                return _json(rows_answer(index, wanted, page) | {"is_complete": is_complete})
        except (BulkError, OSError) as error:
            raise CannotReadError(str(error)) from error

    @app.get("/data/runs", dependencies=_MAY_READ_TASKS)
    def runs(
        session: SessionDep, user: GetUserDep, page: Annotated[int, Query(ge=0, le=1_000_000)] = 0, dag: str = ""
    ) -> Response:
        readable = get_auth_manager().get_authorized_dag_ids(user=user, method="GET", session=session)
        may_see = _readable_by(user)
        total, found = list_records(
            session,
            lambda dag_id: dag_id in readable and may_see(dag_id),
            first=page * _RUNS_ON_A_PAGE,
            size=_RUNS_ON_A_PAGE,
            named=dag.strip(),
        )
        return _json(
            {
                "total": total,
                "page": page,
                "pages": max(1, -(-total // _RUNS_ON_A_PAGE)),
                "size": _RUNS_ON_A_PAGE,
                "runs": [task_answer(records) for records in found],
            }
        )


def _add_downloads(app: FastAPI, files: RunFiles) -> None:
    @app.get("/csv/plan/" + _OF_A_TASK, dependencies=_MAY_READ_TASKS)
    def plan(records: RecordsDep, user: GetUserDep) -> Response:
        with files.index_of(records, _readable_by(user), 0) as (index, _):
            lines = plan_csv(rows_of_plan(index.plan))
        return _download(lines, records, "plan")

    @app.get("/csv/ledger/" + _OF_A_TASK, dependencies=_MAY_READ_TASKS)
    def ledger(records: RecordsDep, user: GetUserDep) -> Response:
        with files.index_of(records, _readable_by(user), _LONGEST) as (index, is_complete):
            if not index.with_ledger:
                raise CannotReadError("Nothing of this plan was applied yet, so there is no ledger")
            if not is_complete:  # a file without its last rows would look whole
                raise CannotReadError("The ledger is so long that it is not read yet; download it again in a moment")
            lines = ledger_csv(index.results())
        return _download(lines, records, "ledger")


def _json(answer: dict[str, Any]) -> Response:
    """Return an answer as a browser can read it, whatever somebody has put into an XCom or a ledger.

    JSON of ASCII only, because half of a character cannot be sent as UTF-8. A number that JSON does not have is null.
    """
    readable = json.loads(json.dumps(answer), parse_constant=lambda _: None)
    return Response(json.dumps(readable), media_type="application/json")


def _page(request: Request, name: str, status: int = 200) -> HTMLResponse:
    # A proxy may set it by a header, and it goes into attributes of the page.
    root = _root(request).replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return HTMLResponse(_HTML[name].replace("{{root}}", root), status)


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _readable_by(user: Any) -> Callable[[str], bool]:
    """Return what tells whether a user may read the tasks and the XCom of a Dag."""
    return lambda dag_id: all(
        _may(user, dag_id, entity) for entity in (DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
    )


def _may(user: Any, dag_id: str, entity: DagAccessEntity, *, method: Literal["GET", "POST"] = "GET") -> bool:
    # Through the dependency itself, so that teams and whatever comes later count here as on Airflow's own pages.
    try:
        requires_access_dag(method=method, access_entity=entity, param_dag_id=dag_id)(None, user)  # type: ignore[arg-type]
    except HTTPException:
        return False
    return True


def _download(lines: Iterator[bytes], records: TaskRecords, what: str) -> StreamingResponse:
    # It goes into a header, where a quote or a line break would begin something else.
    name = "".join(one if one.isascii() and (one.isalnum() or one in "-_.") else "_" for one in records.address.task_id)
    headers = {"Content-Disposition": f'attachment; filename="persona-{name[:80]}-{what}.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def _read_all(*suffixes: str) -> dict[str, str]:
    folder = resources.files("airflow_provider_persona.pages").joinpath("static")
    return {found.name: found.read_text("utf-8") for found in folder.iterdir() if found.name.endswith(suffixes)}


_STATIC: Final = _read_all(*_TYPES)
_HTML: Final = {name.removesuffix(".html"): text for name, text in _read_all(".html").items()}
