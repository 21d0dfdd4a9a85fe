"""docs/conformance.md: every row's test exists, and every misuse that ends in a bug check ends in that one."""

import os
import re
import shutil

import pytest

from conftest import ROOT

TABLE = os.path.join(ROOT, "docs", "conformance.md")
DRIVER = os.path.join(ROOT, "build", "misuse.sys")
COPIES = os.path.join(ROOT, "build", "misuse")
OPTIONS = {"M097": ["--cmdline", "sysptes=64"]}


def rows():
    with open(TABLE) as file:
        for line in file:
            if re.match(r"\| M\d+ \|", line):
                yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def expected(text):
    """(code, the first parameters that will do) of '0xC2/0x06, 0x07; ...'; none: any."""
    code, _, parameters = text.split(";")[0].partition("/")
    return int(code, 16), [int(each, 16) for each in parameters.split(",") if each.strip()]


def boot(row):
    copy = os.path.join(COPIES, f"{row}.sys")
    if os.path.exists(DRIVER):
        os.makedirs(COPIES, exist_ok=True)
        shutil.copyfile(DRIVER, copy)
    return pytest.mark.boot("run", "--cpus", "2", "--memory", "128M", *OPTIONS.get(row, []), copy)


STOPS = [(row, text) for row, _, text, _, test in rows() if "misuse" in test.split(", ")]


@pytest.mark.parametrize("row, text", [pytest.param(*each, id=each[0], marks=boot(each[0])) for each in STOPS])
def test_misuse_is_stopped(booted, row, text):
    code, parameters = expected(text)
    assert booted.status == 3, booted.stdout[-2000:] + booted.stderr
    stop = re.search(r"^\*\*\* STOP: 0x([0-9A-F]{8}) \(0x([0-9A-F]{16}),", booted.log, re.M)
    assert stop and int(stop[1], 16) == code, booted.log[-2000:]
    assert not parameters or int(stop[2], 16) & 0xFFFFFFFF in parameters, stop[0]
    assert re.search(rf"^\*\*\* {row}\.sys\+0x", booted.log, re.M), booted.log[-2000:]


def test_named_tests_exist():
    defined = set()
    for folder, _, files in os.walk(os.path.join(ROOT, "tests")):
        for name in files:
            if name.endswith("_test.c"):
                with open(os.path.join(folder, name)) as file:
                    cases = re.findall(r"^KTEST\((\w+),\s*(\w+)\)", file.read(), re.M)
                    defined.update(".".join(each) for each in cases)
    named = {test for *_, tests in rows() for test in tests.split(", ") if test not in ("", "misuse")}
    assert named and named <= defined, named - defined
