/*
 * Instructions for which the compiler has no intrinsic. The only C file with inline assembly.
 */
#pragma once

#include "kernel/amd64/desc.h"

static inline void KiLoadGdt(const KDESCRIPTOR *Descriptor)
{
    __asm__ volatile("lgdt %0" : : "m"(*Descriptor));
}

static inline void KiLoadIdt(const KDESCRIPTOR *Descriptor)
{
    __asm__ volatile("lidt %0" : : "m"(*Descriptor));
}

static inline void KiLoadTaskRegister(USHORT Selector)
{
    __asm__ volatile("ltr %0" : : "r"(Selector));
}

/* Reload CS by a far return, and the data selectors; clearing FS and GS first keeps no firmware selector alive. */
static inline void KiReloadSegments(void)
{
    __asm__ volatile("pushq %0\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\n\t"
                     "movw %1, %%ds\n\t"
                     "movw %1, %%es\n\t"
                     "movw %1, %%ss\n\t"
                     :
                     : "i"(KGDT64_R0_CODE), "r"((USHORT)KGDT64_R0_DATA)
                     : "rax", "memory");
}

static inline void KiInvalidatePage(const void *Va)
{
    __asm__ volatile("invlpg (%0)" : : "r"(Va) : "memory");
}

/* Write the cache line of Va back and drop it from all caches. */
static inline void KiFlushCacheLine(const volatile void *Va)
{
    __asm__ volatile("clflush %0" : : "m"(*(const volatile char *)Va) : "memory");
}

static inline void KiClearAc(void)
{
    __asm__ volatile("clac" : : : "cc");
}

static inline void KiSetAc(void)
{
    __asm__ volatile("stac" : : : "cc");
}

/* The flags as they were, and interrupts off. Unlike the compiler's own intrinsic it asks for no frame pointer. */
static inline ULONG64 KiReadFlagsAndDisable(void)
{
    ULONG64 flags;
    __asm__ volatile("pushfq\n\tpopq %0\n\tcli" : "=r"(flags) : : "memory");
    return flags;
}

/* Address, in one register from here on: the compiler neither splits it nor derives it again. */
static inline void *KiSettleAddress(void *Address)
{
    __asm__("" : "+r"(Address));
    return Address;
}

static inline void KiHalt(void)
{
    __asm__ volatile("hlt" : : : "memory");
}

static inline void KiPause(void)
{
    __asm__ volatile("pause");
}

static inline void KiFullFence(void)
{
    __asm__ volatile("lock orl $0, (%%rsp)" : : : "memory", "cc");
}

static inline void KiLoadMxcsr(ULONG Value)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(Value));
}

static inline void KiResetFpu(void)
{
    __asm__ volatile("fninit");
}
