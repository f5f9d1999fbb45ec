"""How errors end a task: at once where a retry is of no use, else as the task's `retries` say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException


@contextmanager
def failing_for_good_when_useless_to_retry() -> Iterator[None]:
    """Turn errors that every retry would meet again (401, 403, 404, 422, bad arguments) into `AirflowFailException`.

    The others pass as they are, so that the task's `retries` decide.
    """
    # Imported here, since every file with one of our operators in it is parsed again and again.
    from pydantic import ValidationError

    from airflow_provider_persona.api.errors import PersonaError
    from airflow_provider_persona.api.operations import BadCallError
    from airflow_provider_persona.bulk.errors import BulkError

    try:
        yield
    except (PersonaError, BulkError) as error:
        if error.retryable:
            raise
        raise AirflowFailException(str(error)) from error
    except AirflowNotFoundException as error:
        raise AirflowFailException(f"{error}; add the connection, or correct its id") from error
    except BadCallError as error:
        raise AirflowFailException(str(error)) from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}" for fault in error.errors()
        )
        raise AirflowFailException(f"the arguments cannot be used: {faults}") from None
