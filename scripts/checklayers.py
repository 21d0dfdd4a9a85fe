#!/usr/bin/python3
"""Fail on an include that points up. scripts/layers.txt lists the layers and explains its format."""

import glob
import os
import re
import sys
from fnmatch import fnmatchcase

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("boot", "kernel", "mm", "io", "tests")
SUFFIXES = (".c", ".h", ".asm", ".inc")

# Programs of their own, which see what their compiler shows them: drivers, user programs, tests that run on the host.
OUTSIDE = ("tests/drivers/*", "tests/tour/*", "tests/apps/*", "tests/unit/*", "tests/fuzz/*")

_INCLUDE = re.compile(r'\s*(?:#|%)\s*include\s+"([^"]+)"')


class Layers:
    def __init__(self, text):
        self.names = []
        self.upcalls = []  # (pointer, declaring file)
        self._patterns = []  # (pattern, layer number)
        for line in text.splitlines():
            words = line.split("#")[0].split()
            if not words:
                continue
            if words[0] == "upcall":
                self.upcalls.append(tuple(words[1:]))
                continue
            self._patterns += [(pattern, len(self.names)) for pattern in words[1:]]
            self.names.append(words[0])

    def of(self, path):
        """The number of the path's layer, or None."""
        fitting = [entry for entry in self._patterns if fnmatchcase(path, entry[0])]
        return max(fitting, key=lambda entry: len(entry[0].split("*")[0]))[1] if fitting else None


def includes(path):
    """(line number, included path from the root) of each include of a file of ours."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            match = _INCLUDE.match(line)
            if match:
                candidates = (match[1], os.path.normpath(os.path.join(os.path.dirname(path), match[1])))
                yield number, next((name for name in candidates if os.path.exists(os.path.join(ROOT, name))), None)


def sources():
    for folder in FOLDERS:
        for path in sorted(glob.glob(os.path.join(ROOT, folder, "**", "*"), recursive=True)):
            name = os.path.relpath(path, ROOT)
            if name.endswith(SUFFIXES) and not any(fnmatchcase(name, pattern) for pattern in OUTSIDE):
                yield name


def check(layers):
    """One line for each thing that is wrong."""
    for path in sources():
        own = layers.of(path)
        if own is None:
            yield f"{path}: in no layer of scripts/layers.txt"
            continue
        for number, target in includes(path):
            other = layers.of(target) if target else None
            if other is not None and other > own:
                yield f"{path}:{number}: {layers.names[own]} includes {target} of {layers.names[other]}, a layer above"
    for pointer, path in layers.upcalls:
        full = os.path.join(ROOT, path)
        if not os.path.exists(full) or not re.search(rf"\b{re.escape(pointer)}\b", open(full, encoding="utf-8").read()):
            yield f"scripts/layers.txt: upcall {pointer} does not stand in {path}"


def main():
    with open(os.path.join(ROOT, "scripts", "layers.txt"), encoding="utf-8") as file:
        layers = Layers(file.read())
    errors = list(check(layers))
    for error in errors:
        print(error)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
