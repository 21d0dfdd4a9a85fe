"""The sample drivers of tests/drivers: what a run of each comes to, by exit status and by the lines of its log."""

import glob
import os
import re

import pytest

RESULTS = ("load", "DriverEntry", "unload", "leaks")

# What each leaking driver leaves behind, oldest first: kind, text behind it, function that made it.
LEAKS = {
    "leak_pool": [("pool block", r"200 bytes, tag 'Kept'", "DriverEntry")],
    "leak_mdl": [
        ("pool block", r"12288 bytes, tag 'Buff'", "DriverEntry"),
        ("MDL", r"12288 bytes, flags 0x[0-9A-F]{4}", "DriverEntry"),
        ("locked MDL", r"12288 bytes, flags 0x[0-9A-F]{4}", "LockBuffer|DriverEntry"),
    ],
    "leak_mapping": [
        ("pages of MDL", r"8192 bytes, flags 0x[0-9A-F]{4}", "MapPages|DriverEntry"),
        ("pool block", r"\d+ bytes, tag 'Mdl '", "MapPages|DriverEntry"),
        ("mapping", r"8192 bytes, MDL 0x[0-9A-F]{16}", "MapPages|DriverEntry"),
    ],
    "leak_device": [
        ("timer", r"64 bytes, period 100 ms", "StartTimers|DriverEntry"),
        ("device", r"\d+ bytes, \\Device\\Leak", "DriverEntry"),
        ("symbolic link", r"\d+ bytes, \\GLOBAL\?\?\\Leak", "DriverEntry"),
        ("thread", r"0 bytes", "DriverEntry"),
    ],
}

# CPUs, bug check, first parameter (None: any) and the function that the stack names.
CRASHES = {
    "crash_null": (1, 0x7E, 0xC0000005, "WriteThrough|DriverEntry"),
    "crash_stack": (8, 0x7F, 8, "Recurse"),
    "crash_data": (4, 0xFC, None, "DriverEntry"),
    "crash_code": (2, 0xBE, None, "DriverEntry"),
    "crash_irql": (8, 0xD1, 0xFFFFF8A0DEAD0000, "ReadThrough|DriverEntry"),
    "crash_raise": (4, 0x7E, 0xC000009C, "DriverEntry"),
    "crash_div": (1, 0x7E, 0xC0000094, "Divide|DriverEntry"),
    "crash_stub": (2, 0x1E, 0xC0000002, "DriverEntry"),
    "crash_unload": (2, 0x7E, 0xC0000005, "ReadThrough|CrashUnload"),
}


# What the run is given besides the driver, why the kernel reports, and where one CPU of two is.
HANGS = {
    "hang_dispatch": (("--timeout", "20"), "a non-maskable interrupt from outside", "SpinForever"),
    "hang_interrupts_off": (("--timeout", "20"), "a non-maskable interrupt from outside", "SpinForever"),
    "hang_spinlock": ((), r"spin lock [0-9A-F]{16}, held by CPU [01], is not released for ten", "WaitForLock"),
}


def boot(*drivers, options=()):
    return pytest.mark.boot("run", *options, *(f"build/{driver}.sys" for driver in drivers))


def outcomes(booted, driver):
    return [booted.case(f"{result} {driver}.sys") for result in RESULTS]


@boot("hello")
def test_hello_passes(booted):
    assert booted.status == 0, booted.stdout + booted.stderr
    assert outcomes(booted, "hello") == ["passed"] * 4
    assert booted.lines(r"^# hello: hello, world from \\Driver\\hello, registered at \\Registry\\Machine\\.*\\hello$")
    assert booted.lines(r"^1\.\.4$")


@boot("no_unload")
def test_driver_without_unload_is_skipped_there(booted):
    assert booted.status == 0, booted.stdout + booted.stderr
    assert outcomes(booted, "no_unload") == ["passed", "passed", "skipped", "passed"]
    assert booted.lines(r"^ok 3 unload no_unload\.sys # SKIP no DriverUnload$")


@pytest.mark.parametrize(
    "booted,driver", [pytest.param(None, name, marks=boot(name)) for name in LEAKS], indirect=["booted"]
)
def test_leaks_are_named(booted, driver):
    assert booted.status == 1, booted.stdout + booted.stderr
    assert outcomes(booted, driver) == ["passed", "passed", "passed", "failed"]
    lines = booted.lines("^# leak: ")
    assert len(lines) == len(LEAKS[driver]), lines
    for line, (kind, detail, maker) in zip(lines, LEAKS[driver]):
        made = rf"made by {driver}(\.sys)?!({maker})\+0x"
        assert re.match(rf"# leak: {kind} 0x[0-9A-F]{{16}}, {detail}, {made}", line), line


@boot("entry_fails")
def test_failing_entry_is_reported_and_its_leaks_too(booted):
    assert booted.status == 1
    assert outcomes(booted, "entry_fails") == ["passed", "failed", "skipped", "failed"]
    assert booted.lines(r"^# entry_fails\.sys: DriverEntry failed with STATUS_UNSUCCESSFUL \(0xC0000001\)$")
    assert booted.lines(r"^# leak: pool block 0x[0-9A-F]{16}, 48 bytes, tag 'Fail'")


@boot("missing_import")
def test_all_missing_imports_are_named(booted):
    assert booted.status == 1
    assert outcomes(booted, "missing_import") == ["failed", "skipped", "skipped", "skipped"]
    named = booted.lines(r"^# missing_import\.sys: missing import ntoskrnl\.exe!")
    assert sorted(line.rpartition("!")[2] for line in named) == [
        "IoRaiseInformationalHardError",
        "IoRegisterBootDriverReinitialization",
    ]
    assert booted.lines(r"STATUS_DRIVER_ENTRYPOINT_NOT_FOUND \(0xC0000263\)")


@boot("hello", "missing_import", "leak_pool", "no_unload")
def test_drivers_do_not_answer_for_each_other(booted):
    assert booted.status == 1
    assert outcomes(booted, "hello") == ["passed"] * 4
    assert outcomes(booted, "missing_import") == ["failed", "skipped", "skipped", "skipped"]
    assert outcomes(booted, "leak_pool") == ["passed", "passed", "passed", "failed"]
    assert outcomes(booted, "no_unload") == ["passed", "passed", "skipped", "passed"]
    order = [re.search(r"(\w+)\.sys", line)[1] for line in booted.lines(r"^(not )?ok \d+ unload ")]
    assert order == ["no_unload", "leak_pool", "missing_import", "hello"]


@pytest.mark.parametrize(
    "booted,driver",
    [pytest.param(None, name, marks=boot(name, options=("--cpus", str(CRASHES[name][0])))) for name in CRASHES],
    indirect=["booted"],
)
def test_crash_ends_in_the_right_bug_check(booted, driver):
    _, code, parameter, function = CRASHES[driver]
    assert booted.status == 3, booted.stdout + booted.stderr
    stop = booted.lines(r"^\*\*\* STOP: ")
    match = re.match(r"\*\*\* STOP: 0x([0-9A-F]{8}) \(0x([0-9A-F]{16}),", stop[0])
    assert int(match[1], 16) == code, stop
    if parameter is not None:
        # A status is sign-extended where it is a parameter of pointer size.
        assert int(match[2], 16) in (parameter, parameter | 0xFFFFFFFF00000000), stop
    assert booted.lines(rf"^\*\*\* {driver}\.sys\+0x")
    assert booted.lines(rf"{driver}(\.sys)?!({function})\+0x")
    assert booted.lines("^# bug check complete$")


@boot("crash_stub", options=("--expect-bugcheck", "0x1E"))
def test_a_stub_is_named_with_its_caller(booted):
    assert booted.status == 0, booted.stdout + booted.stderr
    assert booted.lines(r"^# crash_stub!DriverEntry\+0x[0-9A-F]+ calls FsRtlIncrementCcFastReadNoWait, ")


@boot("crash_null", options=("--expect-bugcheck", "0x7E"))
def test_expected_bug_check_passes(booted):
    assert booted.status == 0, booted.stdout + booted.stderr


def stacks_of_hang(booted):
    """The frames that a hang report names, by CPU."""
    stacks, frames = {}, []
    for line in booted.lines(r"^stack of CPU \d+:|^CPU \d+: |^    \d\d "):
        start = re.match(r"(?:stack of )?CPU (\d+):(.*)", line)
        if start:
            frames = stacks.setdefault(int(start[1]), [])
        frames.append(start[2] if start else line)
    return stacks


def emulators_of(booted):
    """The processes whose command line names the run's folder, as QEMU's does."""
    folder = os.path.basename(os.path.dirname(booted.results["log"])).encode()
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                found += [path] if folder in file.read() else []
        except OSError:
            continue  # it has ended
    return found


@pytest.mark.parametrize(
    "booted,driver",
    [pytest.param(None, name, marks=boot(name, options=("--cpus", "2", *HANGS[name][0]))) for name in HANGS],
    indirect=["booted"],
)
def test_hang_says_where_every_cpu_is(booted, driver):
    _, why, function = HANGS[driver]
    assert booted.status == 4, booted.stdout + booted.stderr
    assert booted.lines(rf"^# hang: {why}"), booted.log
    assert booted.lines("^# hang report complete$")
    stacks = stacks_of_hang(booted)
    assert sorted(stacks) == [0, 1], stacks
    assert all(any("!" in frame for frame in frames) for frames in stacks.values()), stacks
    culprit = [text for text in map("\n".join, stacks.values()) if f"{driver}!{function}+0x" in text]
    assert len(culprit) == 1 and f"{driver}!DriverEntry+0x" in culprit[0], stacks
    if driver == "hang_spinlock":
        holder = re.search(r"held by CPU (\d)", booted.log)[1]
        assert f"{driver}!HoldLock+0x" in "\n".join(stacks[int(holder)]), stacks
    assert not emulators_of(booted)


@boot("direct_io", "direct_io_client", options=("--cpus", "4"))
def test_the_four_methods_and_direct_reads_and_writes(booted):
    assert booted.status == 0, booted.stdout + booted.stderr
    for step in ("write", "read", "buffered", "in direct", "out direct", "neither"):
        assert booted.lines(f"^# direct_io_client: {step} 0x00000000$"), step


@boot("direct_io", "split_filter", "direct_io_client", options=("--cpus", "2"))
def test_a_filter_splits_requests_with_partial_mdls(booted):
    assert booted.status == 0, booted.stdout + booted.stderr
    assert booted.lines("^# direct_io_client: read 0x00000000$")
    assert booted.lines("^# split_filter: 4 pieces$")  # a write and a read of two pages each
    assert outcomes(booted, "direct_io_client") == ["passed"] * 4


@boot("cancel_queue", options=("--cpus", "1"))
def test_a_cancel_safe_queue_ends_each_read_once(booted):
    assert booted.status == 0, booted.stdout + booted.stderr
    ends = booted.lines("^# cancel_queue: read ")
    assert [line.rpartition(" ")[2] for line in ends] == ["0xC0000120", "0x00000000", "0xC0000120"]
