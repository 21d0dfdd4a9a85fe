/*
 * Unwinding, stack walks and symbols on the kernel's own image. The interpreter's corner cases are host tests:
 * tests/unit/test_unwind.py.
 */
#include "kernel/ddk.h"
#include "kernel/rtl/image.h"
#include "kernel/rtl/stackwalk.h"
#include "kernel/rtl/symbols.h"
#include "kernel/rtl/unwind.h"
#include "tests/lib/ktest.h"

#define UNWIND_MAX_FRAMES 32u

static CONTEXT UnwindContext; /* too large for a kernel stack frame */

static bool UnwindTextStartsWith(const char *Text, const char *Prefix)
{
    ULONG index = 0;
    while (Prefix[index] != '\0' && Text[index] == Prefix[index]) {
        index++;
    }
    return Prefix[index] == '\0';
}

KTEST(rtl_unwind, address_outside_every_image_has_no_entry)
{
    ULONG64 imageBase = 1;
    ULONG64 onStack = (ULONG_PTR)&imageBase;
    KT_EXPECT_NULL(RtlLookupFunctionEntry(onStack, &imageBase, NULL));
    KT_EXPECT_EQ(imageBase, 0);
    PVOID base = &base;
    KT_EXPECT_NULL(RtlPcToFileHeader((PVOID)(ULONG_PTR)onStack, &base));
    KT_EXPECT_NULL(base);
}

KTEST(rtl_unwind, pc_to_file_header_finds_the_pe_header)
{
    PVOID base = NULL;
    KT_EXPECT_TRUE(RtlPcToFileHeader((PVOID)(ULONG_PTR)UnwindTextStartsWith, &base) == base);
    KT_ASSERT_NOT_NULL(base);
    KT_EXPECT_EQ(*(const USHORT *)base, 0x5A4D);
}

/* The kernel's table is sorted and without overlap, or the binary search would miss functions. */
KTEST(rtl_unwind, kernel_function_table_is_sorted)
{
    const RTLP_IMAGE *image = RtlpFindImage((const void *)(ULONG_PTR)UnwindTextStartsWith);
    KT_ASSERT_NOT_NULL(image);
    KT_EXPECT_GT(image->FunctionCount, 100);
    ULONG misplaced = 0;
    for (ULONG index = 1; index < image->FunctionCount; index++) {
        misplaced += image->FunctionTable[index].BeginAddress < image->FunctionTable[index - 1].EndAddress;
    }
    KT_EXPECT_EQ(misplaced, 0);
}

static DECLSPEC_NOINLINE USHORT UnwindCaptureInner(ULONG FramesToSkip, ULONG Count, PVOID *Frames, ULONG *Hash)
{
    USHORT count = RtlCaptureStackBackTrace(FramesToSkip, Count, Frames, Hash);
    return (USHORT)(count + *(volatile const USHORT *)&(USHORT){ 0 });
}

static DECLSPEC_NOINLINE USHORT UnwindCaptureOuter(ULONG FramesToSkip, ULONG Count, PVOID *Frames, ULONG *Hash)
{
    USHORT count = UnwindCaptureInner(FramesToSkip, Count, Frames, Hash);
    return (USHORT)(count + *(volatile const USHORT *)&(USHORT){ 0 });
}

/* Not of a leaf function: those need no entry and have none. */
KTEST(rtl_unwind, entry_of_a_function_covers_it)
{
    ULONG64           imageBase;
    ULONG64           inside = (ULONG_PTR)UnwindCaptureInner + 1;
    RUNTIME_FUNCTION *function = RtlLookupFunctionEntry(inside, &imageBase, NULL);
    KT_ASSERT_NOT_NULL(function);
    KT_EXPECT_EQ(imageBase + function->BeginAddress, (ULONG_PTR)UnwindCaptureInner);
    KT_EXPECT_LT(inside, imageBase + function->EndAddress);
}

KTEST(rtl_unwind, back_trace_names_its_callers)
{
    PVOID  frames[UNWIND_MAX_FRAMES];
    ULONG  hash = 0;
    char   text[RTLP_SYMBOL_BYTES];
    USHORT count = UnwindCaptureOuter(0, UNWIND_MAX_FRAMES, frames, &hash);
    KT_ASSERT_GE(count, 3);
    RtlpFormatAddress(frames[0], text, sizeof(text));
    KT_EXPECT_TRUE(UnwindTextStartsWith(text, "ntoskrnl!UnwindCaptureInner+0x"));
    RtlpFormatAddress(frames[1], text, sizeof(text));
    KT_EXPECT_TRUE(UnwindTextStartsWith(text, "ntoskrnl!UnwindCaptureOuter+0x"));
    ULONG sum = 0;
    for (ULONG index = 0; index < count; index++) {
        KT_EXPECT_NOT_NULL(RtlpFindImage(frames[index]));
        sum += (ULONG)(ULONG_PTR)frames[index];
    }
    KT_EXPECT_EQ(hash, sum);
}

KTEST(rtl_unwind, back_trace_skips_and_stops)
{
    PVOID  all[UNWIND_MAX_FRAMES];
    PVOID  some[UNWIND_MAX_FRAMES] = { 0 };
    ULONG  hash;
    USHORT count = UnwindCaptureOuter(0, UNWIND_MAX_FRAMES, all, &hash);
    KT_EXPECT_EQ(UnwindCaptureOuter(1, 1, some, &hash), 1);
    KT_EXPECT_EQ(some[0], all[1]);
    KT_EXPECT_NULL(some[1]);
    KT_EXPECT_EQ(UnwindCaptureOuter(count + 1u, UNWIND_MAX_FRAMES, some, &hash), 0);
    KT_EXPECT_EQ(RtlWalkFrameChain(some, 2, 1), 0);
    KT_EXPECT_EQ(RtlWalkFrameChain(some, 2, 0), 2);
}

KTEST(rtl_unwind, walk_of_a_damaged_stack_ends)
{
    CONTEXT             *context = &UnwindContext;
    PVOID                frames[UNWIND_MAX_FRAMES];
    static const ULONG64 badStacks[] = { 0,
                                         8,
                                         0x7FFFFFFFF000ull,
                                         0x8000000000000000ull,
                                         0xFFFFFFFFFFFFFFF8ull,
                                         0xFFFFFFFFFFFFFFFFull,
                                         0xFFFF800000000001ull };
    for (ULONG index = 0; index < RTL_NUMBER_OF(badStacks); index++) {
        RtlpCaptureRegisters(context);
        context->Rsp = badStacks[index];
        context->Rbp = badStacks[index];
        KT_EXPECT_LE(RtlpWalkStack(context, frames, UNWIND_MAX_FRAMES), 2);
    }
}

KTEST(rtl_unwind, virtual_unwind_reaches_the_caller)
{
    CONTEXT *context = &UnwindContext;
    PVOID    callers[2];
    KT_ASSERT_EQ(RtlWalkFrameChain(callers, 2, 0), 2);
    RtlCaptureContext(context);
    ULONG64           imageBase;
    ULONG64           ownStack = context->Rsp;
    RUNTIME_FUNCTION *function = RtlLookupFunctionEntry(context->Rip, &imageBase, NULL);
    PVOID             handlerData;
    ULONG64           frame;
    RtlVirtualUnwind(UNW_FLAG_NHANDLER, imageBase, context->Rip, function, context, &handlerData, &frame, NULL);
    KT_EXPECT_EQ(context->Rip, (ULONG_PTR)callers[1]);
    KT_EXPECT_GT(context->Rsp, ownStack);
    KT_EXPECT_GE(frame, ownStack);
}

KTEST(rtl_unwind, symbol_text_is_cut_to_fit)
{
    char text[12];
    KT_EXPECT_EQ(RtlpFormatAddress((PVOID)(ULONG_PTR)UnwindTextStartsWith, text, sizeof(text)), 11);
    KT_EXPECT_STREQ(text, "ntoskrnl!Un");
    char address[RTLP_SYMBOL_BYTES];
    RtlpFormatAddress((PVOID)0x1234, address, sizeof(address));
    KT_EXPECT_STREQ(address, "0x0000000000001234");
}
