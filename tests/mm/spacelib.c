/*
 * Helpers of the tests that need user memory.
 */
#include "tests/mm/spacelib.h"

#include "io/process.h"
#include "mm/virtual.h"
#include "tests/lib/ktest.h"

bool KtEnterSpace(KT_SPACE *Space)
{
    NTSTATUS status = PspCreateProcess(&Space->Process);
    KT_EXPECT_STATUS(status, STATUS_SUCCESS);
    if (NT_SUCCESS(status)) {
        KeStackAttachProcess(&Space->Process->Pcb, &Space->ApcState);
    }
    return NT_SUCCESS(status);
}

void KtLeaveSpace(KT_SPACE *Space)
{
    KeUnstackDetachProcess(&Space->ApcState);
    ObDereferenceObject(Space->Process);
}

UCHAR *KtCommitPages(const KT_SPACE *Space, ULONG PageCount, ULONG Protect)
{
    PVOID    base = NULL;
    SIZE_T   bytes = (SIZE_T)PageCount * PAGE_SIZE;
    NTSTATUS status = MiAllocateVirtual(Space->Process, &base, &bytes, MEM_RESERVE | MEM_COMMIT, Protect);
    KT_EXPECT_STATUS(status, STATUS_SUCCESS);
    return NT_SUCCESS(status) ? base : NULL;
}
