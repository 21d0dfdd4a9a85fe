"""scripts/pinfold bench: one deterministic boot with the word `bench`, its rows printed and kept.

The kernel prints `# bench: NAME N VALUE` for each measure. Instruction counting on one CPU with a fixed base and seed
makes every run give the same values.
"""

import json
import os
import re

import paths

_ROW = re.compile(r"# bench: (\S+) (\d+) (\d+(?:\.\d+)?)$")
FILE = "bench.json"


def rows(lines):
    """(name, n, value) of each row in the log."""
    found = []
    for match in filter(None, map(_ROW.match, lines)):
        value = float(match[3])
        found.append((match[1], int(match[2]), int(value) if value.is_integer() else value))
    return found


def publish(found):
    """Print the rows and write them to build/bench.json, renamed into place."""
    for row in found:
        print(*row, sep="\t")
    target = os.path.join(paths.BUILD, FILE)
    aside = f"{target}.{os.getpid()}"
    with open(aside, "w") as file:
        json.dump([{"name": name, "n": n, "value": value} for name, n, value in found], file, indent=2)
        file.write("\n")
    os.replace(aside, target)
