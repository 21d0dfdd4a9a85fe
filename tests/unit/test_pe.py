"""The driver loader's pure half on the host, under AddressSanitizer and UBSan: tests/unit/pe_cases.c.

One of the images that it breaks is a driver built here from tests/drivers/hello, as any driver is built.
"""

import os
import re
import subprocess

import pytest

from test_rtl import FLAGS, ROOT, RTL, RUNNER

DDK = "/usr/share/mingw-w64/include"
PE_FLAGS = ["-include", "tests/unit/pe_gate.h", "-idirafter", f"{DDK}/ddk", "-idirafter", DDK]
SOURCES = [f"io/ldr/{name}.c" for name in ("pe", "reloc", "import")] + ["tests/io/testimage.c", "tests/unit/pe_cases.c"]


def names():
    with open(os.path.join(ROOT, "tests/unit/pe_cases.c"), encoding="utf-8") as source:
        return re.findall(r"^KTEST\(io_pe, (\w+)\)", source.read(), re.MULTILINE)


def build_driver(folder):
    """hello.sys, from its one source file."""
    common = {"cwd": ROOT, "check": True, "timeout": 60}
    compiled, driver = str(folder / "hello.o"), str(folder / "hello.sys")
    target = ["--target=x86_64-w64-windows-gnu", "-fms-extensions", "-isystem", f"{DDK}/ddk", "-O2", "-g"]
    subprocess.run(["clang", *target, "-c", "tests/drivers/hello/main.c", "-o", compiled], **common)
    link = ["x86_64-w64-mingw32-ld", "-shared", "--subsystem", "native", "-e", "DriverEntry", "-o", driver, compiled]
    subprocess.run([*link, "-L/usr/x86_64-w64-mingw32/lib", "-lntoskrnl", "-lhal"], **common)
    return driver


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Build the program and run it once: all that it says."""
    folder = tmp_path_factory.mktemp("pe")
    program = str(folder / "pe")
    defines = ['-DKT_SECTION="ktests"', f'-DPC_DRIVER_FILE="{build_driver(folder)}"']
    command = ["clang", *FLAGS, *PE_FLAGS, *defines, *SOURCES, *RTL, *RUNNER, "-o", program]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    ended = subprocess.run([program], capture_output=True, text=True, encoding="latin-1", timeout=300, check=False)
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("name", names())
def test_pe(report, name):
    assert f"ok io_pe.{name}" in report.splitlines(), report[-8000:]
