"""What the metaclass makes of declared arguments: `__init__`, templates, documentation, and clear errors."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.operators import accounts, case_actions, inquiries
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.tasks.arguments import Text
from airflow_provider_persona.tasks.call_arguments import body, path
from airflow_provider_persona.tasks.call_operator import PersonaCallOperator
from airflow_provider_persona.tasks.declared_arguments import argument
from airflow_provider_persona.tasks.private_templates import Concealed
from airflow_provider_persona.version_compat import DAG, BaseOperator
from tests.operators.test_named_operators import NAMED

START = datetime(2026, 1, 1, tzinfo=UTC)


def _dag(**arguments: Any) -> DAG:
    return DAG("declared", schedule=None, start_date=START, catchup=False, **arguments)


class OwnOperator(PersonaCallOperator):
    """One that somebody writes for a Dag of their own."""

    operation_id = "approve-an-inquiry"
    inquiry_id: str = path("inquiry-id", "the inquiry.")
    comment: str | None = body("meta.comment", "why.", default=None, private=True)


class FurtherOperator(OwnOperator):
    """One that inherits from it."""

    comment: str | None = body(
        "meta.comment", "why, as the risk team says it.", default="by the risk team", private=True
    )
    reasons: list[str] | None = body("meta.reasons", "further reasons.", default=None)


def _called(operator: PersonaCallOperator) -> Mapping[str, Any]:
    (call,) = operator.calls()
    return {"path": call.path, "body": call.body}


# ---------------------------------------------------------------------- what a class gets


def test_an_inherited_argument_can_get_another_default_and_a_class_further_ones():
    assert _called(OwnOperator(task_id="a", inquiry_id="inq_1")) == {"path": {"inquiry-id": "inq_1"}, "body": None}
    further = FurtherOperator(task_id="b", inquiry_id="inq_1", reasons="['x', 'y']")
    assert further.comment == "by the risk team"
    assert _called(further)["body"] == {"meta": {"comment": "by the risk team", "reasons": ["x", "y"]}}
    further.comment = "rendered"
    assert isinstance(further.comment, Concealed)
    assert FurtherOperator(task_id="c", inquiry_id="inq_1", comment=None).comment is None
    assert set(FurtherOperator.template_fields) == {"inquiry_id", "comment", "reasons", "persona_conn_id"}


def test_an_init_of_ones_own_still_works():
    class ByReference(OwnOperator):
        def __init__(self, *, reference: str, **kwargs: Any) -> None:
            super().__init__(inquiry_id=f"inq_{reference}", **kwargs)

    made = ByReference(task_id="a", reference="7", comment="c")
    assert _called(made) == {"path": {"inquiry-id": "inq_7"}, "body": {"meta": {"comment": "c"}}}


def test_no_declaration_is_left_where_a_value_is_looked_for():
    assert not hasattr(OwnOperator, "inquiry_id")
    assert list(inspect.signature(OwnOperator).parameters)[:2] == ["inquiry_id", "comment"]


@pytest.mark.parametrize("operator", [*NAMED, PersonaOperator], ids=lambda each: each.__name__)
def test_help_tells_of_every_argument_and_what_is_not_kept(operator):
    text = " ".join(pydoc.plain(pydoc.render_doc(operator)).replace("|", "").split())
    for name, each in operator.arguments.items():
        assert f":param {name}:" in text
        assert each.doc.endswith((".", ", or", ", and"))
    described = {name: text.partition(f":param {name}:")[2].partition(":param ")[0] for name in operator.arguments}
    if operator is not PersonaOperator:  # which says it of three arguments at once
        private = {name for name, each in operator.arguments.items() if each.template is not None}
        assert {name for name, said in described.items() if "Not kept by Airflow." in said} == private


@pytest.mark.parametrize("operator", [*NAMED, PersonaOperator], ids=lambda each: each.__name__)
def test_an_operator_stands_on_one_base_of_ours(operator):
    ours = [each for each in operator.__mro__[1:] if each.__module__.startswith("airflow_provider_persona")]
    assert ours == [PersonaCallOperator]


def test_a_declaration_that_cannot_work_is_an_error_where_it_stands():
    with pytest.raises(TypeError, match=r"NoType\.comment is declared without a type"):

        class NoType(PersonaCallOperator):
            comment = body("meta.comment", "why.")

    with pytest.raises(TypeError, match=r"Unknown\.when has the type datetime \| None, which no reader is known for"):

        class Unknown(PersonaCallOperator):
            when: datetime | None = body("meta.when", "when.", default=None)

    class Read(PersonaCallOperator):
        operation_id = "approve-an-inquiry"
        inquiry_id: Text = path("inquiry-id", "the inquiry.")
        seconds: timedelta = argument("how long.", default=timedelta(0), reader=lambda value, name: value.seconds)

    assert Read(task_id="a", inquiry_id="inq_1", seconds=timedelta(seconds=5)).values()["seconds"] == 5


# ---------------------------------------------------------------------- what a Dag gives


def test_default_args_reach_arguments_of_the_class_and_of_its_base():
    with _dag(default_args={"comment": "by default", "persona_conn_id": "other", "result": "none", "retries": 4}):
        made = inquiries.PersonaApproveInquiryOperator(task_id="a", inquiry_id="inq_1")
        own = inquiries.PersonaApproveInquiryOperator(task_id="b", inquiry_id="inq_1", comment="own")
    assert (made.comment, made.persona_conn_id, made.result, made.retries) == ("by default", "other", "none", 4)
    assert own.comment == "own"


def test_what_must_be_given_may_come_from_default_args():
    with _dag(default_args={"inquiry_id": "inq_1"}):
        assert inquiries.PersonaExpireInquiryOperator(task_id="a").inquiry_id == "inq_1"


@pytest.mark.parametrize(
    ("operator", "arguments", "words"),
    [
        (inquiries.PersonaApproveInquiryOperator, {}, "missing keyword argument 'inquiry_id'"),
        (inquiries.PersonaApproveInquiryOperator, {"inquiry_id": "inq_1", "coment": "x"}, "coment"),
        (PersonaOperator, {"operation_id": "retrieve-case", "body_": {}}, "body_"),
        (PersonaOperator, {}, "missing keyword argument 'operation_id'"),
        (case_actions.PersonaRedactCaseOperator, {"case_id": "case_1"}, "missing keyword argument 'confirm'"),
    ],
)
def test_a_missing_or_unknown_argument_is_refused_when_the_dag_is_parsed(operator, arguments, words):
    with pytest.raises(Exception, match=words), _dag():
        operator(task_id="a", **arguments)


@pytest.mark.parametrize(
    ("operator", "arguments", "words"),
    [
        (
            case_actions.PersonaCreateCaseOperator,
            {"sla_expires_in": [60]},
            "sla_expires_in is a number, not a value of",
        ),
        (
            case_actions.PersonaCreateCaseOperator,
            {"sla_expires_in": True},
            "sla_expires_in is a number, not a value of",
        ),
        (
            case_actions.PersonaCreateCaseOperator,
            {"case_queue_id": ["q"]},
            "case_queue_id is a text, not a value of type list",
        ),
        (case_actions.PersonaCreateCaseOperator, {"object_ids": "inq_1"}, "object_ids is a list of names"),
        (case_actions.PersonaCreateCaseOperator, {"result": "everything"}, "the result of a is one of"),
        (case_actions.PersonaCreateCaseOperator, {"persona_conn_id": {}}, "persona_conn_id is a text"),
    ],
)
def test_an_argument_of_another_kind_is_refused_when_the_dag_is_parsed(operator, arguments, words):
    with pytest.raises(BadCallError, match=words), _dag():
        operator(task_id="a", **{"case_template_id": "ctmpl_1", **arguments})


@pytest.mark.filterwarnings("ignore:.*was never mapped")
def test_an_unknown_argument_of_a_mapped_operator_is_refused_when_the_dag_is_parsed():
    with pytest.raises(TypeError, match="coment"), _dag():
        inquiries.PersonaApproveInquiryOperator.partial(task_id="a", coment="x").expand(inquiry_id=["inq_1"])
    with pytest.raises(TypeError, match="inquiry"), _dag():
        inquiries.PersonaApproveInquiryOperator.partial(task_id="a").expand(inquiry=["inq_1"])


def test_a_confirmation_comes_from_nowhere_but_the_dag(run_dag, persona_connection):
    with pytest.raises(BadCallError, match="confirm=True"), _dag():
        accounts.PersonaRedactAccountOperator(task_id="a", account_id="act_sim000001", confirm="{{ params.sure }}")
    with _dag() as dag:
        accounts.PersonaRedactAccountOperator.partial(task_id="a", account_id="act_sim000001", retries=2).expand(
            confirm=[False, 1, "True"]
        )
    run = run_dag(dag)
    tries = [run.get_task_instance("a", map_index=index) for index in range(3)]
    assert [(str(each.state), each.try_number) for each in tries] == [("failed", 1)] * 3
    assert persona_connection.requests() == []


def test_text_of_digits_stays_text_where_templates_render_to_values(run_dag, persona_connection):
    with _dag(render_template_as_native_obj=True, params={"id": "0", "fields": {"name-first": "A"}}) as dag:
        accounts.PersonaCreateAccountOperator(
            task_id="a", reference_id="{{ 12345 }}", fields="{{ params.fields }}", tags="{{ ['x'] }}"
        )
    account = run_dag(dag).get_task_instance("a").xcom_pull(task_ids="a")
    made = persona_connection.object(account)["attributes"]
    assert (made["reference-id"], made["tags"]) == ("12345", ["x"])


def test_a_dag_of_all_of_them_is_serialized_and_read_back():
    given: dict[str, Any] = {"kind": "name", "confirm": True, "deliver": print, "max_bytes": 5}
    with _dag() as dag:
        made = [_made(operator, given) for operator in NAMED]
        inquiries.PersonaApproveInquiryOperator.partial(task_id="mapped", comment="c").expand(inquiry_id=["a", "b"])
    assert len(made) == len(NAMED)
    kept = _round_trip(dag)
    assert set(kept.task_ids) == set(dag.task_ids)
    for operator in made:
        assert set(kept.get_task(operator.task_id).template_fields) == set(type(operator).template_fields)
    assert "MappedOperator" in type(kept.get_task("mapped")).__name__


def _made(operator: type[PersonaCallOperator], given: Mapping[str, Any]) -> BaseOperator:
    arguments = {}
    for name, each in operator.arguments.items():
        if name in given and (name != "deliver" or operator.rules):
            arguments[name] = given[name]
        elif each.default is inspect.Parameter.empty:
            arguments[name] = "{{ params.x }}"
    arguments |= {"add_tags": ["x"]} if "add_tags" in operator.arguments else {}
    arguments |= {"file": "x.csv"} if "file" in operator.arguments else {}
    if "Link" not in operator.__name__ and "secret_variable" not in operator.arguments:
        arguments.pop("deliver", None)
    if operator.__name__.startswith(("PersonaUpdate", "PersonaCreateInquiryOperator")):
        arguments["fields"] = "{{ params.x }}"
    if operator is inquiries.PersonaCreateInquiryOperator:
        arguments["inquiry_template_id"] = "{{ params.x }}"
    return operator(task_id=operator.__name__, **arguments)


def _round_trip(dag: DAG) -> Any:
    """Serialize a Dag to JSON and read it back, as this version of Airflow does it."""
    from airflow.serialization import serialized_objects

    if hasattr(serialized_objects, "DagSerialization"):
        return serialized_objects.DagSerialization.from_dict(serialized_objects.DagSerialization.to_dict(dag))
    return serialized_objects.SerializedDAG.from_dict(serialized_objects.SerializedDAG.to_dict(dag))
