/*
 * The last step: from the firmware's page tables and stack to the kernel's.
 */
#pragma once

#include "boot/paging.h"

typedef struct _BL_ENTRY {
    uint64_t Rip;
    uint64_t StackTop; /* mapped below, zeroed */
    uint64_t Argument; /* virtual address of the loader block */
} BL_ENTRY;

/* See that BlEnterKernel's own code stays mapped when the tables change under it. */
bool BlMapEntryCode(BL_TABLES *Tables, BL_FAULT *Fault);

/* => boot services are over, interrupts off, NX supported; the code above is mapped. */
__attribute__((noreturn)) void BlEnterKernel(const BL_TABLES *Tables, const BL_ENTRY *Entry);
