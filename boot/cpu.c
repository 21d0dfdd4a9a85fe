/*
 * What the processor can do, and randomness from it.
 */
#include "boot/cpu.h"

#define CPUID_FEATURES          0x00000001u
#define CPUID_FEATURES_EXTENDED 0x00000007u
#define CPUID_HIGHEST_AMD       0x80000000u
#define CPUID_FEATURES_AMD      0x80000001u

#define FEATURE_RDRAND     0x40000000u /* leaf 1, ECX */
#define FEATURE_HYPERVISOR 0x80000000u /* leaf 1, ECX */
#define FEATURE_NX         0x00100000u /* leaf 0x80000001, EDX */

#define CR4_LA57 0x00001000ull /* SDM 3A 2.5: five-level paging; cannot change in 64-bit mode */

#define RDRAND_ATTEMPTS 10 /* SDM 1 7.3.17: ten failures in a row mean that the generator is broken */

static BL_CPUID ReadLeaf(uint32_t Leaf)
{
    uint32_t highest = BlCpuid(Leaf & CPUID_HIGHEST_AMD, 0).Eax;

    return Leaf <= highest ? BlCpuid(Leaf, 0) : (BL_CPUID){ 0 };
}

bool BlCheckProcessor(BL_FAULT *Fault)
{
    uint32_t extended = ReadLeaf(CPUID_FEATURES_EXTENDED).Ebx;

    if ((ReadLeaf(CPUID_FEATURES_AMD).Edx & FEATURE_NX) == 0) {
        return BlFail(Fault, "the processor has no NX: it cannot keep data from being executed");
    }
    if ((extended & X86_CPUID_7_EBX_SMEP) == 0) {
        return BlFail(Fault, "the processor has no SMEP: it cannot keep the kernel from executing user pages");
    }
    if ((extended & X86_CPUID_7_EBX_SMAP) == 0) {
        return BlFail(Fault, "the processor has no SMAP: it cannot keep the kernel from touching user pages");
    }
    if ((BlReadCr4() & CR4_LA57) != 0) {
        return BlFail(Fault, "the firmware runs with five-level page tables, four are needed (QEMU: la57=off)");
    }
    return true;
}

bool BlIsVirtualMachine(void)
{
    return (BlCpuid(CPUID_FEATURES, 0).Ecx & FEATURE_HYPERVISOR) != 0;
}

static bool ReadRandom(uint64_t *Value)
{
    for (int i = 0; i < RDRAND_ATTEMPTS; i++) {
        bool delivered;

        __asm__ volatile("rdrand %0" : "=r"(*Value), "=@ccc"(delivered));
        if (delivered) {
            return true;
        }
    }
    return false;
}

/* A bijection that spreads every input bit over the word (the finaliser of SplitMix64). */
static uint64_t Mix(uint64_t Value)
{
    Value = (Value ^ (Value >> 30)) * 0xBF58476D1CE4E5B9ull;
    Value = (Value ^ (Value >> 27)) * 0x94D049BB133111EBull;
    return Value ^ (Value >> 31);
}

uint64_t BlRandom(void)
{
    uint64_t value;

    if ((BlCpuid(CPUID_FEATURES, 0).Ecx & FEATURE_RDRAND) != 0 && ReadRandom(&value)) {
        return value;
    }
    return Mix(__builtin_ia32_rdtsc());
}
