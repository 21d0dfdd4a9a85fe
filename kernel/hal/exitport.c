/*
 * The two emulator devices that end a run. Both are found at their default ISA ports; a machine without them reads
 * all ones there.
 */
#include "kernel/hal/exitport.h"

#include "kernel/amd64/intrin.h"

#define EXIT_PORT 0xF4u /* -device isa-debug-exit,iobase=0xf4,iosize=4 */

#define PVPANIC_PORT     0x505u /* -device pvpanic */
#define PVPANIC_PANICKED 0x01u  /* reads as set where the event is supported */
#define NO_DEVICE        0xFFu

DECLSPEC_NORETURN void HalpExit(HALP_EXIT_CODE Code)
{
    __outdword(EXIT_PORT, Code);
    _disable();
    for (;;) {
        KiHalt();
    }
}

void HalpSignalPanic(void)
{
    UCHAR supported = __inbyte(PVPANIC_PORT);

    if (supported != 0 && supported != NO_DEVICE) {
        __outbyte(PVPANIC_PORT, PVPANIC_PANICKED);
    }
}
