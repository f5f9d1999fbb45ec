"""Mappings, lists, numbers and truth values that templates made a text of, sent as what they mean."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime

import pytest

from airflow_provider_persona.api.errors import PersonaSettingsError
from airflow_provider_persona.api.lifecycle import labels
from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.operators import accounts, api_keys, case_actions, inquiries, lists
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.tasks.arguments import (
    as_bool,
    as_mapping,
    as_mappings,
    as_names,
    as_number,
    as_strict_number,
    as_text,
)
from airflow_provider_persona.version_compat import DAG
from tests.operators.test_named_operators import NAMED

FIELDS = {"name-first": "Ada", "vip": True, "score": None}


@pytest.fixture
def run(run_dag, persona_connection):
    """Run one operator in a Dag, its templates rendered to text by Airflow; returns the object it made or changed."""

    def run_operator(operator, params, **arguments):
        start = datetime(2026, 1, 1, tzinfo=UTC)
        with DAG("rendered", schedule=None, start_date=start, catchup=False, params=params) as dag:
            operator(task_id="call", **arguments)
        instance = run_dag(dag).get_task_instance("call")
        assert str(instance.state) == "success"
        return persona_connection.object(instance.xcom_pull(task_ids="call"))["attributes"]

    return run_operator


@pytest.mark.parametrize("template", ["{{ params.given }}", "{{ params.given | tojson }}"])
def test_a_mapping_arrives_as_a_mapping(run, template):
    made = run(
        inquiries.PersonaCreateInquiryOperator,
        {"given": {"name-first": "Ada"}},
        inquiry_template_id="itmpl_kyc",
        fields=template,
    )
    assert made["fields"]["name-first"]["value"] == "Ada"


@pytest.mark.parametrize("template", ["{{ params.given }}", "{{ params.given | tojson }}"])
def test_a_list_of_names_arrives_as_a_list(run, template):
    given = {"given": ["a", "b"]}
    made = run(accounts.PersonaCreateAccountOperator, given, reference_id="r", tags=template)
    assert made["tags"] == ["a", "b"]
    tagged = run(accounts.PersonaTagAccountOperator, given, account_id="act_sim000001", add_tags=template)
    assert {"a", "b"} <= set(tagged["tags"])


def test_permissions_of_a_key_arrive_as_a_list(run):
    made = run(
        api_keys.PersonaCreateApiKeyOperator,
        {"given": ["case.read"]},
        name="k",
        permissions="{{ params.given }}",
        deliver=lambda key: None,
    )
    assert made["permissions"] == ["case.read"]


def test_objects_arrive_as_a_list(run_dag, persona_connection):
    persona_connection.add_objects("inq_attach")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DAG("rendered", schedule=None, start_date=start, catchup=False, params={"given": ["inq_attach"]}) as dag:
        case_actions.PersonaAddCaseObjectsOperator(
            task_id="call", case_id="case_sim000001", object_ids="{{ params.given }}"
        )
    assert str(run_dag(dag).get_task_instance("call").state) == "success"


@pytest.mark.parametrize("template", ["{{ params.given }}", "{{ params.given | tojson }}", "fraud.example"])
def test_an_item_of_a_list_is_a_text_or_an_object(run, template):
    item = {"value": "fraud.example", "match-type": "domain"}
    made = run(
        lists.PersonaAddListItemOperator,
        {"given": item},
        kind="email-address",
        list_id="lst_email_address",
        item=template,
    )
    assert made["value"] == "fraud.example"
    assert made["match-type"] == ("email_address" if template == "fraud.example" else "domain")


def test_a_body_rendered_as_python_writes_it_arrives_too(run):
    made = run(
        PersonaOperator,
        {"given": {"data": {"attributes": {"reference-id": "r-9"}}}},
        operation_id="create-an-account",
        body="{{ params.given }}",
    )
    assert made["reference-id"] == "r-9"


@pytest.mark.parametrize("text", [json.dumps(FIELDS), repr(FIELDS), f"\n {FIELDS} "])
def test_a_mapping_is_read_back(text):
    assert as_mapping(text, "fields") == FIELDS
    assert as_mapping(FIELDS, "fields") is FIELDS


@pytest.mark.parametrize("given", [["a"], ("a",), {"a"}, "['a']", '["a"]', "('a',)"])
def test_names_are_read_back(given):
    assert as_names(given, "tags") == ["a"]


@pytest.mark.parametrize("read", [as_bool, as_names, as_number, as_mapping])
@pytest.mark.parametrize("nothing", [None, "", "None", " none "])
def test_what_templates_make_of_nothing_is_not_given(read, nothing):
    assert read(nothing, "x") is None


@pytest.mark.parametrize(
    ("read", "given"),
    [
        (as_mapping, "Mirabellenbaum"),
        (as_mapping, "['Mirabellenbaum']"),
        (as_mapping, "{{ 'Mirabellenbaum' }}"),
        (as_mapping, ["Mirabellenbaum"]),
        (as_mapping, 7),
        (as_names, "Mirabellenbaum"),
        (as_names, "{'Mirabellenbaum': 1}"),
        (as_names, {"Mirabellenbaum": 1}),
        (as_names, ["Mirabellenbaum", None]),
        (as_names, [""]),
        (as_names, 7),
        (as_names, "{['Mirabellenbaum']: 1}"),
        (as_names, "-" * 10_000 + "1"),
        (as_mappings, ["Mirabellenbaum"]),
        (as_mappings, {"Mirabellenbaum": 1}),
        (as_mappings, "{{}, 'Mirabellenbaum'}"),
        (as_number, "Mirabellenbaum"),
        (as_number, "nan"),
        (as_number, "inf"),
        (as_number, "1e999"),
        (as_bool, "Mirabellenbaum"),
    ],
)
def test_what_is_of_another_kind_is_named_and_not_shown(read, given):
    with pytest.raises(BadCallError, match="the_argument") as told:
        read(given, "the_argument")
    assert "Mirabellenbaum" not in str(told.value)


@pytest.mark.parametrize("number", [1e-05, 1e16, 0.5, 7, -3])
def test_a_number_is_read_back_from_what_a_template_makes_of_it(number):
    assert as_number(str(number), "x") == number


@pytest.mark.parametrize("text", ["{[1]: 2}", "[" + "-" * 10_000 + "1]"])
def test_a_text_that_python_cannot_read_is_no_list_of_statuses(text):
    with pytest.raises(PersonaSettingsError, match="statuses are given"):
        labels(text)


@pytest.mark.parametrize("text", ["true", "True", "FALSE"])
def test_truth_values_are_read_back(text):
    assert as_bool(text, "x") is (text == text.capitalize() == "True" or text == "true")


@pytest.mark.parametrize("operator", NAMED, ids=lambda each: each.__name__)
def test_every_argument_has_the_kind_that_its_annotation_says(operator):
    readers = {
        "Mapping[str, Any]": as_mapping,
        "bool": as_bool,
        "Sequence[str]": as_names,
        "int | float": as_strict_number,
        "str": as_text,
    }
    annotated = inspect.signature(operator).parameters
    for name, argument in operator.arguments.items():
        if argument.body is not None:
            assert argument.reader is readers[str(annotated[name].annotation).removesuffix(" | None")], name
