"""How errors end a task: at once where a retry cannot help, else as the task's `retries` say."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow_provider_persona.tasks.lost_signals import insisting_on_signals
from airflow_provider_persona.tasks.stopping import stop_of
from airflow_provider_persona.version_compat import AirflowFailException, AirflowNotFoundException

log = logging.getLogger(__name__)


@contextmanager
def at_work(task: Any) -> Iterator[None]:
    """Run what a task does: a stop ends it (`TaskStop.heeded`), and so do its errors (`fail_without_retry`)."""
    with stop_of(task).heeded(), fail_without_retry():
        yield


@contextmanager
def fail_without_retry() -> Iterator[None]:
    """Turn errors that every retry would meet again (401, 403, 404, 422, bad arguments) into `AirflowFailException`.

    The others pass as they are, so that the task's `retries` decide. So does what a signal handler raises.
    """
    # Imported here: Airflow parses every file that uses one of our operators again and again.
    from pydantic import ValidationError

    from airflow_provider_persona.api.errors import ProviderError, faults_of

    try:
        with insisting_on_signals():
            yield
    except ProviderError as error:
        if error.retryable:
            raise
        # Without the chain: the message says all that a user can act on, and the log shows it first and not last.
        log.debug("The error in full", exc_info=True)
        raise AirflowFailException(str(error)) from None
    except AirflowNotFoundException as error:  # no connection of that id; Airflow by itself would try again
        raise AirflowFailException(f"{error}; add the connection, or correct its id") from None
    except ValidationError as error:  # only the places of the faults: pydantic's own text shows the values too
        raise AirflowFailException(f"the arguments cannot be used: {faults_of(error)}") from None
