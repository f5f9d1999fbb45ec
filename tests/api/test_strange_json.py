"""Answers in JSON that other programs would not write: what cannot be kept costs its own value, not the answer."""

from __future__ import annotations

import codecs
import json

import pytest

from airflow_provider_persona.api.messages import Response


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"\\ud83d\\ude00 \\ud83d"', "\U0001f600 \ufffd"),
        ('{"\\udc00": ["\\ud83d", 1]}', {"\ufffd": ["\ufffd", 1]}),
        (r'"\\ud83d"', r"\ud83d"),
        ("[NaN, Infinity, -Infinity, 1e999, -1e999, 1.5, 1e3]", [None] * 5 + [1.5, 1000.0]),
        ('{"id": "a", "id": "b"}', {"id": "b"}),
        ("1" * 400, int("1" * 400)),
        ("[7, -" + "1" * 5000 + "]", [7, None]),
    ],
)
def test_what_no_file_or_database_takes_costs_its_own_value(text: str, found: object) -> None:
    assert Response(200, {}, text.encode()).json() == found
    assert json.dumps(found, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "utf-32-be"])
def test_every_encoding_of_unicode_is_read(encoding: str) -> None:
    assert Response(200, {}, '{"name": "J\u00e9r\u00f4me"}'.encode(encoding)).json() == {"name": "J\u00e9r\u00f4me"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b'{"name": "J\xe9r"}',
        b'{"name": "\xed\xa0\x80"}',
        codecs.BOM_UTF8 * 2 + b"{}",
        b"{} {}",
        b"{}\0",
        b"[" * 301 + b"]" * 301,
        b"[" * 200_000,
        b'["\\ud800"' + b",[" * 400 + b"]" * 401,
    ],
)
def test_what_is_no_json_is_refused_in_one_way(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Response(200, {}, content).json()
    assert isinstance(caught.value, ValueError)
