"""The emulated machine: what a run asks for, turned into QEMU's command line."""

import re
import shlex
from dataclasses import dataclass, field

import paths
from errors import UsageError

EXIT_PORT = "iobase=0xf4,iosize=4"
BUILD_DATE = "2024-01-01"  # what the clock of a deterministic run starts with


@dataclass
class Machine:
    cpus: int = 4
    memory: str = "512M"
    accel: str = "tcg"
    icount: int | None = None
    display: bool = False
    disk: str | None = None
    gdb: str | None = None  # QEMU's -gdb argument
    stopped: bool = False  # hold the CPUs at reset until a debugger lets them go
    panic_device: bool = False  # the kernel's bug check pauses the machine for a dump
    extra: list = field(default_factory=list)

    def __post_init__(self):
        if not 1 <= self.cpus <= 64:
            raise UsageError(f"--cpus {self.cpus}: give a number from 1 to 64")
        if not re.fullmatch(r"[1-9]\d*[MG]", self.memory.upper()):
            raise UsageError(f"--memory {self.memory}: give a size such as 128M or 4G")
        if self.icount is not None:
            if not 0 <= self.icount <= 10:
                raise UsageError(f"--icount {self.icount}: give a shift from 0 to 10")
            if self.accel != "tcg" or self.cpus != 1:
                raise UsageError("--icount needs --cpus 1 and --accel tcg")

    def command(self, archive, variables, qmp_descriptor):
        """QEMU's arguments. `variables` is this run's own copy of the firmware's store."""
        code, _ = paths.firmware()
        memory = self.memory.upper()
        arguments = [
            paths.qemu(),
            *("-nodefaults", "-no-user-config", "-no-reboot", "-nic", "none"),
            *("-machine", "q35,memory-backend=ram"),
            *("-object", f"memory-backend-ram,id=ram,size={memory},reserve=off"),
            *("-m", memory),
            *("-smp", str(self.cpus)),
            *("-cpu", "max,la57=off"),
            *self._accelerator(),
            *self._display(),
            *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={escape(code)}"),
            *("-drive", f"if=pflash,format=raw,unit=1,file={escape(variables)}"),
            *("-drive", f"if=none,id=esp,format=raw,readonly=on,file={escape(paths.built('esp.img'))}"),
            *("-device", "virtio-blk-pci,drive=esp,bootindex=0"),
            *("-fw_cfg", f"name=opt/pinfold/archive,file={escape(archive)}"),
            *("-device", f"isa-debug-exit,{EXIT_PORT}"),
            *("-chardev", "stdio,id=com1,signal=off", "-serial", "chardev:com1"),
            *("-chardev", f"socket,id=qmp,fd={qmp_descriptor}", "-mon", "chardev=qmp,mode=control"),
        ]
        if self.panic_device:
            arguments += ["-device", "pvpanic", "-action", "panic=pause"]
        if self.disk:
            arguments += ["-drive", f"if=none,id=nvme,format=raw,file={escape(paths.existing(self.disk))}"]
            arguments += ["-device", "nvme,drive=nvme,serial=pinfold"]
        if self.gdb:
            arguments += ["-gdb", self.gdb]
        if self.stopped:
            arguments += ["-S"]
        return arguments + self.extra

    def words(self):
        """What the kernel's command line must say for the machine to be the same on every run."""
        return ["nokaslr", "seed=1"] if self.icount is not None else []

    def _accelerator(self):
        if self.icount is not None:
            shift = f"shift={self.icount},sleep=off"
            return ["-accel", "tcg", "-icount", shift, "-rtc", f"base={BUILD_DATE},clock=vm"]
        return ["-accel", "tcg,thread=multi" if self.accel == "tcg" else self.accel]

    def _display(self):
        return ["-vga", "std"] if self.display else ["-display", "none", "-vga", "none"]


def escape(path):
    """A path inside a QEMU option: commas are doubled."""
    return path.replace(",", ",,")


def printable(arguments):
    return shlex.join(arguments)
