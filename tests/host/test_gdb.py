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
    out = gdb("info symbol $pc", "info line *$pc", "ptype PMDL", "info threads", arguments=["--cpus", "2"])
    assert re.search(r"^KiSystemStartup", out, re.MULTILINE)
    assert "kernel/main.c" in out
    assert "type = struct _MDL {" in out
    assert re.search(r"PVOID MappedSystemVa;|void \*MappedSystemVa;", out)
    assert len(re.findall(r"Thread 1\.[12]\b", out)) >= 2


def interrupted(out):
    """The functions of the backtrace in the output, from the one that the clock interrupted outwards."""
    frames = re.findall(r"^#\d+ .*$", out, re.MULTILINE)
    stack = [re.sub(r"^#\d+ +(0x[0-9a-f]+ in )?", "", frame).split()[0] for frame in frames]
    assert stack[0] == "KiUpdateRunTime" and "??" not in stack, out
    stub = next(depth for depth, name in enumerate(stack) if name.startswith("KiTrapEntry"))
    assert stack[stub - 1] == "KiHandleTrap", out
    return stack[stub + 1 :]


def test_backtrace_from_an_interrupt_of_a_thread():
    stack = interrupted(gdb("thbreak KiUpdateRunTime", "continue", "backtrace 60"))
    assert "KiPhase1" in stack and stack[-2] == "KiEnterThread" and stack[-1].startswith("KiThreadStartup"), stack


def test_backtrace_from_an_interrupt_of_the_idle_loop():
    stack = interrupted(gdb("source tests/host/idlewalk.py", arguments=["--cpus", "2", "build/hang_dispatch.sys"]))
    assert "KiIdleLoop" in stack[:2] and stack[-1] in ("KiSystemStartup", "KiProcessorEntry"), stack


def test_backtrace_is_right_at_every_instruction():
    out = gdb("source tests/host/stepwalk.py")
    match = re.search(r"^stepwalk: (\d+) instructions$", out, re.MULTILINE)
    assert match and int(match[1]) > 20, out
