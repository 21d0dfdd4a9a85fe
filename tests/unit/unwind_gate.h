/*
 * Force-included into the unwinder's host build, for what tests/unit/hostddk.h lacks: names that ntimage.h takes from
 * the other headers of the driver kit, and interrupts, which a process cannot turn off.
 */
#pragma once

#include "kernel/ddk.h"

#define ANYSIZE_ARRAY 1
#define _ANONYMOUS_UNION

#define _disable() ((void)0)

static inline ULONG64 __readeflags(void)
{
    return 0;
}

static inline void __writeeflags(ULONG64 Flags)
{
    UNREFERENCED_PARAMETER(Flags);
}
