"""Chromium, as a person uses it: Airflow with the pages of the plugin in their frames, and pictures of both."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Frame, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_WIDTH, _USUAL_HEIGHT = 1240, 770
LARGEST_PICTURE = 150 * 1024
"""Bytes; the pictures are in the documentation, and the documentation is in the repository."""


def missing_browser() -> str | None:
    """Return what a test with a browser lacks on this machine, or None."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "Playwright (constraints/browser.txt)"
    return None if _chromium() else "Chromium (apt-get install chromium)"


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def new_browser() -> Iterator[BrowserContext]:
    """Start Chromium with a profile of its own, and end it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # The sandbox of the browser needs rights that a container has not; it opens pages of this machine only.
        browser = playwright.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        try:
            context = browser.new_context(viewport={"width": _WIDTH, "height": _USUAL_HEIGHT}, accept_downloads=True)
            context.set_default_timeout(30_000)
            yield context
        finally:
            browser.close()


class Watched:
    """A page of the browser, with what went wrong in it.

    :param context: the browser.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("dialog", self._refuse)
        self.page.on("console", self._listen)

    def _refuse(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _listen(self, message: Any) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            self.faults.append(message.text)

    def open(self, address: str, title: str = "Persona") -> Frame:
        """Open a page of Airflow, and return our page in its frame once it has its data.

        :param address: its address.
        :param title: title of the frame.
        """
        self.page.goto(address)
        frame = self.page.wait_for_selector(f'iframe[title="{title}"]').content_frame()
        assert frame is not None
        frame.wait_for_selector("body[data-loaded]")
        return frame

    def picture(self, name: str, height: int = _USUAL_HEIGHT) -> None:
        """Keep a picture for the documentation, where `PERSONA_PICTURES` says.

        :param name: its name.
        :param height: of the window, in pixels.
        """
        folder = os.environ.get("PERSONA_PICTURES")
        if not folder:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.page.set_viewport_size({"width": _WIDTH, "height": height})
        self.page.wait_for_timeout(400)  # Airflow's own parts of the page come in gently
        path = Path(folder) / f"{name}.png"
        self.page.screenshot(path=path)
        self.page.set_viewport_size({"width": _WIDTH, "height": _USUAL_HEIGHT})
        assert path.stat().st_size < LARGEST_PICTURE, f"{path} is too large"
