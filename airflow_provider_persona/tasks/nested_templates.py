"""Texts within a list or a mapping that an operator is given: rendered, and texts they stay.

With `render_template_as_native_obj=True` Jinja takes a text that looks like a value of Python for that value, also
where nothing was to be rendered: a postal code "10115" becomes a number, and a tag "None" is gone. A template that is
one expression still gives what the expression is. And no such text is the name of a file, however it ends.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from airflow_provider_persona.tasks.arguments import TEMPLATE_MARKS
from airflow_provider_persona.version_compat import BaseOperator

if TYPE_CHECKING:
    import jinja2


def render_nested(operator: Any, content: Any, context: Any, jinja_env: Any = None, seen_oids: Any = None) -> Any:
    """Render a template field as Airflow's `render_template` does, and keep the texts within it texts.

    :param operator: the operator, of which this is the method `render_template`.
    :param content: what to render.
    :param context: what its templates may name.
    :param jinja_env: Jinja's environment, or None for the operator's.
    :param seen_oids: ids of objects that are data and no templates, or None.
    """
    if type(content) not in (list, tuple, set, dict):  # a named tuple is none: Airflow knows how to make a new one
        return BaseOperator.render_template(operator, content, context, jinja_env, seen_oids)
    env: jinja2.Environment = jinja_env or operator.get_template_env()

    def rendered(part: Any) -> Any:
        if seen_oids is not None and id(part) in seen_oids:  # data that came through `expand`, told by its identity
            return part
        if type(part) is dict:
            return {name: rendered(each) for name, each in part.items()}
        if type(part) in (list, tuple, set):
            return type(part)(rendered(each) for each in part)
        if isinstance(part, str):
            return _text(part, context, env) if any(mark in part for mark in TEMPLATE_MARKS) else part
        return BaseOperator.render_template(operator, part, context, env, seen_oids)

    return rendered(content)


def _text(text: str, context: Any, env: jinja2.Environment) -> Any:
    """Render one text; return a value of another type only where the text is one expression that has it."""
    from jinja2.nativetypes import NativeEnvironment

    # A copy, as Airflow makes one: the names of Jinja's environment must not stay in the task's context.
    template, known = env.from_string(text), copy.copy(context)
    known.update((name, value) for name, value in template.globals.items() if name not in known)
    try:
        nodes = list(template.root_render_func(env.context_class(env, known, template.name, template.blocks)))
    except Exception:  # noqa: BLE001 - as Jinja does
        env.handle_exception()
    return nodes[0] if isinstance(env, NativeEnvironment) and len(nodes) == 1 else "".join(map(str, nodes))
