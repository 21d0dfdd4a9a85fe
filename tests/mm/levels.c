/*
 * Memory levels for the test runner. Frames that mm keeps for good (tables of kernel space, pages of the PFN database)
 * count as free: a test that is the first to touch an address leaks nothing.
 */
#include "tests/mm/levels.h"

#include "io/exwork.h"
#include "mm/iospace.h"
#include "mm/kstack.h"
#include "mm/pfn.h"
#include "mm/pool.h"
#include "mm/sysptecache.h"
#include "tests/lib/ktest.h"

static ULONG64 KtReadFreeFrames(void)
{
    return MiFreeFrameCount() + (ULONG64)MiKeptFrameCount;
}

static ULONG64 KtReadFreeSystemPtes(void)
{
    return MiFreeSystemPteCount();
}

static ULONG64 KtReadFreeIoPtes(void)
{
    return MiFreePteCount(&MiIoPteRegion);
}

static ULONG64 KtReadNonPagedBytes(void)
{
    return ExpReadPoolUsage(MiPoolNonPagedNx).Bytes;
}

static ULONG64 KtReadPagedBytes(void)
{
    return ExpReadPoolUsage(MiPoolPaged).Bytes;
}

static ULONG64 KtReadPoolBlocks(void)
{
    EXP_POOL_USAGE nonPaged = ExpReadPoolUsage(MiPoolNonPagedNx);
    EXP_POOL_USAGE paged = ExpReadPoolUsage(MiPoolPaged);
    return nonPaged.Allocations - nonPaged.Frees + paged.Allocations - paged.Frees;
}

/* Threads that ended give their stacks back, and the stacks their frames. */
/* What ended may still be on its way to the pool: a deferred deletion, a dead thread. */
static void KtSettleStacks(void)
{
    ExpWaitForWorkers();
    KiWaitForReaper();
    MiTrimKernelStacks();
}

void KtRegisterMemoryLevels(void)
{
    KtRegisterSettle(KtSettleStacks);
    KtRegisterSettle(ExpTrimPool);
    KtRegisterLevel("nonpaged pool bytes", KtReadNonPagedBytes);
    KtRegisterLevel("paged pool bytes", KtReadPagedBytes);
    KtRegisterLevel("pool blocks", KtReadPoolBlocks);
    KtRegisterLevel("free frames", KtReadFreeFrames);
    KtRegisterLevel("free system PTEs", KtReadFreeSystemPtes);
    KtRegisterLevel("free I/O PTEs", KtReadFreeIoPtes);
}
