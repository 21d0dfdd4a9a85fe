"""The unwinder, the image registry and symbols on the host, under AddressSanitizer and UBSan.

test_unwind: the KTESTs of tests/unit/unwind_*.c, each under its own name. test_every_instruction_unwinds: real code of
the compilers that drivers are built with, run one instruction at a time (tests/unit/unwind_step_host.c).
"""

import os
import re
import subprocess

import pytest

from test_rtl import FLAGS, ROOT, RTL, RUNNER

TESTS = ["tests/unit/unwind_cases.c", "tests/unit/unwind_images.c"]

# ntimage.h comes from the driver kit; behind the host's own headers, or those would be hidden.
DDK = "/usr/share/mingw-w64/include"
MODULES = [f"kernel/rtl/{name}.c" for name in ("image", "unwind", "symbols")]
UNWIND_FLAGS = ["-D_GNU_SOURCE", "-include", "tests/unit/unwind_gate.h", "-idirafter", f"{DDK}/ddk", "-idirafter", DDK]

COMPILERS = {
    "clang": ["clang", "--target=x86_64-w64-windows-gnu"],
    "gcc": ["x86_64-w64-mingw32-gcc"],
}
SUBJECT_FLAGS = "-std=gnu17 -ffreestanding -fasynchronous-unwind-tables -mno-stack-arg-probe -Wall -Wextra".split()
SUBJECT_BASE = "0x200000000000"  # outside AddressSanitizer's shadow


def build(program, *sources):
    """Build a host program with the modules under test."""
    command = ["clang", *FLAGS, *UNWIND_FLAGS, '-DKT_SECTION="ktests"', *MODULES, *sources, "-o", program]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    return program


def names():
    """Every KTEST as "suite.name"."""
    found = []
    for path in TESTS:
        with open(os.path.join(ROOT, path), encoding="utf-8") as source:
            found += re.findall(r"^KTEST\((\w+), (\w+)\)", source.read(), re.MULTILINE)
    return found


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Build the program and run it once: all that it says."""
    program = str(tmp_path_factory.mktemp("unwind") / "unwind")
    build(program, "tests/unit/unwind_fixture.c", *TESTS, *RTL, *RUNNER)
    ended = subprocess.run([program], capture_output=True, text=True, encoding="latin-1", timeout=300, check=False)
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("suite,name", names())
def test_unwind(report, suite, name):
    assert re.search(rf"^ok .*\b{name}\b", report, re.MULTILINE), f"{suite}: " + report[-8000:]


@pytest.fixture(scope="module")
def stepper(tmp_path_factory):
    return build(str(tmp_path_factory.mktemp("unwind") / "unwind_step"), "tests/unit/unwind_step_host.c")


@pytest.mark.parametrize("frame_pointer", ["-fomit-frame-pointer", "-fno-omit-frame-pointer"])
@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_instruction_unwinds(stepper, tmp_path, compiler, level, frame_pointer):
    asm, subject, image = (str(tmp_path / name) for name in ("step.obj", "subject.o", "subject.exe"))
    flags = [*SUBJECT_FLAGS, level, frame_pointer, "-c", "tests/unit/unwind_step_subject.c", "-o", subject]
    subprocess.run(["nasm", "-f", "win64", "tests/unit/unwind_step.asm", "-o", asm], cwd=ROOT, check=True, timeout=60)
    subprocess.run([*COMPILERS[compiler], *flags], cwd=ROOT, check=True, timeout=60)
    link = ["x86_64-w64-mingw32-ld", "-e", "StepCall", "--image-base", SUBJECT_BASE, "-o", image, asm, subject]
    subprocess.run(link, check=True, timeout=60)
    ended = subprocess.run([stepper, image], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
