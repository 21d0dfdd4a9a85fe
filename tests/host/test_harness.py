"""scripts/pinfold against a stand-in for QEMU: exit statuses and their precedence, logs, reports, signals."""

import json
import os
import signal
import subprocess
import tarfile
import time
import xml.etree.ElementTree as xml

import conftest
import pytest

FAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fakeqemu.py")
FIRMWARE = "\x1b[2J\x1b[01;01HBdsDxe: starting Boot0001\r\n\x1b[0m"
BOOT = FIRMWARE + "# Pinfold loader 1\n# Pinfold kernel 1\n"
PASS = "KTAP version 1\n1..2\nok 1 load x.sys\nok 2 leaks x.sys\n"
FAIL = "KTAP version 1\n1..2\nok 1 load x.sys\n# MDL 0xFFFFFA8000001000 left\nnot ok 2 leaks x.sys\n"
OPEN = "KTAP version 1\n1..2\nok 1 load x.sys\n"
NAME = "DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS"
STOP = (
    "*** STOP: 0x000000CB (0xFFFFF88000001000,0x0000000000000000,0xFFFFFA8000123450,0x0000000000000010)\n"
    f"*** {NAME}\n*** x.sys+0x1234\nfour pages are still locked\n# bug check complete\n"
)


class Bench:
    """A build folder of its own and the stand-in."""

    def __init__(self, folder):
        self.folder = folder
        self.build = folder / "build, own"
        self.build.mkdir()
        for name in ("esp.img", "ntoskrnl.exe"):
            (self.build / name).write_bytes(b"")
        self.trace_path = folder / "trace"

    def environment(self, steps):
        return {
            **os.environ,
            "PINFOLD_QEMU": FAKE,
            "PINFOLD_BUILD": str(self.build),
            "FAKE_QEMU": json.dumps(steps),
            "FAKE_QEMU_TRACE": str(self.trace_path),
        }

    def start(self, *arguments, steps):
        return subprocess.Popen(
            [conftest.PINFOLD, *arguments],
            cwd=self.folder,
            env=self.environment(steps),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments, steps):
        process = self.start(*arguments, steps=steps)
        out, errors = process.communicate(timeout=60)
        return process.returncode, out.decode(), errors.decode()

    def status(self, text, leave, *arguments):
        steps = [{"print": text}, {"until": "quit"} if leave is None else {"exit": leave}]
        return self.run("run", *arguments, steps=steps)[0]

    def last(self, name):
        return (self.build / "last" / name).read_bytes().decode()

    def trace(self):
        return [json.loads(line) for line in self.trace_path.read_text().splitlines()]


@pytest.fixture
def rig(tmp_path):
    return Bench(tmp_path)


def test_pass(rig):
    status, out, errors = rig.run("run", steps=[{"print": BOOT + PASS}, {"exit": 33}])
    assert (status, errors) == (0, "")
    assert out.startswith("# Pinfold loader 1\n")
    assert "2 passed, 0 failed" in out.splitlines()[-1]


EXITS = {
    "failing test": (BOOT + FAIL, 35, [], 1),
    "failing test, pass code": (BOOT + FAIL, 33, [], 1),
    "passing tests, fail code": (BOOT + PASS, 35, [], 1),
    "open plan, pass code": (BOOT + OPEN, 33, [], 1),
    "no report": (BOOT, 33, [], 1),
    "QEMU leaves by itself": (BOOT + PASS, 0, [], 1),
    "QEMU fails": (BOOT + PASS, 1, [], 1),
    "bug check": (BOOT + OPEN + STOP, 37, [], 3),
    "bug check without words": (BOOT + OPEN, 37, [], 3),
    "bug check after a failing test": (BOOT + FAIL + STOP, 37, [], 3),
    "hang report": (BOOT + PASS, 43, [], 4),
    "hang in a bug check": (BOOT + OPEN + STOP, 43, [], 4),
    "loader fails": (FIRMWARE + "# Pinfold loader 1\n# ntoskrnl.exe is truncated\n", 39, [], 5),
    "loader fails without words": (FIRMWARE, 39, [], 5),
    "firmware gives up": (FIRMWARE, 0, [], 5),
    "QEMU does not start": (FIRMWARE, 1, [], 2),
    "unknown word": (BOOT + "# unknown word on the kernel command line: bogus\n", 41, [], 2),
    "expect holds": (BOOT + PASS, 33, ["--expect", "^ok 1 load"], 0),
    "expect fails": (BOOT + PASS, 33, ["--expect", "nowhere"], 1),
    "one expect of two fails": (BOOT + PASS, 33, ["--expect", "load", "--expect", "nowhere"], 1),
    "forbid holds": (BOOT + PASS, 33, ["--forbid", "nowhere"], 0),
    "forbid fails": (BOOT + PASS, 33, ["--forbid", "^ok 2"], 1),
    "firmware is not in the log": (BOOT + PASS, 33, ["--expect", "BdsDxe"], 1),
    "expected bug check": (BOOT + OPEN + STOP, 37, ["--expect-bugcheck", "0xCB"], 0),
    "expected bug check, long": (BOOT + OPEN + STOP, 37, ["--expect-bugcheck", "0x000000cb"], 0),
    "expected bug check, name": (BOOT + OPEN + STOP, 37, ["--expect-bugcheck", NAME], 0),
    "another bug check": (BOOT + OPEN + STOP, 37, ["--expect-bugcheck", "0xC4"], 3),
    "no bug check": (BOOT + PASS, 33, ["--expect-bugcheck", "0xCB"], 1),
    "expected bug check after a failing test": (BOOT + FAIL + STOP, 37, ["--expect-bugcheck", "0xCB"], 1),
    "expected bug check, forbid fails": (BOOT + OPEN + STOP, 37, ["--expect-bugcheck", "0xCB", "--forbid", "four"], 1),
    "expected bug check, then a hang": (BOOT + OPEN + STOP, 43, ["--expect-bugcheck", "0xCB"], 4),
}


@pytest.mark.parametrize("name", EXITS)
def test_exit_status(rig, name):
    text, leave, arguments, expected = EXITS[name]
    assert rig.status(text, leave, *arguments) == expected


@pytest.mark.parametrize("text, expected", [(BOOT + OPEN, 4), (FIRMWARE, 5), ("", 5)], ids=["kernel", "OVMF", "dark"])
def test_hang_is_ended(rig, text, expected):
    assert rig.status(text, None, "--timeout", "2") == expected
    assert rig.trace()[-1] == "quit"


def test_hang_report(rig):
    steps = [{"print": BOOT + OPEN}, {"until": "inject-nmi"}, {"print": "# CPU 0 at KiIdle+0x10\n"}, {"exit": 43}]
    assert rig.run("run", "--timeout", "2", steps=steps)[0] == 4
    assert "# CPU 0 at KiIdle+0x10" in rig.last("serial.log")


def test_reset_is_a_crash(rig):
    reset = {"event": "SHUTDOWN", "guest": True, "reason": "guest-reset"}
    assert rig.run("run", steps=[{"print": BOOT + OPEN}, reset, {"exit": 0}])[0] == 3
    assert rig.run("run", steps=[{"print": FIRMWARE}, reset, {"exit": 0}])[0] == 5


def test_qemu_killed(rig):
    assert rig.run("run", steps=[{"print": BOOT + PASS}, {"kill": 11}])[0] == 1


def test_log_is_split_however_it_arrives(rig):
    text = FIRMWARE + "# Pinfold loader 1\n# Pinfold kernel 1\n# Grüße\n" + PASS
    data = text.encode()
    steps = []
    for byte in data[: len(FIRMWARE) + 30]:
        steps += [{"print": chr(byte)}, {"sleep": 0.002}]
    steps += [{"print": data[len(FIRMWARE) + 30 :].decode()}, {"exit": 33}]
    assert rig.run("run", steps=steps)[0] == 0
    assert rig.last("firmware.log") == FIRMWARE
    assert rig.last("serial.log") == text[len(FIRMWARE) :]


def test_results(rig):
    status, _, _ = rig.run(
        *("run", "--junit", "j.xml", "--json", "j.json", "--log", "l.log", "--cpus", "2"),
        steps=[{"print": BOOT + FAIL}, {"exit": 35}],
    )
    assert status == 1
    results = json.loads((rig.folder / "j.json").read_text())
    assert results["exit"] == 1 and results["cpus"] == 2 and results["failed"] == 1
    assert results["tests"][1]["diagnostics"] == ["MDL 0xFFFFFA8000001000 left"]
    suite = xml.parse(rig.folder / "j.xml").getroot().find("testsuite")
    assert [case.get("name") for case in suite.findall("testcase[failure]")] == ["leaks x.sys", "run"]
    assert suite.get("tests") == "3" and suite.get("failures") == "2"
    assert (rig.folder / "l.log").read_text().startswith("# Pinfold loader")
    assert (rig.folder / "firmware.log").read_bytes().decode() == FIRMWARE
    assert rig.last("serial.log") == (rig.folder / "l.log").read_text()


def test_bugcheck_in_results(rig):
    rig.run("run", "--json", "j.json", steps=[{"print": BOOT + OPEN + STOP}, {"exit": 37}])
    stop = json.loads((rig.folder / "j.json").read_text())["bugcheck"]
    assert stop["code"] == "0x000000CB" and stop["blame"] == "x.sys+0x1234"
    status, out, _ = rig.run("analyze", str(rig.build / "last"), steps=[])
    assert status == 0
    assert NAME in out and "x.sys, at offset 0x1234" in out


def test_command_to_repeat(rig):
    text = BOOT + "# seed=0x12AB\n" + FAIL
    _, out, _ = rig.run("test", "--cpus", "2", "mm_*", steps=[{"print": text}, {"exit": 35}])
    assert "again: scripts/pinfold test --cpus 2 'mm_*' --cmdline=seed=0x12AB\n" in out


def test_archive(rig):
    (rig.folder / "a, b").mkdir()
    for name in ("z.sys", "a, b/y.sys", "p.exe"):
        (rig.folder / name).write_text(name)
    arguments = ["run", "z.sys", "a, b/y.sys", "--app", "p.exe", "--cmdline", "tlb=strict  seed=7", "--verifier"]
    assert rig.run(*arguments, steps=[{"print": BOOT + PASS}, {"exit": 33}])[0] == 0
    with tarfile.open(rig.build / "last" / "archive.tar") as tar:
        assert tar.getnames() == ["cmdline", "drivers/z.sys", "drivers/y.sys", "apps/p.exe"]
        assert tar.extractfile("cmdline").read() == b"verifier=standard tlb=strict seed=7"
        assert tar.extractfile("drivers/y.sys").read() == b"a, b/y.sys"
        assert all(entry.offset_data - entry.offset == 512 for entry in tar)


def test_qemu_arguments(rig):
    rig.run(
        *("run", "--cpus", "8", "--memory", "1g", "--qemu-arg=-d", "--qemu-arg", "int"),
        steps=[{"print": BOOT + PASS}, {"exit": 33}],
    )
    arguments = rig.trace()[0]
    assert arguments[-2:] == ["-d", "int"]
    assert arguments[arguments.index("-smp") + 1] == "8"
    assert arguments[arguments.index("-m") + 1] == "1G"
    assert any("build,, own/esp.img" in argument for argument in arguments)


def test_icount(rig):
    rig.run("run", "--icount", "6", steps=[{"print": BOOT + PASS}, {"exit": 33}])
    arguments = rig.trace()[0]
    assert arguments[arguments.index("-icount") + 1] == "shift=6,sleep=off"
    assert arguments[arguments.index("-smp") + 1] == "1"
    with tarfile.open(rig.build / "last" / "archive.tar") as tar:
        assert tar.extractfile("cmdline").read() == b"nokaslr seed=1"


def test_list(rig):
    text = BOOT + "# test: mm_pool.allocates\n# test: rtl_print.hex\n"
    status, out, _ = rig.run("list", steps=[{"print": text}, {"exit": 33}])
    assert (status, out) == (0, "mm_pool.allocates\nrtl_print.hex\n")


def test_bench(rig):
    text = BOOT + "# bench: mdl_pair 1 120\n# bench: mdl_pair 4 131\n"
    status, out, _ = rig.run("bench", steps=[{"print": text}, {"exit": 33}])
    assert (status, out) == (0, "mdl_pair\t1\t120\nmdl_pair\t4\t131\n")
    assert json.loads((rig.build / "bench.json").read_text())[1] == {"name": "mdl_pair", "n": 4, "value": 131}


def test_no_test_matches(rig):
    empty = BOOT + "KTAP version 1\n1..0\n"
    status, _, errors = rig.run("test", "nothing*", steps=[{"print": empty}, {"exit": 33}])
    assert status == 2 and "scripts/pinfold list" in errors


def test_filecheck(rig):
    (rig.folder / "good").write_text("CHECK: ok 1 load\nCHECK-NEXT: ok 2 leaks\n")
    (rig.folder / "bad").write_text("CHECK: ok 2 leaks\nCHECK: ok 1 load\n")
    assert rig.status(BOOT + PASS, 33, "--check", "good") == 0
    assert rig.status(BOOT + PASS, 33, "--check", "good", "--check", "bad") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--cpus", "0"],
        ["run", "--cpus", "65"],
        ["run", "--cpus", "two"],
        ["run", "--memory", "lots"],
        ["run", "--timeout", "0"],
        ["run", "--expect", "("],
        ["run", "--check", "missing"],
        ["run", "--expect-bugcheck", "203"],
        ["run", "--accel", "xen"],
        ["run", "--icount", "6", "--cpus", "2"],
        ["run", "--junit", "no/folder/j.xml"],
        ["run", "missing.sys"],
        ["run", "--app", "missing.exe"],
        ["run", "--bogus"],
        ["run", "--time", "5"],  # no abbreviations: they would break when an option is added
        ["test", "a b"],
        ["analyze", "missing"],
        ["bogus"],
        [],
    ],
)
def test_wrong_usage_is_one_line(rig, arguments):
    status, out, errors = rig.run(*arguments, steps=[{"exit": 99}])
    assert (status, out) == (2, "")
    assert errors.startswith("pinfold: ") and errors.count("\n") == 1


def test_missing_build(rig):
    (rig.build / "esp.img").unlink()
    status, _, errors = rig.run("run", steps=[])
    assert status == 2 and "run make" in errors and errors.count("\n") == 1


def test_unknown_word_is_one_line(rig):
    text = BOOT + "# unknown word on the kernel command line: bogus\n"
    status, _, errors = rig.run("run", steps=[{"print": text}, {"exit": 41}])
    assert status == 2 and "bogus" in errors and errors.count("\n") == 1


def _children(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_signal_leaves_no_qemu(rig, number):
    process = rig.start("run", steps=[{"print": BOOT}, {"until": "quit"}])
    while process.stdout.readline() != b"# Pinfold kernel 1\n":
        pass
    (qemu,) = _children(process)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}.get(number, 128 + number)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{qemu}") and time.monotonic() < deadline:
        time.sleep(0.02)  # the kernel's own signal to an orphan takes a moment
    assert not os.path.exists(f"/proc/{qemu}")


def test_two_runs_at_once(rig):
    steps = [{"print": BOOT}, {"sleep": 0.5}, {"print": PASS}, {"exit": 33}]
    first = rig.start("run", steps=steps)
    second = rig.start("run", steps=steps)
    assert [process.wait(30) for process in (first, second)] == [0, 0]
    assert len(list((rig.build / "runs").iterdir())) == 2
    assert (rig.build / "last").is_symlink() and rig.last("serial.log").endswith(PASS)
    for process in (first, second):
        process.communicate()


def test_reader_that_leaves_does_not_end_the_run(rig):
    process = rig.start("run", steps=[{"print": BOOT}, {"sleep": 0.5}, {"print": PASS}, {"exit": 33}])
    process.stdout.close()
    process.wait(30)
    process.stderr.close()
    assert rig.last("serial.log").endswith(PASS)


def test_dump_on_panic(rig):
    panic = {"event": "GUEST_PANICKED", "action": "pause"}
    steps = [{"print": BOOT + OPEN + STOP}, panic, {"until": "cont"}, {"exit": 37}]
    assert rig.run("run", "--dump", "d", steps=steps)[0] == 3
    assert "dump-guest-memory" in rig.trace()
    assert "0x000000CB" in (rig.folder / "d" / "README").read_text()
    assert (rig.folder / "d" / "ntoskrnl.exe").exists()


def test_dump_on_hang(rig):
    steps = [{"print": BOOT + OPEN}, {"until": "inject-nmi"}, {"exit": 43}]
    assert rig.run("run", "--dump", "d", "--timeout", "2", steps=steps)[0] == 4
    assert rig.trace()[1:] == ["qmp_capabilities", "stop", "dump-guest-memory", "cont", "inject-nmi"]
