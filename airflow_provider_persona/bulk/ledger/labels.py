"""Texts that many rows share, such as reasons: each is kept once, and a row holds one byte for it."""

from __future__ import annotations

from typing import Final

_DIFFERENT: Final = 250
"""Texts that are told apart; with the code for no text and the one for all others they fit into a byte."""

OTHERS: Final = "others"
"""Stands for all texts after the first ones, so that no ledger needs much memory."""


class Labels:
    """Counts how many rows have which text now.

    :param others: what is shown for the texts that are not told apart.
    """

    def __init__(self, others: str = OTHERS) -> None:
        self._others = others
        self._texts = [""]
        self._counts = [0]
        self._codes = {"": 0}

    def replace(self, before: int, text: str) -> int:
        """Take in that a row's text changes, and return the code of the new one.

        :param before: code of the row's text until now; 0 for none.
        :param text: its text from now on; empty for none.
        """
        code = self._codes.get(text)
        if code is None:
            text = text if len(self._texts) <= _DIFFERENT else self._others
            code = self._codes.setdefault(text, len(self._texts))
            if code == len(self._texts):
                self._texts.append(text)
                self._counts.append(0)
        self._counts[before] -= 1
        self._counts[code] += 1
        return code

    def code_of(self, text: str) -> int | None:
        """Return the code of a text, or None when no row has ever had it."""
        return self._codes.get(text)

    def text_of(self, code: int) -> str:
        """Return the text of a code."""
        return self._texts[code]

    def counts(self) -> list[tuple[str, int]]:
        """Return each text that rows have with the number of rows, the most frequent first."""
        found = [(text, count) for text, count in zip(self._texts, self._counts, strict=True) if text and count > 0]
        return sorted(found, key=lambda one: (one[0] == self._others, -one[1], one[0]))
