"""gdb over QEMU's stub: the kernel's entry, source lines, NT's types, backtraces."""

import re
import subprocess

import conftest


def gdb(*commands, arguments=()):
    """What gdb prints for the commands, given at the kernel's entry."""
    command = [conftest.PINFOLD, "debug", "--timeout", "60", *arguments]
    for text in commands:
        command += ["--ex", text]
    done = subprocess.run(command, cwd=conftest.ROOT, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_stops_at_the_entry_with_source_and_types():
    out = gdb("info symbol $pc", "info line *$pc", "ptype struct _MDL", "info threads", arguments=["--cpus", "2"])
    assert re.search(r"^KiSystemStartup", out, re.MULTILINE)
    assert "kernel/main.c" in out
    assert re.search(r"PVOID MappedSystemVa;|void \*MappedSystemVa;", out)
    assert len(re.findall(r"Thread 1\.[12]\b", out)) >= 2


def test_backtrace_from_inside_an_interrupt():
    out = gdb("thbreak KiUpdateRunTime", "continue", "backtrace 20")
    frames = re.findall(r"^#\d+ .*$", out, re.MULTILINE)
    assert len(frames) >= 3 and "KiUpdateRunTime" in frames[0], out
    assert not any("??" in frame for frame in frames), "\n".join(frames)


def test_backtrace_is_right_at_every_instruction():
    out = gdb("source tests/host/stepwalk.py")
    match = re.search(r"^stepwalk: (\d+) instructions$", out, re.MULTILINE)
    assert match and int(match[1]) > 20, out
