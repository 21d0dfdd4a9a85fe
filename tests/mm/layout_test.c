/*
 * Kernel space as the processor sees it: every translation there is, found by walking every page table.
 */
#include "mm/layout.h"

#include "mm/pte.h"
#include "tests/lib/ktest.h"

#define KT_TABLE_ENTRIES 512u
#define KT_PXE_LEVEL     3u
#define KT_KERNEL_SLOT   256u /* the first top-level entry of kernel space */

typedef struct _KT_SURVEY {
    ULONG       PageCount;   /* translations found */
    ULONG       CodeCount;   /* of them, can be executed */
    ULONG       WrongCount;  /* of them, can be written and executed, or used by user mode */
    const void *FirstWrong;  /* NULL: none */
    const void *FirstBeyond; /* outside every region of the map; NULL: none */
} KT_SURVEY;

static bool KtIsInSomeRegion(const void *Va)
{
    for (ULONG region = 0; region < MI_REGION_COUNT; region++) {
        if (MiIsInRegion(Va, region)) {
            return true;
        }
    }
    return false;
}

/* Bits of a translation: RW and US hold where every level grants them, NX where any level sets it. */
static ULONG64 KtJoinBits(ULONG64 Above, ULONG64 Entry)
{
    return (Above & Entry & (X86_PTE_RW | X86_PTE_US)) | ((Above | Entry) & X86_PTE_NX);
}

static void KtJudge(KT_SURVEY *Survey, const void *Va, ULONG64 Bits)
{
    bool isCode = (Bits & X86_PTE_NX) == 0;
    Survey->PageCount++;
    Survey->CodeCount += isCode ? 1 : 0;
    if ((isCode && (Bits & X86_PTE_RW) != 0) || (Bits & X86_PTE_US) != 0) {
        Survey->FirstWrong = Survey->WrongCount == 0 ? Va : Survey->FirstWrong;
        Survey->WrongCount++;
    }
    if (Survey->FirstBeyond == NULL && !KtIsInSomeRegion(Va)) {
        Survey->FirstBeyond = Va;
    }
}

/* What Entry, of Level (0: a PTE), maps begins here: the self-map undone once a level. */
static const void *KtVaOfEntry(const MMPTE *Entry, ULONG Level)
{
    const void *va = Entry;
    for (ULONG step = 0; step <= Level; step++) {
        va = MiVaOfPte(va);
    }
    return va;
}

static void KtSurveyEntries(KT_SURVEY *Survey, const MMPTE *First, ULONG EntryCount, ULONG Level, ULONG64 Above)
{
    for (const MMPTE *entry = First; entry < First + EntryCount; entry++) {
        MMPTE   value = MiReadPte(entry);
        ULONG64 bits = KtJoinBits(Above, value.Value);
        if (!MiPteIsValid(value) || entry == (const MMPTE *)MI_PXE_BASE + MI_SELF_MAP_SLOT) {
            continue;
        }
        if (Level == 0 || (value.Value & X86_PTE_PS) != 0) {
            KtJudge(Survey, KtVaOfEntry(entry, Level), bits);
        } else {
            KtSurveyEntries(Survey, MiVaOfPte(entry), KT_TABLE_ENTRIES, Level - 1, bits);
        }
    }
}

static KT_SURVEY KtSurveyKernelSpace(void)
{
    KT_SURVEY survey = { 0 };
    KtSurveyEntries(&survey, (const MMPTE *)MI_PXE_BASE + KT_KERNEL_SLOT, KT_TABLE_ENTRIES - KT_KERNEL_SLOT,
                    KT_PXE_LEVEL, X86_PTE_RW | X86_PTE_US);
    return survey;
}

KTEST(mm_layout, no_kernel_page_is_writable_and_executable_or_the_users)
{
    KT_SURVEY survey = KtSurveyKernelSpace();
    KT_EXPECT_EQ(survey.WrongCount, 0);
    KT_EXPECT_NULL(survey.FirstWrong);
    KT_EXPECT_NULL(survey.FirstBeyond);
    KT_EXPECT_GT(survey.CodeCount, 0);
    KT_EXPECT_GT(survey.PageCount, survey.CodeCount);
}

/* The one thing that is both by contract: a block of NonPagedPool. The survey must find it, and nothing else. */
KTEST(mm_layout, survey_finds_an_executable_block_of_pool)
{
    void *block = ExAllocatePoolWithTag(NonPagedPool, PAGE_SIZE, 'yaLK');
    KT_ASSERT_NOT_NULL(block);
    KT_SURVEY survey = KtSurveyKernelSpace();
    KT_EXPECT_EQ(survey.WrongCount, 1);
    KT_EXPECT_EQ(survey.FirstWrong, block);
    ExFreePoolWithTag(block, 'yaLK');
    KT_EXPECT_EQ(KtSurveyKernelSpace().WrongCount, 0);
}
