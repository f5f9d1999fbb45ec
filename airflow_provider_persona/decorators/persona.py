"""`@task.persona`: a function returns what a call sends, and the same task sends it.

What the function returns never goes to XCom, as it would between a `@task` and a `PersonaOperator`. So use this for
bodies with personal data that are built in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.operators.operation import PersonaOperator
from airflow_provider_persona.tasks.arguments import as_mapping
from airflow_provider_persona.tasks.call_checks import Call, NotYetKnown
from airflow_provider_persona.tasks.private_templates import PrivateTemplate, revealed
from airflow_provider_persona.tasks.stopping import stop_of
from airflow_provider_persona.version_compat import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskDecorator

_PARTS = frozenset({"path", "query", "body", "headers"})
_MADE_LATER: Final = NotYetKnown()


# Two classes of ours stand between this one and Airflow's BaseOperator: a decorated task is a PersonaOperator that gets
# its arguments from a function, and Airflow's DecoratedOperator wants to be mixed with the operator that it decorates.
class PersonaDecoratedOperator(DecoratedOperator, PersonaOperator):  # type: ignore[misc] # as for its base
    """Calls an operation with what a function returns: any of `path`, `query`, `body` and `headers` in a mapping.

    The function runs again in every try, so let it return the same for the same run: a creation with another body is
    another creation. Parameters as for `PersonaOperator`, without those four.

    :param python_callable: the function.
    :param op_args: its positional arguments. Not kept by Airflow.
    :param op_kwargs: its keyword arguments. Not kept by Airflow.
    """

    template_fields: Sequence[str] = ("op_args", "op_kwargs", "output_path", "persona_conn_id")
    op_args = PrivateTemplate()
    op_kwargs = PrivateTemplate()
    custom_operator_name: str = "@task.persona"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # Airflow would otherwise push each key of the result as an XCom of its own, because the function's annotation
        # says that it returns a mapping.
        kwargs["multiple_outputs"] = False
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            path=_MADE_LATER,
            query=_MADE_LATER,
            body=_MADE_LATER,
            headers=_MADE_LATER,
            **kwargs,
        )
        self._made: Any = None

    def execute(self, context: Context) -> Any:
        """Call the function, then the operation with what it returned."""
        with stop_of(self).heeded():
            args = revealed(self.op_args)
            context_merge(context, revealed(self.op_kwargs))
            self._made = self.python_callable(*args, **determine_kwargs(self.python_callable, args, context))
            # Not `super()`: Airflow's `DecoratedOperator` comes first there. It would call the function again, and what
            # that returns would be the task's result, in XCom.
            return PersonaOperator.execute(self, context)

    def calls(self) -> Sequence[Call]:
        """Return the call that the function described.

        :raises BadCallError: when it returned something else.
        """
        made = self._made
        if not isinstance(made, Mapping) or not set(made) <= _PARTS:
            raise BadCallError(
                f"{self.task_id} returns a mapping with any of path, query, body and headers, and nothing else"
            )
        parts = {part: as_mapping(made.get(part), part) for part in _PARTS}
        return self.calls_of({**self.values(), **parts})


def persona_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Turn a function into a task that calls an operation with what the function returns.

    :param python_callable: the function; it returns a mapping with any of `path`, `query`, `body` and
        `headers`.
    :param kwargs: `operation_id`, and all that `PersonaOperator` and a task take.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=False,
        decorated_operator_class=PersonaDecoratedOperator,
        **kwargs,
    )
