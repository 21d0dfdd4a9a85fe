"""One QEMU process from start to end.

A single thread reads the serial line and QMP until QEMU leaves or the time is up. Whatever happens, an exception or a
signal included, no QEMU outlives `run`: it is ended on the way out, and the kernel kills it if this process dies.
"""

import ctypes
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass

import qmp
import serial

HANG_REPORT_SECONDS = 10  # what the kernel gets after the NMI to say where every CPU is
QUIT_SECONDS = 3
COMPANION_POLL_SECONDS = 0.1

_PR_SET_PDEATHSIG = 1
_ENDING_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@dataclass
class Ending:
    status: int | None  # QEMU's exit status where it left by itself, negative for a signal
    timed_out: bool  # the time was up before it left
    reset: bool  # the guest reset or powered off instead of reporting
    seconds: float


class Guest:
    """`dump`, when given, is called with the Guest on a panic or a hang, while the machine stands still."""

    def __init__(self, splitter, errors_path, dump=None):
        self.splitter = splitter
        self._errors_path = errors_path
        self._dump = dump
        self._events_seen = 0
        self._shut_down = False
        self._closed = False
        self._qmp = qmp.Connection()
        self._process = None
        self._selector = selectors.DefaultSelector()

    @property
    def qmp_descriptor(self):
        return self._qmp.peer.fileno()

    def run(self, arguments, timeout, companion=None):
        """
        Start QEMU, take in its output, and end it at the latest after `timeout` seconds (None: never).

        A `companion` is a function called once QEMU answers; it returns a process, a debugger, whose end is the end of
        the run too.
        """
        start = time.monotonic()
        deadline = start + timeout if timeout else None
        timed_out = False
        try:
            self._start(arguments)
            if companion:
                self._run_beside(companion, deadline)
            elif not self._pump_until(deadline):
                timed_out = True
                self._report_hang()
            self._stop()
            status = self._process.wait()
            self._drain_events()
        finally:
            self._kill()
        self.splitter.finish()
        # The exit port, whose status is never 0, makes the event of a power-off in newer QEMUs.
        reset = self._shut_down and status == 0
        return Ending(status, timed_out, reset, time.monotonic() - start)

    def execute(self, command, seconds, **arguments):
        """A QMP command and its result; an error or no answer in time raises OSError."""
        number = self._qmp.send(command, **arguments)
        deadline = time.monotonic() + seconds
        while number not in self._qmp.replies:
            if self._closed or time.monotonic() >= deadline:
                raise OSError(f"QEMU does not answer {command}")
            self._pump(deadline)
        reply = self._qmp.replies.pop(number)
        if "error" in reply:
            raise OSError(f"{command}: {reply['error'].get('desc')}")
        return reply["return"]

    def _start(self, arguments):
        parent = os.getpid()
        # None may end us while QEMU is there and `_process` is not.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
        try:
            with open(self._errors_path, "wb") as errors:
                self._process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    pass_fds=(self.qmp_descriptor,),
                    start_new_session=True,  # a Ctrl-C at the terminal is for us, not for QEMU
                    preexec_fn=lambda: _before_qemu(parent, mask),
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._qmp.started()
        self._selector.register(self._process.stdout, selectors.EVENT_READ, self._read_serial)
        self._selector.register(self._qmp.socket, selectors.EVENT_READ, self._read_qmp)

    def _run_beside(self, companion, deadline):
        try:
            self.execute("query-status", QUIT_SECONDS)
        except OSError:
            return  # QEMU did not start: its exit status tells why
        process = companion()
        try:
            while process.poll() is None and (deadline is None or time.monotonic() < deadline):
                self._pump(time.monotonic() + COMPANION_POLL_SECONDS)
                self._handle_events()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def _pump_until(self, deadline):
        """True when QEMU has closed the serial line, False when the time is up."""
        while not self._closed:
            if deadline is not None and time.monotonic() >= deadline:
                return False
            self._pump(deadline)
            self._handle_events()
        return True

    def _pump(self, deadline):
        wait = None if deadline is None else max(0.0, deadline - time.monotonic())
        for key, _ in self._selector.select(wait):
            key.data()

    def _read_serial(self):
        data = os.read(self._process.stdout.fileno(), 65536)
        if data:
            self.splitter.feed(data)
        else:
            self._closed = True
            self._selector.unregister(self._process.stdout)

    def _read_qmp(self):
        if not self._qmp.receive():
            self._selector.unregister(self._qmp.socket)

    def _handle_events(self):
        while self._events_seen < len(self._qmp.events):
            event = self._qmp.events[self._events_seen]
            self._events_seen += 1
            if event["event"] == "SHUTDOWN":
                self._shut_down = bool(event["data"].get("guest"))
            elif event["event"] == "GUEST_PANICKED":
                if self._dump:
                    self._dump(self)
                self._qmp.send("cont")

    def _drain_events(self):
        """QEMU has left: read its last words, which may say that the guest reset."""
        while self._qmp.receive():
            pass
        self._handle_events()

    def _report_hang(self):
        """Let a kernel that runs say where its CPUs are; then it leaves by itself."""
        if not self.splitter.banner:
            return
        if self._dump and not self.splitter.stopped:
            self._qmp.send("stop")
            self._dump(self)
            self._qmp.send("cont")
        self._qmp.send("inject-nmi")
        self._pump_until(time.monotonic() + HANG_REPORT_SECONDS)

    def _stop(self):
        if not self._closed:
            self._qmp.send("quit")
            self._pump_until(time.monotonic() + QUIT_SECONDS)

    def _kill(self):
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(QUIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process:
            self._process.stdout.close()
        self._qmp.close()
        self._selector.close()


def _before_qemu(parent, mask):
    """In the child: have Linux kill it when `parent` dies without a chance to, and give it the signal mask of a run."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
