"""Whole runs as users make them: the tour, a driver from elsewhere, words that the kernel does not know, a dump."""

import os
import re
import signal
import subprocess
import time

import conftest
import pytest

GCC = "x86_64-w64-mingw32-gcc"
DDK = "/usr/share/mingw-w64/include/ddk"

OUTSIDER = """
#include <wdm.h>
static PMDL Mdl;
static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    PVOID buffer = MmGetMdlVirtualAddress(Mdl);
#ifndef LEAK
    MmUnlockPages(Mdl);
    IoFreeMdl(Mdl);
    ExFreePool(buffer);
#endif
}
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    PVOID buffer = ExAllocatePoolWithTag(NonPagedPool, 10000, 0x4474754F);
    Mdl = IoAllocateMdl(buffer, 10000, FALSE, FALSE, NULL);
    MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess);
    DriverObject->DriverUnload = Unload;
    return STATUS_SUCCESS;
}
"""


@pytest.mark.boot("run", "--cpus", "4", "build/tour.sys")
def test_tour(booted):
    assert booted.status == 0, booted.stdout + booted.stderr
    assert booted.case("leaks tour.sys") == "passed"


@pytest.mark.boot("run", "--cmdline", "bogusword=1")
def test_unknown_word_of_the_kernel(booted):
    assert booted.status == 2
    assert "bogusword" in booted.stderr and booted.stderr.count("\n") == 1


@pytest.mark.boot("list")
def test_list(booted):
    assert booted.status == 0, booted.stderr
    names = booted.stdout.splitlines()
    assert len(names) > 20 and all(re.fullmatch(r"\w+\.\w+", name) for name in names)


@pytest.mark.boot("test", "no_such_suite*")
def test_no_test_matches(booted):
    assert booted.status == 2 and "no_such_suite*" in booted.stderr


HANGING = """
#include <wdm.h>
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    volatile ULONG one = 1;
    KIRQL irql;
#ifdef MASKED
    __asm__ volatile("cli");
#else
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
#endif
    while (one) {
    }
    return STATUS_SUCCESS;
}
"""


def build(folder, name, source, flags=()):
    """Compile a driver with nothing but Debian's mingw-w64: its own compiler, headers and import libraries."""
    (folder / f"{name}.c").write_text(source)
    command = [GCC, *flags, "-isystem", DDK, "-O2", "-shared", "-nostdlib", "-Wl,--subsystem,native"]
    command += ["-Wl,-e,DriverEntry", "-o", f"{name}.sys", f"{name}.c", "-lntoskrnl", "-lhal"]
    subprocess.run(command, cwd=folder, check=True)


def pinfold(folder, *arguments):
    command = [conftest.PINFOLD, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)


@pytest.mark.parametrize("flags, status, leaks", [([], 0, "ok"), (["-DLEAK"], 1, "not ok")], ids=["good", "leaky"])
def test_driver_built_elsewhere(tmp_path, flags, status, leaks):
    build(tmp_path, "outsider", OUTSIDER, flags)
    done = pinfold(tmp_path, "run", "outsider.sys")
    assert done.returncode == status, done.stdout + done.stderr
    assert re.search(f"^{leaks} 4 leaks outsider.sys$", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("flags", [[], ["-DMASKED"]], ids=["at-dispatch", "interrupts-off"])
def test_hang_says_where_each_cpu_is(tmp_path, flags):
    build(tmp_path, "hanging", HANGING, flags)
    done = pinfold(tmp_path, "run", "--timeout", "20", "--cpus", "2", "hanging.sys")
    assert done.returncode == 4, done.stdout + done.stderr
    assert re.search(r"\bhanging!DriverEntry\+0x", done.stdout)
    assert re.search(r"^stack of CPU \d", done.stdout, re.MULTILINE)
    assert re.search(r"^CPU \d: (ntoskrnl|hanging)!", done.stdout, re.MULTILINE)


def test_bug_check_leaves_a_core(tmp_path):
    driver = os.path.join(conftest.ROOT, "build", "crash_null.sys")
    done = pinfold(tmp_path, "run", "--memory", "128M", "--dump", "dump", driver)
    assert done.returncode == 3, done.stdout + done.stderr
    core = tmp_path / "dump" / "memory.elf"
    assert core.read_bytes()[:4] == b"\x7fELF" and core.stat().st_size > 0x7000000
    assert re.search(r"kernel base: 0xfffff80[0-9a-f]{9}\n", (tmp_path / "dump" / "README").read_text())
    assert "# bug check complete" in (tmp_path / "dump" / "serial.log").read_text()
    core.unlink()


def test_interrupt_leaves_no_qemu():
    pipe = subprocess.PIPE
    process = subprocess.Popen([conftest.PINFOLD, "run"], cwd=conftest.ROOT, stdout=pipe, stderr=pipe)
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    deadline = time.monotonic() + 20
    qemu = []
    while not qemu and time.monotonic() < deadline:
        time.sleep(0.05)
        with open(children) as file:
            qemu = file.read().split()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert qemu and not os.path.exists(f"/proc/{qemu[0]}")
