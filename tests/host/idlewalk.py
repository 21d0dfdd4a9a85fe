"""Sourced by gdb at the kernel's entry: the backtrace of the first clock interrupt that interrupts an idle CPU."""

import gdb

STOPS_MAX = 500

gdb.execute("hbreak KiUpdateRunTime", to_string=True)
backtrace = ""
for _ in range(STOPS_MAX):
    gdb.execute("continue", to_string=True)
    backtrace = gdb.execute("backtrace 20", to_string=True)
    if "KiIdleLoop" in backtrace:
        break
print(backtrace)
