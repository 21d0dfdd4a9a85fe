"""One boot from the request to the verdict: the folder of the run, its archive, QEMU, and the judgement."""

import os
import re
import shutil
import sys
from dataclasses import dataclass, field

import archive
import dump
import ktap
import paths
import rundir
import verdict
from guest import Ending, Guest
from machine import Machine, printable
from serial import Splitter

_SEED = re.compile(r"# .*\bseed[= ](0x[0-9A-Fa-f]+|\d+)\b")


@dataclass
class Request:
    machine: Machine
    words: list  # of the kernel's command line
    drivers: list = field(default_factory=list)
    apps: list = field(default_factory=list)
    kernel: str | None = None  # an ntoskrnl.exe to boot instead of the ESP's
    timeout: float | None = 60
    log: str | None = None
    dump: str | None = None
    echo: bool = True  # the log goes to standard output as it comes
    report_due: bool = True  # a KTAP report must come
    expectations: verdict.Expectations = field(default_factory=verdict.Expectations)

    def command_line(self):
        words = list(self.words)
        for word in self.machine.words():
            key = word.split("=")[0]
            if key not in (given.split("=")[0] for given in words):
                words.append(word)
        return " ".join(words)


@dataclass
class Run:
    request: Request
    directory: str
    log_path: str
    ending: Ending
    lines: list
    verdict: verdict.Verdict

    def seed(self):
        """The seed that the kernel says it drew, or None."""
        return next((m[1] for m in map(_SEED.match, self.lines) if m), None)


class _Echo:
    """Standard output as a log file; a reader that left (`| head`) does not end the run."""

    def __init__(self):
        self._open = True

    def write(self, data):
        try:
            if self._open:
                sys.stdout.buffer.write(data)
        except BrokenPipeError:
            self._open = False

    def flush(self):
        try:
            if self._open:
                sys.stdout.flush()
        except BrokenPipeError:
            self._open = False


def boot(request, companion=None):
    """Run the machine. `companion` is what Guest.run takes: a process that runs beside it, a debugger."""
    pairs = archive.members(request.drivers, request.apps, request.kernel)
    _, variables = paths.firmware()
    paths.qemu()
    paths.built("esp.img")
    directory = rundir.create()
    archive_path = os.path.join(directory, "archive.tar")
    variables_path = os.path.join(directory, "variables.fd")
    archive.write(archive_path, request.command_line(), pairs)
    shutil.copyfile(variables, variables_path)
    try:
        return _boot_in(directory, request, archive_path, variables_path, companion)
    finally:
        os.unlink(variables_path)


def _boot_in(directory, request, archive_path, variables_path, companion):
    log_path = os.path.join(directory, "serial.log")
    firmware_path = os.path.join(directory, "firmware.log")
    errors_path = os.path.join(directory, "qemu.log")
    dumper = dump.Dumper(request.dump) if request.dump else None
    with open(firmware_path, "wb") as firmware, open(log_path, "wb") as log:
        logs = [log] + ([_Echo()] if request.echo else [])
        if request.log:
            logs.append(open(request.log, "wb"))
        splitter = Splitter(firmware, logs)
        guest = Guest(splitter, errors_path, dumper)
        arguments = request.machine.command(archive_path, variables_path, guest.qmp_descriptor)
        with open(os.path.join(directory, "qemu.txt"), "w") as file:
            file.write(printable(arguments) + "\n")
        try:
            ending = guest.run(arguments, request.timeout, companion)
        finally:
            if request.log:
                logs[-1].close()
    if request.log and os.path.isfile(request.log):
        shutil.copyfile(firmware_path, os.path.join(os.path.dirname(request.log) or ".", "firmware.log"))
    judged = verdict.judge(ending, splitter, log_path, errors_path, request.expectations, request.report_due)
    if dumper:
        dumper.finish(log_path, splitter.lines, judged.stop)
    return Run(request, directory, log_path, ending, splitter.lines, judged)
