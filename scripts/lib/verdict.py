"""What a run comes to: every reason against it, each with its exit status, and the one that decides.

    0  passed                         3  a bug check that was not expected
    1  a test or an expectation       4  timeout or hang
    2  usage, tools, files            5  the firmware or the loader failed before the kernel ran

Where several apply, the order is 2, 5, 4, 3, 1. A run passes only when QEMU left with the kernel's pass code and the
KTAP report is complete; a bug check that --expect-bugcheck names stands in for both.
"""

import subprocess
from dataclasses import dataclass, field

import bugcheck
import ktap
import paths

PASSED, FAILED, USAGE, STOPPED, HUNG, NOT_BOOTED = range(6)
PRECEDENCE = (USAGE, NOT_BOOTED, HUNG, STOPPED, FAILED)

# QEMU's exit status, (value written to the exit port << 1) | 1: never 0 or 1, which QEMU uses itself.
QEMU_PASS, QEMU_FAIL, QEMU_BUGCHECK, QEMU_LOADER, QEMU_WORD, QEMU_HANG = 33, 35, 37, 39, 41, 43
_KERNEL_LEFT = (QEMU_PASS, QEMU_FAIL, QEMU_BUGCHECK, QEMU_WORD, QEMU_HANG)


@dataclass
class Expectations:
    expect: list = field(default_factory=list)  # compiled: some line of the log matches
    forbid: list = field(default_factory=list)  # compiled: no line of the log matches
    check: list = field(default_factory=list)  # files of FileCheck directives
    stop: bugcheck.Expected | None = None


@dataclass
class Verdict:
    reasons: list  # (exit status, words), the deciding one first
    report: ktap.Report
    stop: bugcheck.BugCheck | None

    @property
    def status(self):
        return self.reasons[0][0] if self.reasons else PASSED


def judge(ending, splitter, log_path, errors_path, expectations, report_due=True):
    """The verdict on a run that has ended."""
    lines = splitter.lines
    report = ktap.parse(lines)
    stop = bugcheck.find(lines)
    reasons = _boot_reasons(ending, splitter, errors_path)
    if splitter.banner:
        reasons += _kernel_reasons(ending, lines, report, stop, expectations, report_due)
    if splitter.started:
        reasons += _log_reasons(lines, log_path, expectations)
    reasons.sort(key=lambda reason: PRECEDENCE.index(reason[0]))
    return Verdict(reasons, report, stop)


def _boot_reasons(ending, splitter, errors_path):
    """Why the kernel never printed its banner; nothing when it did."""
    if splitter.banner:
        return []
    if ending.timed_out:
        where = "the loader" if splitter.started else "the firmware"
        return [(NOT_BOOTED, f"no kernel banner after {ending.seconds:.0f} s: {where} did not come to an end")]
    if ending.status == QEMU_LOADER:
        return [(NOT_BOOTED, _last(splitter.lines, "# ") or "the loader failed")]
    if ending.reset:
        return [(NOT_BOOTED, "the machine reset before the kernel ran")]
    if ending.status == 1 and not splitter.started:
        return [(USAGE, f"QEMU did not start: {_first_line(errors_path)}")]
    return [(NOT_BOOTED, f"QEMU ended with status {ending.status} before the kernel ran")]


def _kernel_reasons(ending, lines, report, stop, expectations, report_due):
    reasons = []
    expected = expectations.stop
    met = expected is not None and expected.met_by(stop)
    if ending.status == QEMU_WORD:
        reasons.append((USAGE, f"{_last(lines, '# ')}; change --cmdline"))
    if ending.timed_out or ending.status == QEMU_HANG:
        reasons.append((HUNG, f"no end after {ending.seconds:.0f} s"))
    elif ending.reset:
        reasons.append((STOPPED, "the machine reset without a bug check (a triple fault)"))
    elif ending.status not in _KERNEL_LEFT:
        reasons.append((FAILED, f"QEMU ended with status {ending.status}"))
    if stop and not met:
        reasons.append((STOPPED, f"bug check {stop.title()}, {stop.blame}"))
    elif ending.status == QEMU_BUGCHECK and not stop:
        reasons.append((STOPPED, "a bug check without a report"))
    if expected and not met:
        reasons.append((FAILED, f"bug check {expected.text} was expected, {stop.title() if stop else 'none'} came"))
    return reasons + (_report_reasons(ending, report, met) if report_due else _exit_reasons(ending))


def _report_reasons(ending, report, bugcheck_met):
    """What the tests themselves say. After the expected bug check the plan may stay open."""
    failed = report.count(ktap.FAILED)
    if failed:
        return [(FAILED, f"{failed} of {len(report.cases)} failed")]
    if bugcheck_met:
        return [(FAILED, f"the report is wrong: {error}") for error in report.errors[:1]]
    if not report.complete:
        return [(FAILED, f"the report is not complete: {(report.errors + report.missing)[0]}")]
    return _exit_reasons(ending)


def _exit_reasons(ending):
    return [(FAILED, "the kernel reports a failure")] if ending.status == QEMU_FAIL else []


def _log_reasons(lines, log_path, expectations):
    reasons = []
    for pattern in expectations.expect:
        if not any(map(pattern.search, lines)):
            reasons.append((FAILED, f"no line matches --expect {pattern.pattern}"))
    for pattern in expectations.forbid:
        line = next(filter(pattern.search, lines), None)
        if line is not None:
            reasons.append((FAILED, f"--forbid {pattern.pattern} matches: {line}"))
    for path in expectations.check:
        done = subprocess.run(
            [paths.filecheck(), path, "--input-file", log_path, "--allow-empty"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        if done.returncode:
            reasons.append((FAILED, f"--check {path}:\n{done.stderr.rstrip()}"))
    return reasons


def _last(lines, prefix):
    return next((line[len(prefix) :] for line in reversed(lines) if line.startswith(prefix)), None)


def _first_line(path):
    with open(path, errors="replace") as file:
        return file.readline().strip() or "it said nothing"
