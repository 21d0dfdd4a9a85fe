/*
 * Kernel stacks: all their bytes, the guard below, and the cache.
 */
#include "mm/kstack.h"

#include "mm/pte.h"
#include "tests/lib/ktest.h"

KTEST(mm_kstack, every_byte_is_writable_and_the_page_below_is_not_mapped)
{
    PVOID stackBase;
    KT_ASSERT_STATUS(MiCreateKernelStack(&stackBase), STATUS_SUCCESS);
    UCHAR *lowest = (UCHAR *)stackBase - KI_KERNEL_STACK_BYTES;
    RtlFillMemory(lowest, KI_KERNEL_STACK_BYTES, 0xA5);
    KT_EXPECT_EQ(lowest[0], 0xA5);
    KT_EXPECT_TRUE((MiReadPte(MiPteOf(lowest)).Value & X86_PTE_NX) != 0);
    KT_EXPECT_TRUE(MiIsStackGuard(lowest - 1));
    KT_EXPECT_FALSE(MiIsStackGuard(lowest));
    KT_EXPECT_NULL(MiFindValidPte(lowest - 1));
    MiDeleteKernelStack(stackBase);
}

KTEST(mm_kstack, own_stack_has_a_guard)
{
    ULONG64 low;
    ULONG64 high;
    KiGetStackLimits(&low, &high);
    KT_EXPECT_EQ(high - low, KI_KERNEL_STACK_BYTES);
    KT_EXPECT_TRUE(MiIsStackGuard((const void *)(low - 1)));
}

KTEST(mm_kstack, more_stacks_than_the_cache_holds)
{
    PVOID stacks[20];
    ULONG count = 0;
    while (count < ARRAYSIZE(stacks) && NT_SUCCESS(MiCreateKernelStack(&stacks[count]))) {
        *((ULONG64 *)stacks[count] - 1) = count;
        count++;
    }
    KT_EXPECT_EQ(count, ARRAYSIZE(stacks));
    for (ULONG index = 0; index < count; index++) {
        KT_EXPECT_EQ(*((ULONG64 *)stacks[index] - 1), index);
        MiDeleteKernelStack(stacks[index]);
    }
}
