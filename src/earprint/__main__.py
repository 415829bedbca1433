"""The command ``earprint``, also as ``python -m earprint``. Ctrl-C ends it without a traceback."""

import signal
import sys


def run() -> None:
    """Run the command line and end the process.

    Ctrl-C ends the process at once while the command line is imported, and after the command. In between,
    `earprint.cli.main` reports it. A process that was started with Ctrl-C ignored goes on ignoring it.
    """
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from earprint.cli.main import app, repeat_ignored_interrupt

    sys.unraisablehook = repeat_ignored_interrupt
    for stream in (sys.stdout, sys.stderr):
        # A title or path that the terminal cannot encode must not end a command half-way.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        app(prog_name="earprint")
    except KeyboardInterrupt:  # just before or after the part that the command line guards
        sys.exit(130)
    finally:
        if interruptible:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    run()
