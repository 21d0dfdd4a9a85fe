"""The Makefile and the check for tools, as users meet them."""

import os
import shutil
import subprocess

import conftest


# Without what the `make test` around us hands down.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}


def run(*command, env=None):
    environment = env or ENVIRONMENT
    return subprocess.run(command, cwd=conftest.ROOT, env=environment, capture_output=True, text=True, check=False)


def test_unchanged_tree_rebuilds_nothing():
    assert run("make", "all").returncode == 0
    assert run("make", "-q", "all").returncode == 0, run("make", "-n", "all").stdout


def test_help_lists_the_targets():
    out = run("make", "help").stdout
    for target in ("run", "test", "debug", "image", "lint", "ci", "bench", "list", "clean"):
        assert f"make {target} " in out


def _bare(tmp_path, *tools):
    """An environment whose PATH has nothing but these tools."""
    for name in tools:
        (tmp_path / name).symlink_to(shutil.which(name))
    return {**ENVIRONMENT, "PATH": str(tmp_path), "NO_INSTALL": "1"}


def test_missing_tools_are_named_with_the_command(tmp_path):
    environment = _bare(tmp_path, "sh", "id", "sed", "head", "apt-get", "apt-cache")
    done = run("sh", "scripts/tools.sh", "run", env=environment)
    assert done.returncode == 2
    assert "apt-get install -y --no-install-recommends clang " in done.stdout
    for package in ("nasm", "mtools", "binutils-mingw-w64-x86-64", "qemu-system-x86"):
        assert package in done.stdout


def test_no_apt_is_said(tmp_path):
    done = run("sh", "scripts/tools.sh", "build", env=_bare(tmp_path, "sh"))
    assert done.returncode == 2
    assert "nasm" in done.stderr and done.stderr.count("\n") == 1


def test_tools_that_are_there_cost_nothing():
    done = run("sh", "scripts/tools.sh", "test")
    assert (done.returncode, done.stdout) == (0, "")
