/*
 * Loading a driver image for real: protections, code that runs, what unloading leaves.
 */
#include "io/ldr/load.h"

#include "io/ldr/import.h"
#include "mm/pfn.h"
#include "tests/io/testimage.h"
#include "tests/lib/ktest.h"

#define LT_NAME "ktload.sys"
#define LT_TAG  'dLtK'

typedef ULONG (*LT_ROUTINE)(void);

/* Load the hand-made image, by which binding; NULL is a failure of the test. */
static LDRP_IMAGE *LtLoad(LDRP_BINDING Binding)
{
    LDRP_IMAGE *image = NULL;
    UCHAR      *file = ExAllocatePoolWithTag(NonPagedPoolNx, TI_FILE_BYTES, LT_TAG);
    KT_EXPECT_NOT_NULL(file);
    if (file != NULL) {
        TiBuildImage(file);
        KT_EXPECT_STATUS(LdrpLoadImage(LT_NAME, file, TI_FILE_BYTES, Binding, &image), STATUS_SUCCESS);
        ExFreePoolWithTag(file, LT_TAG);
    }
    return image;
}

static const UCHAR *LtAddress(const LDRP_IMAGE *Image, ULONG Rva)
{
    return (const UCHAR *)(ULONG_PTR)Image->Registered.Base + Rva;
}

static ULONG64 LtProtection(const LDRP_IMAGE *Image, ULONG Rva)
{
    return MiReadPte(MiPteOf(LtAddress(Image, Rva))).Value & (X86_PTE_P | X86_PTE_RW | X86_PTE_NX | X86_PTE_US);
}

static ULONG64 LtRead(const LDRP_IMAGE *Image, ULONG Rva)
{
    return *(const ULONG64 *)LtAddress(Image, Rva);
}

static ULONG LtCall(const LDRP_IMAGE *Image, ULONG Rva)
{
    return ((LT_ROUTINE)(ULONG_PTR)LtAddress(Image, Rva))();
}

KTEST(io_load, no_page_is_writable_and_executable)
{
    LDRP_IMAGE *image = LtLoad(LdrpBindBare);
    KT_ASSERT_NOT_NULL(image);
    KT_EXPECT_EQ(LtProtection(image, 0), X86_PTE_P | X86_PTE_NX);
    KT_EXPECT_EQ(LtProtection(image, TI_TEXT_RVA), X86_PTE_P);
    KT_EXPECT_EQ(LtProtection(image, TI_RDATA_RVA), X86_PTE_P | X86_PTE_NX);
    KT_EXPECT_EQ(LtProtection(image, TI_DATA_RVA), X86_PTE_P | X86_PTE_RW | X86_PTE_NX);
    KT_EXPECT_EQ(LtProtection(image, TI_INIT_RVA), X86_PTE_P); /* it asked for write and execute */
    KT_EXPECT_NULL(MiFindValidPte(LtAddress(image, TI_IMAGE_BYTES)));
    LdrpUnloadImage(image);
}

KTEST(io_load, code_runs_and_finds_its_data)
{
    LDRP_IMAGE *image = LtLoad(LdrpBindBare);
    KT_ASSERT_NOT_NULL(image);
    KT_EXPECT_EQ((ULONG_PTR)image->EntryPoint, (ULONG_PTR)LtAddress(image, TI_ENTRY_RVA));
    KT_EXPECT_EQ(LtCall(image, TI_ENTRY_RVA), TI_ENTRY_RESULT);
    KT_EXPECT_EQ(LtCall(image, TI_INIT_RVA), TI_INIT_RESULT);
    KT_EXPECT_EQ(LtRead(image, TI_POINTER_RVA), (ULONG_PTR)LtAddress(image, TI_COOKIE_RVA));
    KT_EXPECT_EQ((ULONG_PTR)RtlpFindImage(LtAddress(image, TI_INIT_RVA)), (ULONG_PTR)&image->Registered);
    LdrpUnloadImage(image);
}

KTEST(io_load, each_image_gets_a_cookie_of_its_own)
{
    LDRP_IMAGE *first = LtLoad(LdrpBindBare);
    LDRP_IMAGE *second = LtLoad(LdrpBindBare);
    KT_ASSERT_NOT_NULL(first);
    KT_ASSERT_NOT_NULL(second);
    KT_EXPECT_NE(LtRead(first, TI_COOKIE_RVA), 0x00002B992DDFA232);
    KT_EXPECT_NE(LtRead(first, TI_COOKIE_RVA), LtRead(second, TI_COOKIE_RVA));
    KT_EXPECT_EQ(LtRead(first, TI_COOKIE_RVA) >> 48, 0);
    LdrpUnloadImage(second);
    LdrpUnloadImage(first);
}

KTEST(io_load, imports_are_bound_to_the_chosen_table)
{
    const LDRP_EXPORT *allocate = LdrpFindExport("ExAllocatePoolWithTag");
    KT_ASSERT_NOT_NULL(allocate);
    KT_EXPECT_NE((ULONG_PTR)allocate->Entry[LdrpBindBare], (ULONG_PTR)allocate->Entry[LdrpBindTracked]);
    for (ULONG binding = LdrpBindBare; binding < LDRP_BINDING_COUNT; binding++) {
        LDRP_IMAGE *image = LtLoad((LDRP_BINDING)binding);
        KT_ASSERT_NOT_NULL(image);
        KT_EXPECT_EQ(LtRead(image, TI_ALLOCATE_SLOT_RVA), (ULONG_PTR)allocate->Entry[binding]);
        LdrpUnloadImage(image);
    }
}

KTEST(io_load, discarded_sections_are_gone)
{
    LDRP_IMAGE *image = LtLoad(LdrpBindBare);
    KT_ASSERT_NOT_NULL(image);
    SIZE_T freeFrames = MiFreeFrameCount();
    LdrpDiscardSections(image);
    KT_EXPECT_NULL(MiFindValidPte(LtAddress(image, TI_INIT_RVA)));
    KT_EXPECT_NULL(MiFindValidPte(LtAddress(image, TI_RELOC_RVA)));
    KT_EXPECT_EQ(MiFreeFrameCount() - freeFrames, 2);
    KT_EXPECT_EQ(LtCall(image, TI_ENTRY_RVA), TI_ENTRY_RESULT);
    LdrpUnloadImage(image);
}

KTEST(io_load, unloading_unmaps_and_forgets)
{
    LDRP_IMAGE *image = LtLoad(LdrpBindBare);
    KT_ASSERT_NOT_NULL(image);
    const UCHAR *text = LtAddress(image, TI_TEXT_RVA);
    LdrpUnloadImage(image);
    KT_EXPECT_NULL(RtlpFindImage(text));
    KT_EXPECT_NULL(MiFindValidPte(text));
}

KTEST(io_load, system_routines_are_found_by_name)
{
    UNICODE_STRING known = RTL_CONSTANT_STRING(L"KeBugCheckEx");
    UNICODE_STRING unknown = RTL_CONSTANT_STRING(L"NoSuchRoutine");
    KT_EXPECT_EQ((ULONG_PTR)MmGetSystemRoutineAddress(&known), (ULONG_PTR)KeBugCheckEx);
    KT_EXPECT_NULL(MmGetSystemRoutineAddress(&unknown));
    for (ULONG index = 1; index < LdrpExportCount; index++) {
        KT_EXPECT_EQ((ULONG_PTR)LdrpFindExport(LdrpExports[index].Name), (ULONG_PTR)&LdrpExports[index]);
    }
}
