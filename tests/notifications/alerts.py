"""What a user's own module may hold: notifiers that `PersonaRunNotifier` finds by their import path."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow_provider_persona.version_compat import BaseNotifier


class Recorder(BaseNotifier):
    """Keeps what it is told to send, as Slack's notifier would send it: its text is a template."""

    template_fields = ("text",)
    sent: ClassVar[list[str]] = []

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def notify(self, context: Any) -> None:
        self.sent.append(self.text)


def to_recorder(notice: Any) -> Recorder:
    """Return a notifier that sends a notice."""
    return Recorder(text=notice.text)


class Broken(BaseNotifier):
    """Cannot reach the service that it sends to."""

    template_fields = ()

    def notify(self, context: Any) -> None:
        raise ConnectionError
