"""scripts/pinfold debug: the machine stopped at the kernel's entry, and gdb attached to it.

The kernel is booted with `nokaslr`, so that gdb has its symbols before it runs. The stub listens on a socket in a
folder of its own under the system's temporary folder: a path in the checkout may be longer than a socket's may be.
"""

import os
import signal
import subprocess
import sys
import tempfile

import paths
import session
import verdict
from errors import UsageError


class Gdb:
    """Starts gdb when QEMU answers; `commands` make it a batch run."""

    def __init__(self, socket, commands):
        self._socket = socket
        self._commands = commands
        self.process = None

    def __call__(self):
        arguments = [paths.tool("gdb", "gdb"), "-q"]
        if self._commands:
            arguments += ["-nx", "-batch"]
        arguments += ["-x", os.path.join(paths.ROOT, "scripts", "gdb", "pinfold.py")]
        arguments += ["-ex", f"pinfold entry {self._socket}"]
        for command in self._commands:
            arguments += ["-ex", command]
        self.process = subprocess.Popen(arguments)
        return self.process


def run(request, commands):
    """Boot `request` under gdb; gdb's exit status."""
    paths.tool("gdb", "gdb")
    paths.built("ntoskrnl.exe")
    if "nokaslr" not in request.words:
        request.words.append("nokaslr")
    request.machine.stopped = True
    with tempfile.TemporaryDirectory(prefix="pinfold-") as folder:
        socket = os.path.join(folder, "gdb")
        request.machine.gdb = "chardev:gdb"
        request.machine.extra += ["-chardev", f"socket,id=gdb,path={socket},server=on,wait=off"]
        gdb = Gdb(socket, commands)
        # Ctrl-C belongs to gdb while it runs. A handler, since an ignored signal would be inherited.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            run = session.boot(request, gdb)
        finally:
            signal.signal(signal.SIGINT, before)
    if gdb.process is None:
        raise UsageError(f"gdb was not started: {run.verdict.reasons[0][1]}")
    if gdb.process.returncode < 0:
        print(f"pinfold: gdb was ended after {run.ending.seconds:.0f} s", file=sys.stderr)
        return verdict.HUNG
    return gdb.process.returncode
