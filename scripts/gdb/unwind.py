"""Stack frames of PE images for a gdb that knows none: x64 unwind data (.pdata, .xdata), version 1.

Debian's gdb is built for Linux and reads no .pdata, and clang writes no DWARF frame data beside it. So gdb asks the
Unwinder here for the caller of each frame. It reads the unwind data from the image's file and only the stack from the
target. Trap stubs carry a machine frame in their unwind data: a backtrace crosses an interrupt like any call.

An `Image` is registered for each loaded image; an address outside all of them is left to gdb's own unwinders.
"""

import bisect
import itertools
import struct

import gdb
import gdb.unwinder

PUSH_NONVOL, ALLOC_LARGE, ALLOC_SMALL, SET_FPREG, SAVE_NONVOL, SAVE_NONVOL_FAR = range(6)
SAVE_XMM128, SAVE_XMM128_FAR, PUSH_MACHFRAME = 8, 9, 10

FLAG_CHAIN = 4

RETURN, IRETQ = "return", "iretq"
ENDINGS = {b"\xc3": RETURN, b"\xc2": RETURN, b"\xf3\xc3": RETURN, b"\x48\xcf": IRETQ}

GENERAL = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
RSP, RBP = GENERAL.index("rsp"), GENERAL.index("rbp")
NONVOLATILE = [GENERAL.index(name) for name in "rbx rbp rsi rdi r12 r13 r14 r15".split()]


class Image:
    """A PE32+ file as it lies at `base`."""

    def __init__(self, path, base):
        with open(path, "rb") as file:
            self._data = file.read()
        header = self._u32(0x3C)
        optional = header + 24
        self.linked_base = struct.unpack_from("<Q", self._data, optional + 24)[0]
        self.base = self.linked_base if base is None else base
        self.byte_count = self._u32(optional + 56)
        sections = optional + self._u16(header + 20)
        self._sections = [self._section(sections + 40 * index) for index in range(self._u16(header + 6))]
        table, table_bytes = struct.unpack_from("<II", self._data, optional + 112 + 3 * 8)
        raw = self.at(table, table_bytes) if table else b""
        self._functions = sorted(struct.iter_unpack("<III", raw[: len(raw) // 12 * 12]))

    def _u16(self, offset):
        return struct.unpack_from("<H", self._data, offset)[0]

    def _u32(self, offset):
        return struct.unpack_from("<I", self._data, offset)[0]

    def _section(self, offset):
        """(RVA, bytes, file offset) of a section header."""
        rva, byte_count, where = struct.unpack_from("<III", self._data, offset + 12)
        return rva, byte_count, where

    def contains(self, address):
        return self.base <= address < self.base + self.byte_count

    def at(self, rva, byte_count):
        """The image's bytes at an RVA; fewer where the section ends."""
        for start, length, where in self._sections:
            if start <= rva < start + length:
                return self._data[where + rva - start : where + min(rva - start + byte_count, length)]
        return b""

    def function(self, rva):
        """(begin, end, unwind RVA) of the function that covers the RVA, or None for a leaf."""
        index = bisect.bisect_right(self._functions, (rva, 0xFFFFFFFF, 0xFFFFFFFF)) - 1
        if index < 0 or rva >= self._functions[index][1]:
            return None
        return self._functions[index]


images = []


def add_image(path, base):
    image = Image(path, base)
    images[:] = [other for other in images if other.base != image.base] + [image]
    return image


class Frame:
    """The registers of one frame while its unwind data is interpreted."""

    def __init__(self, pending):
        self.registers = [0] * len(GENERAL)  # volatile ones are nobody's business but the innermost frame's
        for register in [RSP, *NONVOLATILE]:
            self.registers[register] = int(pending.read_register(GENERAL[register])) % 2**64
        self.pc = int(pending.read_register("rip")) % 2**64

    def read(self, address):
        memory = gdb.selected_inferior().read_memory(address % 2**64, 8)
        return int.from_bytes(memory.tobytes(), "little")

    def pop(self):
        value = self.read(self.registers[RSP])
        self.registers[RSP] += 8
        return value

    def unwind(self, image):
        """Turn the registers into the caller's; the address where the function begins."""
        rva = self.pc - image.base
        function = image.function(rva)
        if function is None:
            self.pc = self.pop()
            return image.base + rva
        begin = function[0]
        ending = self._finish_epilogue(image, rva)
        if ending == IRETQ:
            self._leave_machine_frame(0)
        elif ending == RETURN or not self._apply(image, function, rva - begin):
            self.pc = self.pop()
        return image.base + begin

    def _apply(self, image, function, offset):
        """Undo what the function's prologue has done up to `offset`; True when a machine frame gave the caller."""
        while True:
            info = function[2]
            head = image.at(info, 4)
            flags, prologue, slots, frame = head[0] >> 3, head[1], head[2], head[3]
            codes = struct.unpack(f"<{slots}H", image.at(info + 4, 2 * slots))
            if self._apply_codes(codes, offset if offset < prologue else None, frame & 15, (frame >> 4) * 16):
                return True
            if not flags & FLAG_CHAIN:
                return False
            chained = image.at(info + 4 + 2 * (slots + slots % 2), 12)
            function = struct.unpack("<III", chained)
            offset = 2**32  # the parent's prologue ran long ago

    def _apply_codes(self, codes, offset, frame_register, frame_offset):
        """`offset` is None behind the prologue."""
        index = 0
        base = self._frame_base(codes, offset, frame_register, frame_offset)
        while index < len(codes):
            at, operation, info = codes[index] & 0xFF, codes[index] >> 8 & 15, codes[index] >> 12
            operands = codes[index + 1 : index + 1 + _operand_slots(operation, info)]
            index += 1 + len(operands)
            if offset is not None and at > offset:
                continue
            value = sum(word << 16 * number for number, word in enumerate(operands))
            if operation == PUSH_NONVOL:
                self.registers[info] = self.pop()
            elif operation == ALLOC_SMALL:
                self.registers[RSP] += info * 8 + 8
            elif operation == ALLOC_LARGE:
                self.registers[RSP] += value if info else value * 8
            elif operation == SET_FPREG:
                self.registers[RSP] = self.registers[frame_register] - frame_offset
            elif operation in (SAVE_NONVOL, SAVE_NONVOL_FAR):
                self.registers[info] = self.read(base + (value * 8 if operation == SAVE_NONVOL else value))
            elif operation == PUSH_MACHFRAME:
                self._leave_machine_frame(info)
                return True
        return False

    def _frame_base(self, codes, offset, frame_register, frame_offset):
        """What saved registers are counted from: the frame register's base once it is set, RSP before."""
        for code in codes:
            if code >> 8 & 15 == SET_FPREG and (offset is None or code & 0xFF <= offset):
                return self.registers[frame_register] - frame_offset
        return self.registers[RSP]

    def _leave_machine_frame(self, has_error_code):
        top = self.registers[RSP] + 8 * has_error_code
        self.pc = self.read(top)
        self.registers[RSP] = self.read(top + 24)

    def _finish_epilogue(self, image, rva):
        """If what follows is the end of an epilogue, run it up to its return; which return, or None."""
        code = image.at(rva, 64)
        registers, at = list(self.registers), 0
        if code[:3] == b"\x48\x83\xc4":
            registers[RSP] += struct.unpack_from("<b", code, 3)[0]
            at = 4
        elif code[:3] == b"\x48\x81\xc4":
            registers[RSP] += struct.unpack_from("<i", code, 3)[0]
            at = 7
        elif code[:3] == b"\x48\x8d\x65":
            registers[RSP] = registers[RBP] + struct.unpack_from("<b", code, 3)[0]
            at = 4
        elif code[:3] == b"\x48\x8d\xa5":
            registers[RSP] = registers[RBP] + struct.unpack_from("<i", code, 3)[0]
            at = 7
        popped = []
        while at < len(code):
            high = code[at] == 0x41
            opcode = code[at + high : at + high + 1]
            if not opcode or not 0x58 <= opcode[0] <= 0x5F:
                break
            popped.append(opcode[0] - 0x58 + 8 * high)
            at += 1 + high
        if code[at : at + 3] == b"\x0f\x01\xf8":  # swapgs
            at += 3
        ending = next((name for opcode, name in ENDINGS.items() if code[at:].startswith(opcode)), None)
        if ending is None:
            return None
        self.registers = registers
        for register in popped:
            self.registers[register] = self.pop()
        return ending


def _operand_slots(operation, info):
    if operation == ALLOC_LARGE:
        return 2 if info else 1
    return {SAVE_NONVOL: 1, SAVE_XMM128: 1, SAVE_NONVOL_FAR: 2, SAVE_XMM128_FAR: 2}.get(operation, 0)


class FrameId:
    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


class Unwinder(gdb.unwinder.Unwinder):
    def __init__(self):
        super().__init__("pinfold")
        self._pointer = gdb.lookup_type("unsigned long long")

    def __call__(self, pending):
        frame = Frame(pending)
        image = next((image for image in images if image.contains(frame.pc)), None)
        if image is None:
            return None
        try:
            begin = frame.unwind(image)
        except (gdb.MemoryError, struct.error):
            return None
        info = pending.create_unwind_info(FrameId(self._value(frame.registers[RSP]), self._value(begin)))
        info.add_saved_register("rip", self._value(frame.pc))
        info.add_saved_register("rsp", self._value(frame.registers[RSP]))
        for register in NONVOLATILE:
            info.add_saved_register(GENERAL[register], self._value(frame.registers[register]))
        return info

    def _value(self, number):
        return gdb.Value(number % 2**64).cast(self._pointer)


class EndFilter:
    """Keeps what lies behind a thread's first frame, which returns to address 0, out of a backtrace."""

    name = "pinfold-end"
    enabled = True
    priority = 100

    def filter(self, frames):
        return itertools.takewhile(lambda frame: frame.inferior_frame().pc() != 0, frames)


def install():
    gdb.frame_filters[EndFilter.name] = EndFilter()
    gdb.unwinder.register_unwinder(None, Unwinder(), replace=True)
