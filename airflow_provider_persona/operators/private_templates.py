"""Arguments that are templates, and that Airflow must not keep rendered.

Airflow stores what every template field renders to and shows it under "Rendered Template". Arguments that hold
personal data are therefore no template fields: they are rendered when the task executes, and nowhere kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperator, XComArg

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class PrivateTemplatesOperator(BaseOperator):
    """An operator with `private_template_fields` beside its `template_fields`."""

    private_template_fields: Sequence[str] = ()

    def follow_private_templates(self) -> None:
        """Set the tasks upstream whose results the private fields take, as Airflow does for template fields."""
        for name in self.private_template_fields:
            XComArg.apply_upstream_relationship(self, getattr(self, name))

    def render_private_templates(self, context: Context) -> None:
        """Render the private fields in place."""
        for name in self.private_template_fields:
            setattr(self, name, self.render_template(getattr(self, name), context))
