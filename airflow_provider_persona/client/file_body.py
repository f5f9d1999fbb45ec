"""The body of an answer that is a file: streamed to a file as it arrives, within a limit, and in full or not at all."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from airflow_provider_persona.api.errors import PersonaAnswerError
from airflow_provider_persona.client.unpacking import BrokenOffError, UnknownEncodingError, Unpacker

if TYPE_CHECKING:
    import requests

    from airflow_provider_persona.client.wire import Wire

UNPACKED: Final = {"Accept-Encoding": "identity"}
"""Header that asks for a file as it is: packed on the way, its length on arrival would not be known."""

_CHUNK: Final = 64 * 1024


def copy_body(
    answer: requests.Response,
    sink: IO[bytes],
    *,
    wire: Wire,
    limit: int,
    what: str,
    operation_id: str | None = None,
) -> int:
    """Write the body of an answer to a file, in place of what is there, and return its size in bytes.

    :param sink: a file open for writing.
    :param wire: the request; the file must be there in full by its deadline.
    :param limit: bytes that the file may have at most.
    :param what: what the file is, for errors.
    :param operation_id: for errors.
    :raises PersonaAnswerError: when the file is larger than the limit, or packed in a way that was not asked for.
    :raises BrokenOffError: when less arrives than was promised; `TooLateError` when it takes too long.
    """
    try:
        unpacker = Unpacker(answer.headers.get("Content-Encoding"))
    except UnknownEncodingError:
        message = f"{what} came packed in a way that was not asked for"
        raise PersonaAnswerError(message, operation_id=operation_id) from None
    too_large = PersonaAnswerError(
        f"{what} is larger than {limit} bytes; raise max_bytes if it is meant to be", operation_id=operation_id
    )
    promised = _length(answer)
    if (promised or 0) > limit:
        raise too_large
    sink.seek(0)
    sink.truncate()
    received = size = 0
    while chunk := answer.raw.read1(_CHUNK, decode_content=False):
        received += len(chunk)
        for unpacked in unpacker.unpack(chunk):
            size += len(unpacked)
            if size > limit:
                raise too_large
            sink.write(unpacked)
        wire.left()  # bytes that wait in a buffer cost no read of the socket
    if not unpacker.is_whole or promised not in (None, received):
        raise BrokenOffError("the file broke off")
    return size


def _length(answer: requests.Response) -> int | None:
    promised = answer.headers.get("Content-Length", "")
    return int(promised) if promised.isascii() and promised.isdecimal() else None
