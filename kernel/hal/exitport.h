/*
 * How a run ends: QEMU's isa-debug-exit device, and pvpanic for a bug check.
 */
#pragma once

#include "kernel/ddk.h"

/* Written to the port; QEMU exits with twice the value plus 1, so none is QEMU's own 1. */
typedef enum _HALP_EXIT_CODE {
    HalpExitPass = 0x10,
    HalpExitFail = 0x11, /* a test or an expectation */
    HalpExitBugCheck = 0x12,
    HalpExitLoader = 0x13, /* the loader's own */
    HalpExitUsage = 0x14,  /* an unknown word on the command line */
    HalpExitHang = 0x15,
} HALP_EXIT_CODE;

/*
 * Leave the emulator; without the device, halt for ever with interrupts off.
 *
 * => any IRQL. The other CPUs keep running until the emulator exits: stop them first where it matters.
 */
DECLSPEC_NORETURN void HalpExit(HALP_EXIT_CODE Code);

/*
 * Tell the emulator that the guest has panicked. It may pause the machine here, which is when a dump is taken: say
 * everything first.
 *
 * => any IRQL; does nothing without the device.
 */
void HalpSignalPanic(void);
