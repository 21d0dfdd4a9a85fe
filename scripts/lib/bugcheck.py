"""A bug check's report, found in the log.

    *** STOP: 0x000000CB (P1,P2,P3,P4)
    *** NAME
    *** module+0xOFFSET          the module to blame

then lines in words, the stack and the other CPUs, up to `# bug check complete`.
"""

import re
from dataclasses import dataclass

from errors import UsageError

_STOP = re.compile(r"\*\*\* STOP: 0x([0-9A-F]{8}) \((0x[0-9A-F]{16}(?:,0x[0-9A-F]{16}){3})\)$")
_STARS = re.compile(r"\*\*\* (\S+)$")
_BLAME = re.compile(r"(.+)\+0x([0-9A-Fa-f]+)$")
COMPLETE = "# bug check complete"


@dataclass
class BugCheck:
    code: int
    name: str
    parameters: list  # four numbers
    blame: str  # module+0xOFFSET
    text: list  # the lines behind the third, without the last
    complete: bool

    def title(self):
        return f"0x{self.code:08X} {self.name}".rstrip()

    def blamed(self):
        """(module, offset), or None where the line is missing or malformed."""
        match = _BLAME.match(self.blame)
        return (match[1], int(match[2], 16)) if match else None


def find(lines):
    """The first bug check in the log, or None."""
    for number, line in enumerate(lines):
        match = _STOP.match(line)
        if match:
            return _read(match, lines[number + 1 :])
    return None


def _read(match, rest):
    stars = []
    for line in rest[:2]:
        star = _STARS.match(line)
        if not star:
            break
        stars.append(star[1])
    name, blame = (stars + ["", ""])[:2]
    text = rest[len(stars) :]
    complete = COMPLETE in text
    if complete:
        text = text[: text.index(COMPLETE)]
    parameters = [int(value, 16) for value in match[2].split(",")]
    return BugCheck(int(match[1], 16), name, parameters, blame, text, complete)


class Expected:
    """What --expect-bugcheck names: a code as 0xCB, or a name."""

    def __init__(self, text):
        self.text = text
        self._code = int(text, 16) if re.fullmatch(r"0[xX][0-9A-Fa-f]{1,8}", text) else None
        if self._code is None and not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*_[A-Za-z0-9_]+", text):
            raise UsageError(f"--expect-bugcheck {text}: give a code such as 0xCB or its name")

    def met_by(self, stop):
        return stop is not None and (stop.name == self.text.upper() if self._code is None else stop.code == self._code)
