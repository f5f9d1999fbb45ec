"""Answers that are files: fetch them with a limit, check them, and put them where the user wants them."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final

from airflow_provider_persona.api.errors import PersonaAnswerError, PersonaConflictError

if TYPE_CHECKING:
    from airflow_provider_persona.api.messages import Request
    from airflow_provider_persona.hooks.persona import PersonaHook

MAX_BYTES: Final = 100_000_000
"""Bytes that a file may have unless the user says otherwise. Persona's own limit for an upload is a tenth of it."""
OUTPUT_DOC: Final = "a local path or an address in an object store; with a slash at its end a folder."
LIMIT_DOC: Final = "bytes that the file may have at most."


def fetch_file(hook: PersonaHook, request: Request, output_path: str, *, max_bytes: int, name: str) -> dict[str, Any]:
    """Fetch a file and put it at `output_path`; return `uri`, `size` in bytes and `content_type`.

    The file appears whole or not at all. Only its owner can read a local one.

    :param hook: the hook; its connection is used.
    :param request: the request of an operation that answers with a file.
    :param output_path: a local path or an address in an object store; with a slash at its end a folder.
    :param max_bytes: bytes that the file may have at most.
    :param name: name of the file in a folder, without suffix.
    :raises PersonaAnswerError: when it is too large, empty, or of another type than promised.
    :raises StoreError: when it cannot be written there.
    """
    from airflow_provider_persona.client.file_client import file_client
    from airflow_provider_persona.storage.whole_files import scratch_file

    with scratch_file() as gathered:
        with file_client(hook.settings, gathered, max_bytes, policy=hook.policy) as client:
            try:
                response = client.send(request)
            except PersonaConflictError as error:
                error.retryable = True  # Persona cannot make the file yet, and may later
                raise
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        size = gathered.tell()
        # Before it is put: what stands at `output_path` stays there when the answer is no file.
        _check(request, content_type, size, response.request_id)
        target = _target(output_path, name, ".pdf" if content_type == "application/pdf" else "")
        return {"uri": _put(gathered, target), "size": size, "content_type": content_type}


def _check(request: Request, content_type: str, size: int, request_id: str | None) -> None:
    """Make sure that the answer is a file of the wanted kind, and not an error page with status 200."""
    promised_pdf = request.path.endswith("/print")
    if promised_pdf and content_type != "application/pdf":
        problem = f"is {content_type or 'of no named type'}, not application/pdf"
    elif content_type in ("application/json", "text/html"):
        problem = f"is {content_type}, which is no file"
    elif not size:
        problem = "is empty"
    else:
        return
    raise PersonaAnswerError(
        f"the answer to {request.operation_id} {problem}; nothing was written",
        request_id=request_id,
        operation_id=request.operation_id,
    )


def _target(output_path: str, name: str, suffix: str) -> str:
    if not output_path.endswith("/"):
        return output_path
    return output_path + (name if name.endswith(suffix) else name + suffix)


def _put(file: IO[bytes], address: str) -> str:
    """Write a file to a local path or an object store, and return its address.

    :raises StoreError: when it cannot be written there.
    """
    from airflow_provider_persona.storage.errors import StoreError
    from airflow_provider_persona.storage.paths import shown
    from airflow_provider_persona.storage.whole_files import put_whole
    from airflow_provider_persona.tasks.state_path import store_path

    try:
        path = store_path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
    except Exception as error:  # fsspec's stores raise what their libraries raise
        raise StoreError(
            f"there is no folder for {address}, and it cannot be made ({type(error).__name__}); check output_path",
            retryable=True,
        ) from error
    put_whole(file, path)
    return shown(path)
