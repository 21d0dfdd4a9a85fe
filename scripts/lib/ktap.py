"""KTAP version 1, read strictly.

A plan that does not add up, a number out of sequence, a result outside any plan or a group whose result contradicts
its members is an error, since each of them can hide a test that never ran. Lines that are no part of KTAP are
ignored, as the format demands; those that begin with `# ` are kept as diagnostics of the result that follows them.

The group at column 0 is the report itself. A deeper group opens with `KTAP version 1` at a deeper indentation, is
named by the `# Subtest:` line that follows, and closes with the result line of the group around it.
"""

import re
from dataclasses import dataclass, field

VERSION = re.compile(r"( *)KTAP version (\S+)$")
SUBTEST = re.compile(r"( *)# Subtest: (.+)$")
PLAN = re.compile(r"( *)1\.\.(\d+)( # SKIP\b.*)?$", re.IGNORECASE)
RESULT = re.compile(r"( *)(not ok|ok) (\d+)(?: - | )(.*)$")
LIKE_RESULT = re.compile(r" *(not ok|ok)\b *\d*")
SKIP = re.compile(r"(?:^|\s+)# SKIP\b:?\s*(.*)$", re.IGNORECASE)

PASSED = "passed"
FAILED = "failed"
SKIPPED = "skipped"


@dataclass
class Case:
    """One leaf result, or a group that failed although none of its members did."""

    name: str  # suite.name; a name at column 0 stands alone
    status: str  # PASSED, FAILED or SKIPPED
    reason: str = ""  # why it was skipped
    diagnostics: list = field(default_factory=list)  # its `# ` lines, without the mark


@dataclass
class Report:
    cases: list = field(default_factory=list)
    errors: list = field(default_factory=list)  # what is wrong with the report as such, in words
    missing: list = field(default_factory=list)  # what the plans promise and the end of the log left out

    @property
    def complete(self):
        return not self.errors and not self.missing

    def count(self, status):
        return sum(case.status == status for case in self.cases)


class _Group:
    def __init__(self, indent):
        self.indent = indent
        self.name = None
        self.plan = None
        self.results = 0
        self.failed = False

    def title(self):
        return f"group {self.name!r}" if self.name else "a group" if self.indent else "the report"

    def shortfall(self):
        if self.plan is None:
            return [f"{self.title()} has no plan"]
        if self.results < self.plan:
            return [f"{self.title()} planned {self.plan} results and gave {self.results}"]
        return []


class Parser:
    """Fed with one line after the other; `finish` returns the Report."""

    def __init__(self):
        self._report = Report()
        self._stack = []
        self._diagnostics = []
        self._number = 0

    def feed(self, line):
        self._number += 1
        for pattern, action in (
            (VERSION, self._version),
            (SUBTEST, self._subtest),
            (PLAN, self._plan),
            (RESULT, self._result),
        ):
            match = pattern.match(line)
            if match:
                action(match)
                return
        if LIKE_RESULT.match(line):
            self._error(f"not a result line: {line!r}")
        elif line.lstrip(" ").startswith("# "):
            self._diagnostics.append(line.lstrip(" ")[2:])

    def finish(self):
        if not self._stack:
            self._report.missing.append("there is no report in the log")
        while self._stack:
            group = self._stack.pop()
            self._report.missing += group.shortfall()
            if group.indent:
                self._report.missing.append(f"{group.title()} has no result line of its own")
        return self._report

    def _error(self, text):
        self._report.errors.append(f"line {self._number}: {text}")

    def _version(self, match):
        indent = len(match[1])
        if match[2] != "1":
            self._error(f"KTAP version {match[2]} is not understood")
        if self._stack and indent <= self._stack[-1].indent:
            self._error("a report begins inside another one at the same indentation")
            return
        if not self._stack and indent:
            self._error("the first report is indented")
        self._stack.append(_Group(indent))

    def _subtest(self, match):
        # At column 0, or once the group has begun, this is a diagnostic line that only looks like a name.
        group = self._stack[-1] if self._stack else None
        if group and len(match[1]) == group.indent > 0 and group.name is None and group.plan is None:
            group.name = match[2].rstrip()
        else:
            self._diagnostics.append("Subtest: " + match[2])

    def _plan(self, match):
        group = self._group_at(len(match[1]), "plan")
        if group is None:
            return
        if group.plan is not None:
            self._error("a second plan in one group")
        elif group.results:
            self._error("the plan stands behind its results")
        group.plan = int(match[2])

    def _result(self, match):
        indent, failed, number, rest = len(match[1]), match[2] == "not ok", int(match[3]), match[4]
        children = None
        while self._stack and self._stack[-1].indent > indent:
            if children:
                self._error(f"{children.title()} has no result line of its own")
            children = self._stack.pop()
            for text in children.shortfall():
                self._error(text)
        group = self._group_at(indent, "result")
        if group is None:
            return
        group.results += 1
        if group.plan is None:
            self._error("a result before the plan")
        elif group.results > group.plan:
            self._error(f"result {group.results} of a plan of {group.plan}")
        if number != group.results:
            self._error(f"result {number} where {group.results} is due")
            group.results = number
        skip = SKIP.search(rest)
        name = (rest[: skip.start()] if skip else rest).strip()
        status = FAILED if failed else SKIPPED if skip else PASSED
        group.failed |= failed
        self._judge_group(children, name, failed)
        if children is None or (failed and not children.failed) or status == SKIPPED:
            self._add_case(name, status, skip[1] if skip else "")
        self._diagnostics = []

    def _judge_group(self, children, name, failed):
        """Check the group that this result line closes, if there is one, against the line."""
        if children is None:
            return
        if children.name is not None and children.name != name:
            self._error(f"group {children.name!r} ends as {name!r}")
        if children.failed and not failed:
            self._error(f"{name!r} is ok although a member failed")

    def _add_case(self, name, status, reason):
        names = [outer.name for outer in self._stack if outer.name] + [name]
        if not name:
            self._error("a result without a name")
        self._report.cases.append(Case(".".join(names), status, reason, self._diagnostics))

    def _group_at(self, indent, what):
        if not self._stack:
            self._error(f"a {what} before any KTAP version line")
            return None
        if indent != self._stack[-1].indent:
            self._error(f"a {what} at an indentation where no group is open")
            return None
        return self._stack[-1]


def parse(lines):
    parser = Parser()
    for line in lines:
        parser.feed(line)
    return parser.finish()
