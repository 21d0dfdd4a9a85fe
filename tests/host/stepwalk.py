"""Sourced by gdb at the kernel's entry: step through a function, instruction by instruction, and look at each stack.

Prints `stepwalk: N instructions` when every backtrace led from where the CPU was back to the kernel's entry.
"""

import os

import gdb

FUNCTION = os.environ.get("STEPWALK_FUNCTION", "KiInitializeProcessor")
ROOT = "KiSystemStartup"
STEPS_MAX = 3000


def names():
    frame, found = gdb.newest_frame(), []
    while frame is not None:
        if frame.type() == gdb.NORMAL_FRAME and frame.pc() != 0:
            found.append(frame.name())
        frame = frame.older()
    return found


gdb.execute(f"thbreak *{FUNCTION}", to_string=True)
gdb.execute("continue", to_string=True)
count = 0
while True:
    stack = names()
    if stack == [ROOT] or count == STEPS_MAX:
        break
    if FUNCTION not in stack or stack[-1] != ROOT:
        raise gdb.GdbError(f"stepwalk: after {count} instructions: {stack}")
    gdb.execute("stepi", to_string=True)
    count += 1
print(f"stepwalk: {count} instructions")
