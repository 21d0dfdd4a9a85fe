"""The in-kernel tests on every number of CPUs and every amount of memory that the project promises."""

import pytest

MATRIX = [("1", "128M"), ("1", "6G"), ("2", "512M"), ("4", "6G"), ("8", "128M"), ("8", "512M")]


def _boot(cpus, memory):
    return pytest.mark.boot("test", "--timeout", "240", "--cpus", cpus, "--memory", memory)


@pytest.mark.parametrize("machine", [pytest.param(each, id="cpu-".join(each), marks=_boot(*each)) for each in MATRIX])
def test_in_kernel_tests_pass(booted, machine):
    assert booted.status == 0, booted.stdout[-4000:] + booted.stderr
    assert booted.results["passed"] > 0
