"""scripts/pinfold analyze DIR: in words, what a run or a dump left behind."""

import os
import shutil
import subprocess

import bugcheck
import ktap
import paths
import serial
from errors import UsageError

# What each code means to somebody who has not met it. The parameters' meaning stands in the log, beside the values.
_MEANING = {
    0x0A: "the kernel touched pageable or invalid memory at an IRQL where a page fault cannot be served",
    0x1E: "an exception that no handler took",
    0x3B: "an exception that no handler took, inside a system service",
    0x4E: "the state of a page frame is corrupt: often an MDL unlocked twice, or a page list overwritten",
    0x50: "an address that is mapped by nobody was touched",
    0x76: "a process ended while a driver still had pages of it locked",
    0x7E: "a system thread raised an exception that no handler took",
    0x7F: "the processor reported a trap that the kernel cannot handle; first parameter 8 is a stack overflow",
    0xBE: "somebody wrote to memory that is read-only",
    0xC1: "special pool found a write outside a pool block",
    0xC2: "a pool routine was called wrongly, for example to free a block twice",
    0xC4: "Driver Verifier found a rule broken; the first parameter says which",
    0xC5: "a pool routine touched invalid memory at a high IRQL: the pool is most likely overwritten",
    0xCB: "a driver left pages locked when the process whose pages they are ended",
    0xD1: "a driver touched pageable or invalid memory at an IRQL where a page fault cannot be served",
    0xDA: "a system-PTE routine was called wrongly, or an MDL mapping was released twice",
    0xFC: "the processor was sent to execute memory that is not executable",
    0x109: "kernel code or a protected structure was changed",
    0x133: "a CPU spent too long at DISPATCH_LEVEL or above",
    0x139: "a check for corruption failed (fast fail), for example of a list's links",
}

_HANG_BEGIN = "# hang: "
_HANG_END = "# hang report complete"


def explain(directory):
    """Lines that explain what the folder holds."""
    log = os.path.join(directory, "serial.log")
    if not os.path.isfile(log):
        raise UsageError(f"{directory}: no serial.log in it, give the folder of a run such as build/last")
    with open(log, errors="replace") as file:
        lines = file.read().splitlines()
    stop = bugcheck.find(lines)
    if stop:
        return _explain_stop(stop, directory)
    if not any(line.startswith(serial.BANNER) for line in lines):
        return _explain_boot(directory, lines)
    return _explain_report(ktap.parse(lines), lines)


def _explain_stop(stop, directory):
    text = [f"The kernel stopped with bug check {stop.title()}."]
    if stop.code in _MEANING:
        text.append(f"It means: {_MEANING[stop.code]}.")
    text.append("Parameters:")
    text += [f"    {number}: 0x{value:016X}" for number, value in enumerate(stop.parameters, 1)]
    blamed = stop.blamed()
    if blamed:
        module, offset = blamed
        where = source_line(directory, module, offset)
        text.append(f"To blame: {module}, at offset 0x{offset:X}" + (f": {where}" if where else "") + ".")
        if module.lower() == "ntoskrnl.exe":
            text.append("No driver is on the stack: the fault is the kernel's own, or a driver's long before.")
    text.append("What the kernel said:")
    text += [f"    {line}" for line in stop.text]
    if not stop.complete:
        text.append("The report breaks off: the kernel failed again while it made it.")
    return text


def _explain_boot(directory, lines):
    text = ["The kernel never ran: the firmware or the loader failed."]
    text += [f"    {line}" for line in lines[-5:]]
    for name in () if lines else ("firmware.log", "qemu.log"):
        path = os.path.join(directory, name)
        if os.path.isfile(path):
            with open(path, errors="replace") as file:
                text += [f"    {name}: {line}" for line in file.read().split("\n")[-3:] if line.strip()]
    return text


def _explain_report(report, lines):
    failed = [case for case in report.cases if case.status == ktap.FAILED]
    if not failed and report.complete:
        return [f"Nothing failed: {report.count(ktap.PASSED)} passed."]
    hang = _hang_report(lines)
    text = list(hang)
    for case in failed:
        text.append(f"Failed: {case.name}")
        text += [f"    {line}" for line in case.diagnostics]
    if not report.complete:
        text.append("The report is not complete:")
        text += [f"    {line}" for line in (report.errors + report.missing)]
        if not hang:
            text += ["The last lines of the log:", *(f"    {line}" for line in lines[-10:])]
    return text


def _hang_report(lines):
    """What the kernel said when the harness asked where its CPUs are."""
    start = next((number for number, line in enumerate(lines) if line.startswith(_HANG_BEGIN)), None)
    if start is None:
        return []
    block = lines[start + 1 :]
    if _HANG_END in block:
        block = block[: block.index(_HANG_END)]
    return ["The run hung. Where each CPU was:", *(f"    {line}" for line in block)]


def source_line(directory, module, offset):
    """'function at file:line' of an offset in an image that stands in the folder or in build/, or None."""
    addr2line = shutil.which("x86_64-w64-mingw32-addr2line")
    candidates = [os.path.join(folder, module) for folder in (directory, paths.BUILD)]
    image = next(filter(os.path.isfile, candidates), None)
    if not addr2line or not image:
        return None
    address = image_base(image) + offset
    command = [addr2line, "-f", "-e", image, hex(address)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    function, _, place = done.stdout.strip().partition("\n")
    return None if not place or place.startswith("?") else f"{function} at {place}"


def image_base(path):
    """The address that a PE32+ image is linked for."""
    with open(path, "rb") as file:
        header = file.read(4096)
    optional = int.from_bytes(header[0x3C:0x40], "little") + 24
    return int.from_bytes(header[optional + 24 : optional + 32], "little")
