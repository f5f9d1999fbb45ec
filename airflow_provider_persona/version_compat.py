"""The only module that knows versions of Airflow. Each difference says until when it is needed."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import airflow
from packaging.version import Version

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.providers.common.compat.sdk import (
        DAG as DAG,
        AirflowException as AirflowException,
        AirflowFailException as AirflowFailException,
        AirflowNotFoundException as AirflowNotFoundException,
        AirflowOptionalProviderFeatureException as AirflowOptionalProviderFeatureException,
        AirflowSensorTimeout as AirflowSensorTimeout,
        AirflowSkipException as AirflowSkipException,
        Asset as Asset,
        BaseHook as BaseHook,
        BaseNotifier as BaseNotifier,
        BaseOperator as BaseOperator,
        BaseOperatorLink as BaseOperatorLink,
        BaseSensorOperator as BaseSensorOperator,
        Connection,
        DecoratedOperator as DecoratedOperator,
        ObjectStoragePath as ObjectStoragePath,
        Param as Param,
        PokeReturnValue as PokeReturnValue,
        TaskDeferred as TaskDeferred,
        Variable as Variable,
        XCom as XCom,
        XComArg as XComArg,
        chain as chain,
        conf as conf,
        context_merge as context_merge,
        determine_kwargs as determine_kwargs,
        task as task,
        task_decorator_factory as task_decorator_factory,
    )

_RELEASE = Version(airflow.__version__).release[:2]
if _RELEASE < (2, 11):  # pip refuses that, unless it ignores dependencies
    raise RuntimeError(f"airflow-provider-persona needs Airflow 2.11 or later, and this is {airflow.__version__}")

AIRFLOW_V_3_0_PLUS = _RELEASE >= (3, 0)
"""Below: Airflow 2, with datasets instead of assets. Until 2.11 is dropped."""

AIRFLOW_V_3_1_PLUS = _RELEASE >= (3, 1)
"""From here on: operators that wait for a person's answer. Until 3.0 is dropped."""

AIRFLOW_V_3_2_PLUS = _RELEASE >= (3, 2)
"""From here on: the connection form is declared in the provider's metadata. Until 3.1 is dropped."""

AIRFLOW_V_3_3_PLUS = _RELEASE >= (3, 3)
"""From here on: tasks have a state store. Until 3.2 is dropped."""

if TYPE_CHECKING or AIRFLOW_V_3_0_PLUS:
    from airflow.triggers.base import BaseEventTrigger as BaseEventTrigger
else:
    # Airflow 2 has no watchers, so no trigger is ever run as one there. `compat.triggers` has this since common-compat
    # 1.20; to be removed when 2.11 is dropped.
    from airflow.triggers.base import BaseTrigger

    BaseEventTrigger = BaseTrigger

if TYPE_CHECKING or AIRFLOW_V_3_3_PLUS:
    from airflow.sdk import RetryDecision as RetryDecision, RetryPolicy as RetryPolicy
else:
    # A task of an earlier Airflow takes no policy, so none is ever asked there. Until 3.2 is dropped.
    RetryPolicy = RetryDecision = object

_EXCEPTIONS = ("airflow.exceptions", "airflow.exceptions")
_DECORATORS = ("airflow.sdk.bases.decorator", "airflow.decorators.base")
_BEFORE_COMPAT_SDK: Final[dict[str, tuple[str, str]]] = {
    "AirflowException": _EXCEPTIONS,
    "AirflowFailException": _EXCEPTIONS,
    "AirflowNotFoundException": _EXCEPTIONS,
    "AirflowOptionalProviderFeatureException": _EXCEPTIONS,
    "AirflowSensorTimeout": _EXCEPTIONS,
    "AirflowSkipException": _EXCEPTIONS,
    "Asset": ("airflow.sdk", "airflow.datasets"),
    "BaseHook": ("airflow.hooks.base", "airflow.hooks.base"),
    "BaseNotifier": ("airflow.sdk", "airflow.notifications.basenotifier"),
    "BaseOperator": ("airflow.sdk", "airflow.models"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "DAG": ("airflow.sdk", "airflow.models"),
    "DecoratedOperator": _DECORATORS,
    "ObjectStoragePath": ("airflow.sdk", "airflow.io.path"),
    "Param": ("airflow.sdk", "airflow.models.param"),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "TaskDeferred": _EXCEPTIONS,
    "Variable": ("airflow.sdk", "airflow.models"),
    "XCom": ("airflow.sdk.execution_time.xcom", "airflow.models"),
    "XComArg": ("airflow.sdk", "airflow.models.xcom_arg"),
    "chain": ("airflow.sdk", "airflow.models.baseoperator"),
    "conf": ("airflow.configuration", "airflow.configuration"),
    "context_merge": ("airflow.utils.context", "airflow.utils.context"),
    "determine_kwargs": ("airflow.utils.operator_helpers", "airflow.utils.operator_helpers"),
    "task": ("airflow.sdk", "airflow.decorators"),
    "task_decorator_factory": _DECORATORS,
}
"""Where Airflow 3.0 and Airflow 2 have what `compat.sdk` re-exports. Until common-compat 1.14 is the oldest supported:
`compat.sdk` came with 1.8, and `determine_kwargs` as the last of these names with 1.14. Airflow 3.0.6 pins 1.7.3.
"""


def __getattr__(name: str) -> Any:
    """Return what `compat.sdk` re-exports, from there or, under an older common-compat, from Airflow itself."""
    if name not in _BEFORE_COMPAT_SDK:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(import_module("airflow.providers.common.compat.sdk"), name)
    except (ImportError, AttributeError):
        in_3, in_2 = _BEFORE_COMPAT_SDK[name]
        own_name = "Dataset" if name == "Asset" and not AIRFLOW_V_3_0_PLUS else name
        found = getattr(import_module(in_3 if AIRFLOW_V_3_0_PLUS else in_2), own_name)
    globals()[name] = found
    return found


def mask_secret(secret: str) -> None:
    """Keep a secret out of the task's log from now on.

    To be replaced by `compat.sdk.mask_secret` when common-compat 1.22 is the oldest that is supported.
    """
    if AIRFLOW_V_3_1_PLUS:
        module = "airflow.sdk.log"
    elif AIRFLOW_V_3_0_PLUS:
        module = "airflow.sdk.execution_time.secrets_masker"
    else:
        module = "airflow.utils.log.secrets_masker"
    import_module(module).mask_secret(secret)


async def async_connection(hook: BaseHook, conn_id: str) -> Connection:
    """Return a connection from within an event loop.

    A synchronous call to Airflow's supervisor beside an asynchronous one would block the task for ever. So before
    common-compat 1.22, which knows what each Airflow needs, the connection is read in a worker thread.

    :param hook: the hook that reads it.
    :param conn_id: its id.
    :raises AirflowNotFoundException: when there is no such connection.
    """
    from asgiref.sync import sync_to_async

    compat = _compat_connection()
    if compat and "hook" in inspect.signature(compat.get_async_connection).parameters:
        found: Connection = await compat.get_async_connection(conn_id, hook=hook)
        return found
    return await sync_to_async(hook.get_connection)(conn_id)


async def async_extra(connection: Connection) -> dict[str, Any]:
    """Return a connection's extras from within an event loop; as `async_connection`, until common-compat 1.21."""
    from asgiref.sync import sync_to_async

    compat = _compat_connection()
    if hasattr(compat, "get_async_extra_dejson"):
        extra: dict[str, Any] = await compat.get_async_extra_dejson(connection)
        return extra
    return await sync_to_async(lambda: connection.extra_dejson)()


def _compat_connection() -> Any:
    """Return common-compat's module about connections, or None before 1.9, which brought it."""
    try:
        return import_module("airflow.providers.common.compat.connection")
    except ImportError:
        return None


def approval_operator() -> Any:
    """Return the operator of Airflow's that asks a person for approval.

    On Airflow before 3.1 it is a stand-in that refuses to be made, so that a Dag with it fails at parse, and other Dags
    do not. Until 3.0 is dropped.
    """
    if AIRFLOW_V_3_1_PLUS:
        return import_module("airflow.providers.standard.operators.hitl").ApprovalOperator

    base, error = __getattr__("BaseOperator"), __getattr__("AirflowOptionalProviderFeatureException")

    class NoApprovalOperator(base):  # type: ignore[misc,valid-type]  # found when it is asked for
        """Says which Airflow is needed."""

        def __init__(self, **kwargs: Any) -> None:
            task_id = kwargs.get("task_id")
            raise error(
                f"{task_id}: an operator that waits for a person's approval needs Airflow 3.1 or later, and this is "
                f"{airflow.__version__}. Here, plan in one Dag and let a person trigger a second one that applies"
            )

    return NoApprovalOperator


def comes_from_expand(operator: Any) -> bool:
    """Whether Airflow makes an operator for one entry of `expand`, when it runs; its arguments are data then.

    :param operator: the operator, after Airflow's `__init__`. Airflow 2.11 to 3.3 say so in this attribute only.
    """
    return bool(getattr(operator, "_BaseOperator__from_mapped", False))


def answer_within(limit: timedelta) -> dict[str, Any]:
    """Return the argument by which an operator of Airflow's waits no longer than this for a person's answer.

    Until the standard provider 1.13 is the oldest supported: before it had `response_timeout`, the task's own timeout
    was that limit.

    :param limit: how long.
    :raises AirflowOptionalProviderFeatureException: on Airflow before 3.1, which has no such operators.
    """
    from airflow.providers.standard.operators.hitl import HITLOperator

    has_its_own = "response_timeout" in inspect.signature(HITLOperator.__init__).parameters
    return {"response_timeout" if has_its_own else "execution_timeout": limit}
