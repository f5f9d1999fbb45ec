"""`@task.persona`: a function says what a call sends, and the same task sends it.

What the function makes never stands in XCom, as it would between a `@task` and a `PersonaOperator`. So this is the way
for bodies with personal data that are put together in Python.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_persona.api.operations import BadCallError
from airflow_provider_persona.operators.arguments import as_object
from airflow_provider_persona.operators.call_checks import NotYetKnown
from airflow_provider_persona.operators.operation import Call, PersonaOperator
from airflow_provider_persona.operators.private_templates import PrivateTemplate, revealed

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskDecorator

_PARTS = frozenset({"path", "query", "body"})
_MADE_LATER: Final = NotYetKnown()


class PersonaDecoratedOperator(DecoratedOperator, PersonaOperator):
    """Calls an operation with what a function returns: a mapping with any of `path`, `query` and `body`.

    The function runs anew in every try, so let it return the same for the same run: a creation with another body is
    another creation. Parameters as for `PersonaOperator`, without `path`, `query` and `body`.

    :param python_callable: the function.
    :param op_args: its positional arguments. What they render to is not kept by Airflow.
    :param op_kwargs: its keyword arguments. What they render to is not kept by Airflow.
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
        # A function that says it returns a mapping would make Airflow split up what the call returns.
        kwargs["multiple_outputs"] = False
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            path=_MADE_LATER,
            query=_MADE_LATER,
            body=_MADE_LATER,
            **kwargs,
        )
        self._made: Any = None

    def execute(self, context: Context) -> Any:
        """Call the function, then the operation with what it returned."""
        args = revealed(self.op_args)
        context_merge(context, revealed(self.op_kwargs))
        self._made = self.python_callable(*args, **determine_kwargs(self.python_callable, args, context))
        return PersonaOperator.execute(self, context)

    def calls(self) -> Sequence[Call]:
        """Return the call that the function described.

        :raises BadCallError: when it returned something else.
        """
        made = self._made
        if not isinstance(made, Mapping) or not set(made) <= _PARTS:
            raise BadCallError(f"{self.task_id} returns a mapping with any of path, query and body, and nothing else")
        return [Call(self.operation_id, **{part: as_object(value, part) for part, value in made.items()})]


def persona_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Turn a function into a task that calls an operation with what the function returns.

    :param python_callable: the function; it returns a mapping with any of `path`, `query` and `body`.
    :param kwargs: `operation_id`, and all that `PersonaOperator` and a task take.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=False,
        decorated_operator_class=PersonaDecoratedOperator,
        **kwargs,
    )
