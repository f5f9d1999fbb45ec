"""`make demo`: run the demonstration; an interrupt ends it and all that it started, without a traceback."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from demo import ENDING


def _end(number: int, _: FrameType | None) -> None:
    """Unwind, so that each `with` ends what it started; nothing interrupts that."""
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    print(f"\nStopped by {signal.Signals(number).name}", file=sys.stderr)
    sys.exit(128 + number)


def main() -> int:
    """Run the demonstration; returns 0 when Persona shows exactly what was planned."""
    for each in ENDING:
        signal.signal(each, _end)
    from demo.demonstration import demonstrate  # it takes a second, in which somebody may interrupt

    return demonstrate()


if __name__ == "__main__":
    sys.exit(main())
