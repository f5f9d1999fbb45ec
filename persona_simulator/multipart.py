"""Bodies in parts, `multipart/form-data`, as what the same body would be in JSON."""

from __future__ import annotations

import base64
import json
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Final, cast

from persona_simulator.problems import bad_request

MULTIPART: Final = b"multipart/form-data"


def parse_multipart(body: bytes, content_type: bytes) -> dict[str, Any]:
    """Return a body in parts as nested objects: `data[attributes][list-id]` is a key in a key in a key.

    A file becomes `{"data": base64, "filename": name}`, as it would be sent in JSON.

    :raises RefusedError: 400 when the parts cannot be read, or contradict one another.
    """
    message = message_from_bytes(b"Content-Type: " + content_type + b"\r\n\r\n" + body, policy=policy.HTTP)
    if not message.is_multipart() or message.defects:
        raise bad_request("The request body is not valid multipart")
    whole: dict[str, Any] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        *above, last = str(name or "").replace("]", "").split("[")
        place: Any = whole
        for key in above:
            place = place.setdefault(key, {}) if isinstance(place, dict) else None
        if not last or not isinstance(place, dict):
            raise bad_request("The request body has a part without a place")
        place[last] = _value(cast(EmailMessage, part))
    return whole


def _value(part: EmailMessage) -> Any:
    content = cast(bytes, part.get_payload(decode=True) or b"")
    filename = part.get_filename()
    if filename is not None:
        return {"data": base64.b64encode(content).decode(), "filename": filename}
    text = content.decode("utf-8", "replace")
    if part.get_content_type() != "application/json":
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise bad_request("The request body is not valid JSON") from None
