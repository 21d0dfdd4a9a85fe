"""The loader's pure half on the host, under AddressSanitizer and UBSan: tests/unit/boot_*.c.

The image that they break is tests/unit/boot_subject.c, compiled and linked as the kernel is.
"""

import os
import re
import subprocess

import pytest

from test_rtl import FLAGS, ROOT, RTL, RUNNER

CASES = [f"tests/unit/boot_{name}.c" for name in ("archive", "image", "pure")]
LOADER = [f"boot/{name}.c" for name in ("archive", "clock", "image", "runs", "text")]


def names():
    for path in CASES:
        with open(os.path.join(ROOT, path), encoding="utf-8") as source:
            yield from (f"{suite}.{name}" for suite, name in re.findall(r"^KTEST\((\w+), (\w+)\)", source.read(), re.M))


def build_subject(folder):
    """A PE32+ image with debug information, symbols and relocations."""
    common = {"cwd": ROOT, "check": True, "timeout": 60}
    compiled, image = str(folder / "subject.o"), str(folder / "subject.exe")
    target = ["--target=x86_64-w64-windows-gnu", "-ffreestanding", "-fasynchronous-unwind-tables", "-O1", "-g"]
    subprocess.run(["clang", *target, "-c", "tests/unit/boot_subject.c", "-o", compiled], **common)
    options = ["-T", "linker.ld", "-e", "KiSystemStartup", "--subsystem", "native", "--image-base", "0x140000000"]
    options += ["--dynamicbase", "--enable-reloc-section", "--no-insert-timestamp"]
    subprocess.run(["x86_64-w64-mingw32-ld", *options, "-o", image, compiled], **common)
    return image


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Build the program and run it once: all that it says."""
    folder = tmp_path_factory.mktemp("boot")
    program = str(folder / "boot")
    defines = ['-DKT_SECTION="ktests"', f'-DBI_SUBJECT_FILE="{build_subject(folder)}"']
    command = ["clang", *FLAGS, *defines, *CASES, *LOADER, *RTL, *RUNNER, "-o", program]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    ended = subprocess.run([program], capture_output=True, text=True, encoding="latin-1", timeout=300, check=False)
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("name", names())
def test_boot(report, name):
    assert f"ok {name}" in report.splitlines(), report[-8000:]
