"""Outliving a question: stock restic asks whether the holder of a lock lives by sending SIGHUP to the process that it names.

It asks when it finds a lock of its own host, and ignores that signal itself. A process that does not would be ended by any
`restic` command beside it, in the middle of its backup. So whoever takes a lock ignores SIGHUP from then on, as restic does,
unless the program has a handler of its own. A closed terminal then no longer ends the program; SIGINT and SIGTERM do.
"""

import signal
import threading


def ignore_hangups() -> None:
    """Ignore SIGHUP unless it has a handler. May be called from any thread, which Python's own `signal.signal` may not."""
    if signal.getsignal(signal.SIGHUP) != signal.SIG_DFL:
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return
    import ctypes  # slow to import, and commands take their locks in the main thread

    ctypes.CDLL(None).signal(ctypes.c_int(signal.SIGHUP), ctypes.c_void_p(1))
