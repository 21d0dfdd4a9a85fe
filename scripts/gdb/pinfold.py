"""gdb commands for the Pinfold kernel: `pinfold entry`, `pinfold attach`, `pinfold symbols`.

Loaded with `gdb -x scripts/gdb/pinfold.py`; `make debug` does so. The kernel is linked for one address and runs at
another, chosen at boot: its symbols are loaded with the difference as their offset. PINFOLD_BUILD names another build
folder than build/.
"""

import os
import re
import sys

import gdb

sys.dont_write_bytecode = True  # nothing is written outside build/
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import unwind  # noqa: E402  (found only once the path is set)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
KERNEL = os.path.join(os.environ.get("PINFOLD_BUILD") or os.path.join(ROOT, "build"), "ntoskrnl.exe")

FIXED_BASE = 0xFFFFF80000200000  # LOADER_IMAGE_FIXED_BASE, where `nokaslr` puts the kernel
BASE_STEP = 0x10000  # the base varies in steps of 64 KiB
IMAGE_BYTES_MAX = 0x4000000  # how far below one of its functions the image's start is looked for
KERNEL_SPACE = 0xFFFF800000000000
ENTRY = "KiSystemStartup"


def load_symbols(base):
    image = unwind.add_image(KERNEL, base)
    gdb.execute("symbol-file", to_string=True)
    gdb.execute(f'add-symbol-file "{KERNEL}" -o {(base - image.linked_base) % 2**64:#x}', to_string=True)
    print(f"ntoskrnl.exe at {base:#018x}")


def find_base():
    """Where the running kernel lies: the first page below its divide-error handler that is a PE header."""
    registers = gdb.execute("monitor info registers", to_string=True)
    match = re.search(r"^IDT=\s*([0-9a-f]+)", registers, re.MULTILINE)
    table = int(match[1], 16) if match else 0
    if table < KERNEL_SPACE:
        raise gdb.GdbError("The kernel does not run yet: its interrupt table is not loaded.")
    gate = read(table, 16)
    handler = int.from_bytes(gate[0:2] + gate[6:12], "little")
    start = handler - handler % BASE_STEP
    for base in range(start, start - IMAGE_BYTES_MAX, -BASE_STEP):
        if is_image(base):
            return base
    raise gdb.GdbError("No image header below the interrupt handlers.")


def is_image(address):
    try:
        header = read(address, 0x40)
        signature = address + int.from_bytes(header[0x3C:0x40], "little")
        return header[:2] == b"MZ" and read(signature, 4) == b"PE\0\0"
    except gdb.MemoryError:
        return False


def read(address, byte_count):
    return gdb.selected_inferior().read_memory(address, byte_count).tobytes()


def prepare():
    """The architecture, which no program file tells; no questions in between; no guesses at lost arguments."""
    for setting in ("confirm off", "pagination off", "architecture i386:x86-64", "print entry-values no"):
        gdb.execute(f"set {setting}", to_string=True)


class Prefix(gdb.Command):
    """Commands for the Pinfold kernel."""

    def __init__(self):
        super().__init__("pinfold", gdb.COMMAND_USER, prefix=True)


class Entry(gdb.Command):
    """pinfold entry TARGET: attach to a machine that has not started and run it to the kernel's entry.

    The kernel must have been given `nokaslr`."""

    def __init__(self):
        super().__init__("pinfold entry", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        prepare()
        load_symbols(FIXED_BASE)
        gdb.execute(f"target remote {argument}", to_string=True)
        gdb.execute(f"thbreak *{ENTRY}", to_string=True)
        gdb.execute("continue")


class Attach(gdb.Command):
    """pinfold attach TARGET: attach to a running kernel, wherever it lies."""

    def __init__(self):
        super().__init__("pinfold attach", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        prepare()
        gdb.execute(f"target remote {argument}", to_string=True)
        load_symbols(find_base())


class Symbols(gdb.Command):
    """pinfold symbols [BASE]: load the kernel's symbols, at BASE or where the running kernel is found."""

    def __init__(self):
        super().__init__("pinfold symbols", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        load_symbols(int(gdb.parse_and_eval(argument)) % 2**64 if argument else find_base())


unwind.install()
for command in (Prefix, Entry, Attach, Symbols):
    command()
