/*
 * The processor as the loader needs it: ports, registers, features, random numbers. The loader's only assembly besides
 * the jump into the kernel (boot/enter.c).
 */
#pragma once

#include "boot/text.h"
#include "kernel/amd64/cpu.h"

typedef struct _BL_CPUID {
    uint32_t Eax;
    uint32_t Ebx;
    uint32_t Ecx;
    uint32_t Edx;
} BL_CPUID;

static inline BL_CPUID BlCpuid(uint32_t Leaf, uint32_t Subleaf)
{
    BL_CPUID r;

    __asm__ volatile("cpuid" : "=a"(r.Eax), "=b"(r.Ebx), "=c"(r.Ecx), "=d"(r.Edx) : "a"(Leaf), "c"(Subleaf));
    return r;
}

static inline uint64_t BlReadMsr(uint32_t Msr)
{
    uint32_t low;
    uint32_t high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(Msr));
    return (uint64_t)high << 32 | low;
}

static inline void BlWriteMsr(uint32_t Msr, uint64_t Value)
{
    __asm__ volatile("wrmsr" : : "c"(Msr), "a"((uint32_t)Value), "d"((uint32_t)(Value >> 32)) : "memory");
}

static inline uint64_t BlReadCr0(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}

static inline void BlWriteCr0(uint64_t Value)
{
    __asm__ volatile("mov %0, %%cr0" : : "r"(Value) : "memory");
}

static inline uint64_t BlReadCr4(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr4, %0" : "=r"(value));
    return value;
}

static inline void BlDisableInterrupts(void)
{
    __asm__ volatile("cli" : : : "memory");
}

static inline void BlHalt(void)
{
    __asm__ volatile("cli; hlt" : : : "memory");
}

static inline uint8_t BlInByte(uint16_t Port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(Port));
    return value;
}

static inline void BlOutByte(uint16_t Port, uint8_t Value)
{
    __asm__ volatile("outb %0, %1" : : "a"(Value), "Nd"(Port) : "memory");
}

static inline void BlOutWord(uint16_t Port, uint16_t Value)
{
    __asm__ volatile("outw %0, %1" : : "a"(Value), "Nd"(Port) : "memory");
}

static inline void BlOutDword(uint16_t Port, uint32_t Value)
{
    __asm__ volatile("outl %0, %1" : : "a"(Value), "Nd"(Port) : "memory");
}

/* Read ByteCount bytes from one port. */
static inline void BlInBytes(uint16_t Port, void *Buffer, uint64_t ByteCount)
{
    __asm__ volatile("rep insb" : "+D"(Buffer), "+c"(ByteCount) : "d"(Port) : "memory");
}

/* => false, with the feature's name, when the kernel cannot run on this processor as the firmware left it. */
bool BlCheckProcessor(BL_FAULT *Fault);

/* Does a hypervisor announce itself? Then the ports that QEMU adds may be touched. */
bool BlIsVirtualMachine(void);

/* 64 bits from RDRAND, or, where that is missing or dry, a hash of the time stamp counter. */
uint64_t BlRandom(void);
