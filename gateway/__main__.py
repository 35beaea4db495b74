"""`credit-gateway` and `python -m gateway`: the command line, with Ctrl-C heeded while its modules load.

In: arguments. Out: what gateway.cli does; 130 where it was interrupted before there was a command to tell of it.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point."""
    try:
        from gateway.cli import main as command_line  # noqa: PLC0415 - loading takes a second, and may be interrupted

        command_line()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
