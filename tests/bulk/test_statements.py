"""What is read of a statement before a database sees it, as tables: is it one, is it empty, does it write."""

from __future__ import annotations

import pytest

from airflow_provider_persona.bulk.source.statements import holds_several, is_empty, writing_word


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("SELECT 1", None),
        ("(SELECT 1)", None),
        ("VALUES (1)", None),
        ("SHOW TABLES", None),
        ("-- insert\nSELECT 'insert'", None),
        ("WITH a AS (DELETE FROM x RETURNING b) SELECT REPLACE(b, 'c', 'd') FROM a FOR UPDATE", None),
        ("/* a */ Insert INTO x VALUES (1)", "INSERT"),
        ("WITH RECURSIVE a AS (SELECT 1) DELETE FROM x", "DELETE"),
        ("WITH RECURSIVE a AS (SELECT 1), b AS (SELECT 2) UPDATE x SET y = 1", "UPDATE"),
        ("WITH merge AS (SELECT 1) SELECT * FROM merge", None),
        ("WITH RECURSIVE a (b, c) AS (SELECT 1, 2), update (x) AS (SELECT 2) SELECT 1", None),
        ("TRUNCATE x", "TRUNCATE"),
        ("(DELETE FROM x)", "DELETE"),
        ("; /* a */ ((DROP TABLE x))", "DROP"),
        ("  ", None),
        ("SELECT 1 UNION DELETE FROM x", None),
        ("(WITH a AS (SELECT 1) INSERT INTO x SELECT 1)", None),
        ("WITH a AS (SELECT (1)) DELETE FROM x", "DELETE"),
        ("WITH a AS (SELECT ((1)), (2)), b AS (SELECT 1) MERGE INTO x", "MERGE"),
        ("WITH RECURSIVE delete AS (SELECT 1) SELECT 1", None),
        ("with recursive insert as (select 1) select 1", None),
        ("WITH a AS MATERIALIZED (SELECT 1) UPDATE x SET y = 1", "UPDATE"),
        ("WITH a AS (SELECT 1) SELECT 1; DELETE FROM x", None),
    ],
)
def test_a_query_is_told_from_what_writes(sql: str, word: str | None) -> None:
    assert writing_word(sql) == word


@pytest.mark.parametrize(
    ("sql", "several"),
    [
        ("SELECT 1", False),
        ("SELECT 1;;; ", False),
        ("SELECT ';x', \";y\", $$;z$$, $a$;$$;$a$ -- ;\n/* ; /* ; */ ; */;", False),
        (r"SELECT E'it\'s; x'", False),
        ("SELECT 'it''s; x'", False),
        (r"SELECT 'a\'; SELECT 2", True),  # a backslash means nothing in a plain string
        ("SELECT $1; SELECT $2", True),
        ("SELECT 1 /* a */; /* b */ SELECT 2", True),
        ("SELECT a$$ FROM t; SELECT b$$ FROM t", True),  # dollars in a name
        ("SELECT 'open; SELECT 2", True),
        ("SELECT 1 /* a /* b */ ; */ ; SELECT 2", True),
        ("SELECT 1 /* a /* b /* c */ */ ; SELECT 2 */", False),
        ("SELECT 1 /* a */ ; /* b /* c */ */", False),
        ("/* a */ /* b */ SELECT 1 ; SELECT 2", True),
        ("SELECT 1; /* open", False),
        ("SELECT 1; -- SELECT 2", False),
    ],
)
def test_statements_are_told_apart_as_postgresql_does(sql: str, several: bool) -> None:
    assert holds_several(sql) is several


@pytest.mark.parametrize(
    ("sql", "empty"),
    [
        ("", True),
        (" \n\t", True),
        ("; ;", True),
        ("-- nothing\n; /* nothing */", True),
        ("-- nothing\nSELECT 1", False),
        ("; x", False),
        ("'';", False),
        ("/* a */ b", False),
    ],
)
def test_a_statement_without_a_word_is_empty(sql: str, empty: bool) -> None:
    assert is_empty(sql) is empty
