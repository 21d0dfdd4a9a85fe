/*
 * Large pool blocks.
 *
 * Representation: an open-addressing hash table with linear probing, keyed by address. It doubles when three quarters
 * are used; its first storage is static, later ones are pages of nonpaged pool. Removal moves later entries of the
 * cluster back, so there are no tombstones and a search ends at the first free slot.
 *
 * Invariants. Each block has one entry from before its address is handed out until after it was given up for free.
 * Between an entry's slot and the slot that its hash names no slot is free.
 *
 * Locking and IRQL. ExpBigLock (LOCK_BIGPOOL) guards the table; pages come and go outside it, but for the table's own.
 */
#include "mm/poolbig.h"

#include "kernel/ke/lock.h"
#include "kernel/rtl/memory.h"
#include "mm/pooltag.h"

#define EXP_FIRST_SLOTS 4096u /* 128 KiB; a power of two, as every capacity */

static EXP_BIG_BLOCK ExpFirstTable[EXP_FIRST_SLOTS];

static struct {
    KI_LOCK       Lock;
    EXP_BIG_TABLE Table;
} ExpBig = {
    .Lock = KI_LOCK_INIT(LOCK_BIGPOOL),
    .Table = { .Slots = ExpFirstTable, .Capacity = EXP_FIRST_SLOTS },
};

/* Fibonacci hashing of the page number. */
static SIZE_T ExpBigHash(const EXP_BIG_TABLE *Table, const void *Va)
{
    return (SIZE_T)((((ULONG64)Va >> PAGE_SHIFT) * 0x9E3779B97F4A7C15ull) >> 32) & (Table->Capacity - 1);
}

EXP_BIG_BLOCK *ExpProbeBigTable(const EXP_BIG_TABLE *Table, const void *Va)
{
    SIZE_T i = ExpBigHash(Table, Va);
    while (Table->Slots[i].Va != NULL && Table->Slots[i].Va != Va) {
        i = (i + 1) & (Table->Capacity - 1);
    }
    return &Table->Slots[i];
}

void ExpEnterBigBlock(EXP_BIG_TABLE *Table, const EXP_BIG_BLOCK *Block)
{
    EXP_BIG_BLOCK *slot = ExpProbeBigTable(Table, Block->Va);
    NT_ASSERT(slot->Va == NULL);
    *slot = *Block;
    Table->Used++;
}

/* Closes the gap: an entry behind it moves up unless its hash lies cyclically in (gap, entry]. */
void ExpRemoveBigBlock(EXP_BIG_TABLE *Table, EXP_BIG_BLOCK *Slot)
{
    SIZE_T mask = Table->Capacity - 1;
    SIZE_T gap = (SIZE_T)(Slot - Table->Slots);
    for (SIZE_T i = (gap + 1) & mask; Table->Slots[i].Va != NULL; i = (i + 1) & mask) {
        SIZE_T home = ExpBigHash(Table, Table->Slots[i].Va);
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            Table->Slots[gap] = Table->Slots[i];
            gap = i;
        }
    }
    Table->Slots[gap] = (EXP_BIG_BLOCK){ .Va = NULL };
    Table->Used--;
}

static PFN_COUNT ExpTablePages(SIZE_T Capacity)
{
    return (PFN_COUNT)BYTES_TO_PAGES(Capacity * sizeof(EXP_BIG_BLOCK));
}

/* Move the table to storage of twice the size. */
static bool ExpGrowTableLocked(void) __attribute__((requires_capability(ExpBig.Lock)))
{
    EXP_BIG_TABLE old = ExpBig.Table;
    EXP_BIG_TABLE grown = { .Capacity = 2 * old.Capacity };
    grown.Slots = MiAllocatePoolPages(MiPoolNonPagedNx, ExpTablePages(grown.Capacity), NULL);
    if (grown.Slots == NULL) {
        return false;
    }
    (RtlZeroMemory)(grown.Slots, grown.Capacity * sizeof(*grown.Slots));
    for (SIZE_T i = 0; i < old.Capacity; i++) {
        if (old.Slots[i].Va != NULL) {
            ExpEnterBigBlock(&grown, &old.Slots[i]);
        }
    }
    ExpBig.Table = grown;
    if (old.Slots != ExpFirstTable) {
        MiFreePoolPages(old.Slots, ExpTablePages(old.Capacity));
    }
    return true;
}

static bool ExpInsertLocked(const EXP_BIG_BLOCK *Block) __attribute__((requires_capability(ExpBig.Lock)))
{
    if (4 * (ExpBig.Table.Used + 1) > 3 * ExpBig.Table.Capacity && !ExpGrowTableLocked()) {
        return false;
    }
    ExpEnterBigBlock(&ExpBig.Table, Block);
    return true;
}

void *ExpAllocateBigBlock(MI_POOL_KIND Kind, SIZE_T Bytes, ULONG Tag)
{
    PFN_COUNT     pageCount = (PFN_COUNT)BYTES_TO_PAGES(Bytes);
    EXP_BIG_BLOCK block = { .Bytes = Bytes, .Tag = Tag, .Kind = Kind };
    block.Va = MiAllocatePoolPages(Kind, pageCount, NULL);
    if (block.Va == NULL) {
        return NULL;
    }
    KIRQL irql = KiAcquireLock(&ExpBig.Lock);
    bool  isKnown = ExpInsertLocked(&block);
    KiReleaseLock(&ExpBig.Lock, irql);
    if (!isKnown) {
        MiFreePoolPages(block.Va, pageCount);
        return NULL;
    }
    ExpChargeTag(Kind, Tag, (SIZE_T)pageCount * PAGE_SIZE);
    return block.Va;
}

bool ExpFindBigBlock(const void *Va, EXP_BIG_BLOCK *Block)
{
    KIRQL irql = KiAcquireLock(&ExpBig.Lock);
    *Block = *ExpProbeBigTable(&ExpBig.Table, Va);
    KiReleaseLock(&ExpBig.Lock, irql);
    return Block->Va != NULL;
}

bool ExpFreeBigBlock(void *Va)
{
    KIRQL          irql = KiAcquireLock(&ExpBig.Lock);
    EXP_BIG_BLOCK *slot = ExpProbeBigTable(&ExpBig.Table, Va);
    EXP_BIG_BLOCK  block = *slot;
    if (block.Va != NULL) {
        ExpRemoveBigBlock(&ExpBig.Table, slot);
    }
    KiReleaseLock(&ExpBig.Lock, irql);
    if (block.Va == NULL) {
        return false;
    }
    PFN_COUNT pageCount = (PFN_COUNT)BYTES_TO_PAGES(block.Bytes);
    ExpReturnTag(block.Kind, block.Tag, (SIZE_T)pageCount * PAGE_SIZE);
    MiFreePoolPages(Va, pageCount);
    return true;
}

void ExpCheckBigBlocks(void)
{
    SIZE_T used = 0;
    KIRQL  irql = KiAcquireLock(&ExpBig.Lock);
    for (SIZE_T i = 0; i < ExpBig.Table.Capacity; i++) {
        const EXP_BIG_BLOCK *block = &ExpBig.Table.Slots[i];
        if (block->Va != NULL) {
            NT_ASSERT(ExpProbeBigTable(&ExpBig.Table, block->Va) == block);
            NT_ASSERT(MiIsPagedPool(block->Va) == (block->Kind == MiPoolPaged) && block->Bytes != 0);
            used++;
        }
    }
    NT_ASSERT(used == ExpBig.Table.Used);
    KiReleaseLock(&ExpBig.Lock, irql);
}
