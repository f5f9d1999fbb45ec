"""How errors end a task: which of them a retry would meet again, and what they say."""

from __future__ import annotations

import pytest

from airflow_provider_persona.api.case_change import CaseChange
from airflow_provider_persona.api.errors import PersonaNotFoundError, PersonaServerError
from airflow_provider_persona.tasks.failure import fail_without_retry
from airflow_provider_persona.version_compat import AirflowFailException, AirflowNotFoundException


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (PersonaNotFoundError("no such case"), "no such case"),
        (AirflowNotFoundException("no such connection"), "no such connection; add the connection, or correct its id"),
    ],
)
def test_an_error_that_a_retry_would_meet_again_ends_the_task(raised, said):
    with pytest.raises(AirflowFailException) as caught, fail_without_retry():
        raise raised
    assert str(caught.value) == said


def test_an_error_that_may_pass_is_left_to_the_retries():
    with pytest.raises(PersonaServerError), fail_without_retry():
        raise PersonaServerError("busy")


def test_arguments_that_pydantic_refuses_are_said_in_words_and_without_values():
    with pytest.raises(AirflowFailException) as caught, fail_without_retry():
        CaseChange(tags=["canary"], add_tags=["canary"])
    assert str(caught.value) == (
        "the arguments cannot be used: tags replaces all tags; give either tags, or add_tags and remove_tags"
    )
