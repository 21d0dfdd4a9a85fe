"""--dump DIR: guest memory as an ELF core, with what is needed to read it.

memory.elf is QEMU's dump of physical memory: its program headers carry physical addresses, and its notes the registers
of every CPU, CR3 among them. It is taken while the machine stands still, from a pvpanic event or on a hang.
"""

import os
import re
import shutil
import sys

import paths
from errors import UsageError

_BASE = re.compile(r"# Pinfold kernel .*\bat (0x[0-9A-Fa-f]{16})\b")
SECONDS = 300


class Dumper:
    def __init__(self, directory):
        self._directory = os.path.abspath(directory)
        self._taken = False
        try:
            os.makedirs(self._directory, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--dump {directory}: {error.strerror}") from error

    def __call__(self, guest):
        """The machine stands still: take the dump. Only the first of a run counts."""
        if self._taken:
            return
        self._taken = True
        target = "file:" + os.path.join(self._directory, "memory.elf")
        try:
            guest.execute("dump-guest-memory", SECONDS, paging=False, protocol=target)
        except OSError as error:
            print(f"pinfold: no dump: {error}", file=sys.stderr)

    def finish(self, log_path, lines, stop):
        """After the run: put the log, the kernel and a note beside the memory."""
        if not self._taken:
            return
        shutil.copyfile(log_path, os.path.join(self._directory, "serial.log"))
        shutil.copyfile(paths.built("ntoskrnl.exe"), os.path.join(self._directory, "ntoskrnl.exe"))
        base = kernel_base(lines)
        with open(os.path.join(self._directory, "README"), "w") as file:
            file.write(f"bug check: {stop.title() if stop else 'none'}\n")
            file.write(f"kernel base: {f'{base:#018x}' if base else 'unknown'}\n")
            file.write("memory.elf holds physical memory; ntoskrnl.exe is linked at 0x140000000.\n")


def kernel_base(lines):
    """Where the kernel says that it lies, or None."""
    return next((int(match[1], 16) for match in map(_BASE.match, lines) if match), None)
