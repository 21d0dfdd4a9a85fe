#!/usr/bin/python3
"""The rules of the house that no other tool checks.

Every text file: no tabs (Makefiles need them), no trailing blanks, at most 120 columns, a newline at the end, and no
open ends such as a to-do mark. C: at most 600 lines a file (headers 150) and 60 a function, `long` is never a type,
no `#if 0`, `#pragma once` in headers, a file's own header first. Assembly: 150 lines a file, 600 in all.

A file or function that must be longer says `/* long: reason */`: a file before its first include, a function between
the line above it and its end. Those are listed, so that the list stays short.
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SKIPPED = ("build", ".git")
TEXT = (".c", ".h", ".inc", ".asm", ".py", ".sh", ".ld", ".def", ".txt", ".mk", ".md")
NAMED = ("Makefile", "run", "pinfold", "bisect", ".clang-format", ".clang-tidy")
C_FILES = (".c", ".h", ".inc")

COLUMNS = 120
FILE_LINES = 600
HEADER_LINES = 150
FUNCTION_LINES = 60
ASM_LINES = 150
ASM_LINES_IN_ALL = 600

_OPEN_END = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
_LONG = re.compile(r"/\* long: (.+?) \*/")
_NOT_CODE = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|/\*.*?\*/|//[^\n]*', re.DOTALL)
_LONG_TYPE = re.compile(r"\blong\b")
_IF_ZERO = re.compile(r"\s*#\s*if\s+0\b")
_INCLUDE = re.compile(r'#include\s+[<"]([^>"]+)[>"]')
_FUNCTION_NAME = re.compile(r"([A-Za-z_]\w*)\s*\(")


class Checker:
    def __init__(self):
        self.errors = []
        self.allowed = []  # what is longer and says why
        self._asm_lines = 0

    def error(self, path, number, text):
        self.errors.append(f"{path}:{number}: {text}")

    def check(self, path):
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            text = file.read()
        lines = text.split("\n")
        if lines.pop() or (lines and not lines[-1]):
            self.error(path, len(lines), "ends with one newline, not with none or several")
        self._check_text(path, lines)
        if path.endswith(C_FILES):
            self._check_c(path, text, lines)
        elif path.endswith(".asm"):
            self._check_asm(path, lines)
        elif path.endswith((".py", ".sh")) and len(lines) > FILE_LINES:
            self.error(path, FILE_LINES, f"{len(lines)} lines, {FILE_LINES} are allowed")

    def finish(self):
        if self._asm_lines > ASM_LINES_IN_ALL:
            self.errors.append(f"{self._asm_lines} lines of assembly, {ASM_LINES_IN_ALL} are allowed")

    def _check_text(self, path, lines):
        tabs_allowed = path.endswith((".mk", "Makefile"))
        prose = path.endswith(".md")
        for number, line in enumerate(lines, 1):
            if "\t" in line and not tabs_allowed:
                self.error(path, number, "a tab")
            if line != line.rstrip():
                self.error(path, number, "blanks at the end of the line")
            if len(line.expandtabs(4)) > COLUMNS and not prose:
                self.error(path, number, f"{len(line.expandtabs(4))} columns, {COLUMNS} are allowed")
            if _OPEN_END.search(line):
                self.error(path, number, "an open end: finish it or file an issue")

    def _check_c(self, path, text, lines):
        limit = HEADER_LINES if path.endswith(".h") else FILE_LINES
        opening = text.split("#include")[0]
        reason = _LONG.search(opening)
        if len(lines) > limit:
            if reason:
                self.allowed.append(f"{path}: {len(lines)} lines: {reason[1]}")
            else:
                self.error(path, limit, f"{len(lines)} lines, {limit} are allowed")
        if not lines or not lines[0].startswith("/*"):
            self.error(path, 1, "no opening comment")
        if path.endswith(".h") and "#pragma once" not in lines:
            self.error(path, 1, "no #pragma once")
        code = _NOT_CODE.sub(lambda match: "\n" * match[0].count("\n"), text).split("\n")
        for number, line in enumerate(code, 1):
            if _LONG_TYPE.search(line):
                self.error(path, number, "long: it has another width elsewhere, use ULONG, ULONG64 or SIZE_T")
            if _IF_ZERO.match(line):
                self.error(path, number, "#if 0: git remembers it")
        self._check_includes(path, lines)
        self._check_functions(path, lines)

    def _check_includes(self, path, lines):
        included = [match[1] for match in map(_INCLUDE.match, lines) if match]
        for name in sorted({name for name in included if included.count(name) > 1 and not name.endswith(".inc")}):
            self.error(path, 1, f"includes {name} twice")
        header = path[:-2] + ".h"
        if not path.endswith(".c") or not os.path.exists(os.path.join(ROOT, header)):
            return
        if included and included[0] not in (header, os.path.basename(header)):
            self.error(path, 1, f"includes {included[0]} before its own header")

    def _check_functions(self, path, lines):
        """A function's body stands between `{` and `}` in the first column."""
        start = None
        for number, line in enumerate(lines):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                length = number - start - 1
                if length > FUNCTION_LINES:
                    self._check_long_function(path, lines, start, number, length)
                start = None

    def _check_long_function(self, path, lines, start, end, length):
        head = start
        while head > 0 and lines[head - 1].strip() and not lines[head - 1].rstrip().endswith(("*/", "}", ";")):
            head -= 1
        name = next((match[1] for match in map(_FUNCTION_NAME.search, lines[head:start]) if match), "function")
        reason = _LONG.search("\n".join(lines[max(head - 1, 0) : end]))
        if reason:
            self.allowed.append(f"{path}:{head + 1}: {name}, {length} lines: {reason[1]}")
        else:
            self.error(path, head + 1, f"{name} has {length} lines, {FUNCTION_LINES} are allowed")

    def _check_asm(self, path, lines):
        code = sum(1 for line in lines if line.strip() and not line.lstrip().startswith(";"))
        if not path.startswith("tests"):
            self._asm_lines += code
        if code > ASM_LINES:
            self.error(path, ASM_LINES, f"{code} lines of code, {ASM_LINES} are allowed")


def files():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(names):
            if name.endswith(TEXT) or name in NAMED:
                yield os.path.relpath(os.path.join(folder, name), ROOT)


def main():
    checker = Checker()
    for path in files():
        checker.check(path)
    checker.finish()
    for line in checker.allowed:
        print(f"long: {line}")
    for line in checker.errors:
        print(line)
    return 1 if checker.errors else 0


if __name__ == "__main__":
    sys.exit(main())
