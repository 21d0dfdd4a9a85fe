/*
 * The switch of page tables, stack and program in one piece of assembly.
 */
#include "boot/enter.h"

#include "boot/cpu.h"
#include "boot/memory.h"

/* The Microsoft ABI: above the return address the caller leaves the callee room for its register arguments. */
#define HOME_BYTES           32u
#define RETURN_ADDRESS_BYTES 8u

/*
 * Global translations of the firmware's would outlive a load of CR3, so CR4.PGE is off while the tables change. From
 * the load of CR3 on nothing but registers and this page of code is to be relied on. The stack is zero: the return
 * address that the kernel finds is 0, which ends every stack walk.
 */
__attribute__((noreturn, noinline)) static void SwitchAndJump(uint64_t Root, uint64_t Cr4, const BL_ENTRY *Entry)
{
    uint64_t stack = Entry->StackTop - HOME_BYTES - RETURN_ADDRESS_BYTES;

    __asm__ volatile("mov %[cr4Quiet], %%cr4\n\t"
                     "mov %[root], %%cr3\n\t"
                     "mov %[cr4], %%cr4\n\t"
                     "mov %[stack], %%rsp\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "cld\n\t"
                     "jmp *%[rip]"
                     :
                     : [cr4Quiet] "r"(Cr4 & ~X86_CR4_PGE), [root] "r"(Root), [cr4] "r"(Cr4), [stack] "r"(stack),
                       [rip] "r"(Entry->Rip), "c"(Entry->Argument)
                     : "memory");
    __builtin_unreachable();
}

bool BlMapEntryCode(BL_TABLES *Tables, BL_FAULT *Fault)
{
    uint64_t code = (uint64_t)SwitchAndJump;

    /* The function is far shorter than a page, but may straddle two. */
    return BlMapOneToOne(Tables, code, Fault) && BlMapOneToOne(Tables, code + BL_PAGE_BYTES, Fault);
}

void BlEnterKernel(const BL_TABLES *Tables, const BL_ENTRY *Entry)
{
    BlWriteMsr(X86_MSR_EFER, BlReadMsr(X86_MSR_EFER) | X86_EFER_NXE);
    BlWriteCr0(BlReadCr0() | X86_CR0_WP);
    SwitchAndJump((uint64_t)Tables->Root, BlReadCr4() | X86_CR4_PGE, Entry);
}
