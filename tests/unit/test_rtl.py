"""The kernel's pure modules on the host, under AddressSanitizer and UBSan.

Each program is a handful of the kernel's sources, test files in the KTEST form (those of tests/rtl run in the kernel as
well) and hostkt.c, which runs them. A result line of a program is a result here.
"""

import os
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUTPUT = os.path.join(ROOT, "build", "unit")

FLAGS = (
    "-std=gnu17 -O1 -g -fno-builtin -fshort-wchar -fms-extensions -Wall -Wextra -Werror -Wno-format"
    " -Wno-multichar -Wno-microsoft -fsanitize=address,undefined -fno-sanitize-recover=all"
    " -iquote tests/unit/shim -iquote ."
).split()

RTL = [f"kernel/rtl/{name}.c" for name in ("memory", "crt", "print", "string", "unicode", "bitmap", "random")]
RUNNER = ["tests/lib/ktcheck.c", "tests/unit/hostkt.c"]

PROGRAMS = {
    "rtl": [f"tests/rtl/{name}_test.c" for name in ("string", "print", "crt", "bitmap")],
    "print": ["tests/unit/rtl_print.c"],
    "unicode": ["tests/unit/rtl_unicode.c"],
    "cmdline": ["tests/unit/rtl_cmdline.c", "kernel/rtl/cmdline.c"],
    "acpi": ["tests/unit/acpi_tables.c", "kernel/hal/acpi.c"],
}

# What RtlUpcaseUnicodeChar knows: first and last character of each block.
CASED_BLOCKS = (
    (0x00, 0x17F), (0x370, 0x52F), (0x561, 0x586), (0x1E00, 0x1EFF), (0x2170, 0x217F), (0x24D0, 0x24E9),
    (0xFF41, 0xFF5A),
)


def run(name):
    """Build and run a program; its output, which the test shows when it fails."""
    os.makedirs(OUTPUT, exist_ok=True)
    program = os.path.join(OUTPUT, f"{name}-{os.getpid()}")
    command = ["clang", *FLAGS, '-DKT_SECTION="ktests"', *PROGRAMS[name], *RTL, *RUNNER, "-o", program]
    try:
        built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert built.returncode == 0, built.stderr[:8000]
        ended = subprocess.run([program], capture_output=True, text=True, encoding="latin-1", timeout=120, check=False)
    finally:
        if os.path.exists(program):
            os.remove(program)
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-8000:]
    return ended.stdout


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "unicode"])
def test_module(name):
    assert "\nok " in "\n" + run(name)


def test_case_mapping_is_unicodes():
    known = dict(line.split()[1:] for line in run("unicode").splitlines() if line.startswith("upper "))
    expected = {}
    for first, last in CASED_BLOCKS:
        for code in range(first, last + 1):
            upper = chr(code).upper()
            if upper != chr(code) and len(upper) == 1 and ord(upper) <= 0xFFFF and upper.lower() == chr(code):
                expected[f"{code:04X}"] = f"{ord(upper):04X}"
    assert known == expected
