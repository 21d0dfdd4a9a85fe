"""Where things are. PINFOLD_BUILD and PINFOLD_QEMU replace the build folder and the emulator, for tests."""

import os
import re
import shutil

from errors import UsageError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("PINFOLD_BUILD") or os.path.join(ROOT, "build")

_FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
)


def display(path):
    """The path as a user would type it from where they are."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def built(name):
    """A file that `make` builds."""
    path = os.path.join(BUILD, name)
    if not os.path.exists(path):
        raise UsageError(f"{display(path)} is missing: run make first")
    return path


def existing(path):
    """A file that the user named."""
    if not os.path.isfile(path):
        raise UsageError(f"{path}: no such file")
    return path


def qemu():
    name = os.environ.get("PINFOLD_QEMU") or "qemu-system-x86_64"
    found = shutil.which(name)
    if found is None:
        raise UsageError(f"{name} is missing: sh scripts/tools.sh run installs it (package qemu-system-x86)")
    return found


def firmware():
    """The code and variable-store images of OVMF."""
    for code, variables in _FIRMWARE:
        if os.path.exists(code) and os.path.exists(variables):
            return code, variables
    raise UsageError("OVMF is missing: sh scripts/tools.sh run installs it (package ovmf)")


def tool(name, package):
    found = shutil.which(name)
    if found is None:
        raise UsageError(f"{name} is missing: apt-get install {package}")
    return found


def filecheck():
    """LLVM's FileCheck: Debian gives it a version suffix, the newest wins."""
    found = shutil.which("FileCheck")
    if found:
        return found
    versions = []
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isdir(folder):
            matches = filter(None, map(_FILECHECK.match, os.listdir(folder)))
            versions += [(int(match[1]), os.path.join(folder, match[0])) for match in matches]
    if not versions:
        raise UsageError("FileCheck is missing: sh scripts/tools.sh test installs it (package llvm-N-tools)")
    return max(versions)[1]


_FILECHECK = re.compile(r"FileCheck-(\d+)$")
