"""The entry point of `modelctl` and `python -m modelctl`."""

import os
import signal
import sys
from typing import NoReturn


def main() -> int:
    """Run the command line; Ctrl-C during the imports prints the same line as later."""
    if sys.getfilesystemencoding() != "utf-8":
        # File names in the registry are UTF-8; a locale with another encoding cannot represent some of them.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - this very command
    _open_streams()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Nothing is half done yet, and an exception during an import may be swallowed or replaced by another one.
        signal.signal(signal.SIGINT, _end)
    from modelctl import cli

    try:
        if signal.getsignal(signal.SIGINT) is _end:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return cli.main()
    except KeyboardInterrupt:
        _end()


def _open_streams() -> None:
    """Connect closed standard streams (`>&-`) to /dev/null: otherwise another file could get their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _end(*_: object) -> NoReturn:
    os.write(sys.stderr.fileno(), b"error: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
