/*
 * The unwinder, operation by operation, on unwind information made by hand. Each expected value is worked out from the
 * rules of "x64 exception handling", not taken from a run.
 */
#include "kernel/rtl/stackwalk.h"
#include "tests/lib/ktest.h"
#include "tests/unit/unwind_fixture.h"

#define BODY 0x20u /* an offset behind every prologue here */

/* Where RSP ends up, in words from the fixture's stack. */
static LONG64 UcStackWords(const UF_FIXTURE *Fixture)
{
    return ((LONG64)Fixture->Context.Rsp - (LONG64)(ULONG_PTR)Fixture->Stack) / 8;
}

KTEST(unwind, leaf_pops_the_return_address)
{
    UF_FIXTURE *fixture = UfOpen();
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA, UNW_FLAG_EHANDLER), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Context.Rip, 0x5000);
    KT_EXPECT_EQ(UcStackWords(fixture), 1);
    KT_EXPECT_EQ(fixture->Context.ContextFlags & CONTEXT_UNWOUND_TO_CALL, CONTEXT_UNWOUND_TO_CALL);
    UfClose(fixture);
}

KTEST(unwind, push_and_small_allocation)
{
    UF_FIXTURE        *fixture = UfOpen();
    static const UCHAR info[] = { UF_INFO(1, 0, 6, 3, 0, 0),
                                  UF_CODE(6, UWOP_ALLOC_SMALL, 4),
                                  UF_CODE(2, UWOP_PUSH_NONVOL, UF_RBX),
                                  UF_CODE(1, UWOP_PUSH_NONVOL, UF_R15),
                                  0,
                                  0 };
    UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, 0), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Context.Rbx, 0x5005); /* behind 5 words of allocation */
    KT_EXPECT_EQ(fixture->Context.R15, 0x5006);
    KT_EXPECT_EQ(fixture->Context.Rip, 0x5007);
    KT_EXPECT_EQ(UcStackWords(fixture), 8);
    KT_EXPECT_EQ(fixture->Unwind.EstablisherFrame, (ULONG_PTR)fixture->Stack);
    KT_EXPECT_EQ((ULONG_PTR)fixture->Pointers.IntegerContext[UF_RBX], (ULONG_PTR)&fixture->Stack[5]);
    KT_EXPECT_EQ((ULONG_PTR)fixture->Pointers.IntegerContext[UF_R15], (ULONG_PTR)&fixture->Stack[6]);
    KT_EXPECT_NULL(fixture->Pointers.IntegerContext[UF_RSI]);
    UfClose(fixture);
}

KTEST(unwind, prologue_undoes_what_has_been_done)
{
    static const UCHAR info[] = { UF_INFO(1, UNW_FLAG_EHANDLER, 6, 3, 0, 0),
                                  UF_CODE(6, UWOP_ALLOC_SMALL, 4),
                                  UF_CODE(2, UWOP_PUSH_NONVOL, UF_RBX),
                                  UF_CODE(1, UWOP_PUSH_NONVOL, UF_R15),
                                  0,
                                  0,
                                  UF_32(UF_TEXT_RVA) };
    static const struct {
        ULONG Offset;
        ULONG Words; /* between RSP and the return address */
    } places[] = { { 0, 0 }, { 1, 1 }, { 2, 2 }, { 5, 2 }, { 6, 7 } };
    for (ULONG index = 0; index < RTL_NUMBER_OF(places); index++) {
        UF_FIXTURE *fixture = UfOpen();
        UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
        KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + places[index].Offset, UNW_FLAG_EHANDLER), STATUS_SUCCESS);
        KT_EXPECT_EQ(fixture->Context.Rip, 0x5000 + places[index].Words);
        KT_EXPECT_EQ(fixture->Unwind.LanguageHandler != NULL, places[index].Offset == 6);
        UfClose(fixture);
    }
}

KTEST(unwind, large_allocations)
{
    static const UCHAR scaled[] = { UF_INFO(1, 0, 8, 2, 0, 0), UF_CODE(8, UWOP_ALLOC_LARGE, 0), UF_16(20) };
    static const UCHAR unscaled[] = { UF_INFO(1, 0, 8, 3, 0, 0), UF_CODE(8, UWOP_ALLOC_LARGE, 1), UF_32(240), 0, 0 };
    UF_FIXTURE        *fixture = UfOpen();
    UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, scaled, sizeof(scaled));
    UfAddFunction(fixture, UF_TEXT_RVA + 0x40, UF_TEXT_RVA + 0x80, unscaled, sizeof(unscaled));
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, 0), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Context.Rip, 0x5014);
    fixture->Context.Rsp = (ULONG_PTR)fixture->Stack;
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + 0x40 + BODY, 0), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Context.Rip, 0x501E);
    UfClose(fixture);
}

/* push rbp; sub rsp, 0x20; lea rbp, [rsp + 0x10]; then RSP moves at will. */
KTEST(unwind, frame_pointer_finds_the_fixed_allocation)
{
    UF_FIXTURE        *fixture = UfOpen();
    static const UCHAR info[] = { UF_INFO(1, 0, 10, 3, UF_RBP, 1),
                                  UF_CODE(10, UWOP_SET_FPREG, 0),
                                  UF_CODE(5, UWOP_ALLOC_SMALL, 3),
                                  UF_CODE(1, UWOP_PUSH_NONVOL, UF_RBP),
                                  0,
                                  0 };
    UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
    fixture->Context.Rbp = (ULONG_PTR)&fixture->Stack[12];
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, 0), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Unwind.EstablisherFrame, (ULONG_PTR)&fixture->Stack[10]);
    KT_EXPECT_EQ(fixture->Context.Rbp, 0x500E); /* 10 + 4 words of allocation */
    KT_EXPECT_EQ(fixture->Context.Rip, 0x500F);

    /* between sub and lea RBP is still the caller's */
    fixture->Context.Rsp = (ULONG_PTR)fixture->Stack;
    fixture->Context.Rbp = UF_BAD_WORD;
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + 5, 0), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Unwind.EstablisherFrame, (ULONG_PTR)fixture->Stack);
    KT_EXPECT_EQ(fixture->Context.Rbp, 0x5004);
    KT_EXPECT_EQ(fixture->Context.Rip, 0x5005);
    UfClose(fixture);
}

/* sub rsp, 0x20; mov rbp, rsp; mov [rbp + 0x10], rsi; then RSP moves at will. */
KTEST(unwind, saves_are_relative_to_the_frame_pointer)
{
    UF_FIXTURE        *fixture = UfOpen();
    static const UCHAR info[] = { UF_INFO(1, 0, 11, 4, UF_RBP, 0), UF_CODE(11, UWOP_SAVE_NONVOL, UF_RSI), UF_16(2),
                                  UF_CODE(7, UWOP_SET_FPREG, 0), UF_CODE(4, UWOP_ALLOC_SMALL, 3) };
    UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
    fixture->Context.Rbp = (ULONG_PTR)&fixture->Stack[20];
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, 0), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Context.Rsi, 0x5016);
    KT_EXPECT_EQ(fixture->Context.Rip, 0x5018);
    UfClose(fixture);
}

KTEST(unwind, saves_by_mov_near_and_far)
{
    UF_FIXTURE        *fixture = UfOpen();
    static const UCHAR info[] = {
        UF_INFO(1, 0, 0x18, 11, 0, 0),
        UF_CODE(0x18, UWOP_SAVE_XMM128_FAR, 15),
        UF_32(48),
        UF_CODE(0x14, UWOP_SAVE_XMM128, 6),
        UF_16(2),
        UF_CODE(0x10, UWOP_SAVE_NONVOL_FAR, UF_RDI),
        UF_32(8),
        UF_CODE(0x0C, UWOP_SAVE_NONVOL, UF_RSI),
        UF_16(3),
        UF_CODE(0x04, UWOP_ALLOC_SMALL, 9),
        0,
        0,
    };
    UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, 0), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Context.Rsi, 0x5003);
    KT_EXPECT_EQ(fixture->Context.Rdi, 0x5001);
    KT_EXPECT_EQ(fixture->Context.Xmm6.Low, 0x5004);
    KT_EXPECT_EQ(fixture->Context.Xmm6.High, 0x5005);
    KT_EXPECT_EQ(fixture->Context.Xmm15.Low, 0x5006);
    KT_EXPECT_EQ(fixture->Context.Xmm15.High, 0x5007);
    KT_EXPECT_EQ(fixture->Context.Rip, 0x500A);
    KT_EXPECT_EQ((ULONG_PTR)fixture->Pointers.FloatingContext[6], (ULONG_PTR)&fixture->Stack[4]);
    UfClose(fixture);
}

KTEST(unwind, machine_frame_with_and_without_error_code)
{
    for (UCHAR hasErrorCode = 0; hasErrorCode < 2; hasErrorCode++) {
        UF_FIXTURE *fixture = UfOpen();
        const UCHAR info[] = { UF_INFO(1, 0, 1, 2, 0, 0), UF_CODE(1, UWOP_PUSH_NONVOL, UF_RBP),
                               UF_CODE(0, UWOP_PUSH_MACHFRAME, hasErrorCode) };
        UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
        fixture->Context.ContextFlags = CONTEXT_UNWOUND_TO_CALL;
        KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, 0), STATUS_SUCCESS);
        KT_EXPECT_EQ(fixture->Context.Rbp, 0x5000);
        KT_EXPECT_EQ(fixture->Context.Rip, 0x5001 + hasErrorCode);
        KT_EXPECT_EQ(fixture->Context.Rsp, 0x5004 + hasErrorCode);
        KT_EXPECT_EQ(fixture->Context.ContextFlags & CONTEXT_UNWOUND_TO_CALL, 0);
        UfClose(fixture);
    }
}

/* A fragment that saves RSI by mov, chained to a function that pushes RBX and names a handler. */
KTEST(unwind, chain_is_undone_and_names_the_handler)
{
    UF_FIXTURE        *fixture = UfOpen();
    static const UCHAR primary[] = { UF_INFO(1, UNW_FLAG_EHANDLER, 5, 2, 0, 0), UF_CODE(5, UWOP_ALLOC_SMALL, 3),
                                     UF_CODE(1, UWOP_PUSH_NONVOL, UF_RBX), UF_32(UF_TEXT_RVA + 0x80), UF_32(0x77) };
    RUNTIME_FUNCTION  *function = UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, primary, sizeof(primary));
    UCHAR              fragment[] = { UF_INFO(1, UNW_FLAG_CHAININFO, 4, 2, 0, 0),
                                      UF_CODE(4, UWOP_SAVE_NONVOL, UF_RSI),
                                      UF_16(1),
                                      UF_32(UF_TEXT_RVA),
                                      UF_32(UF_TEXT_RVA + 0x40),
                                      UF_32(function->UnwindData) };
    UfAddFunction(fixture, UF_TEXT_RVA + 0x40, UF_TEXT_RVA + 0x60, fragment, sizeof(fragment));

    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + 0x50, UNW_FLAG_EHANDLER), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Context.Rsi, 0x5001);
    KT_EXPECT_EQ(fixture->Context.Rbx, 0x5004);
    KT_EXPECT_EQ(fixture->Context.Rip, 0x5005);
    KT_EXPECT_EQ((ULONG_PTR)fixture->Unwind.LanguageHandler, fixture->Image.Base + UF_TEXT_RVA + 0x80);
    KT_EXPECT_EQ(*(ULONG *)fixture->Unwind.HandlerData, 0x77);

    /* in the fragment's prologue RSI is not saved yet, but the primary's prologue is long done */
    fixture->Context.Rsp = (ULONG_PTR)fixture->Stack;
    fixture->Context.Rsi = 0x106;
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + 0x41, UNW_FLAG_EHANDLER), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Context.Rsi, 0x106);
    KT_EXPECT_EQ(fixture->Context.Rip, 0x5005);
    KT_EXPECT_NULL(fixture->Unwind.LanguageHandler);
    UfClose(fixture);
}

KTEST(unwind, handler_only_for_the_pass_that_it_wants)
{
    UF_FIXTURE        *fixture = UfOpen();
    static const UCHAR info[] = { UF_INFO(1, UNW_FLAG_UHANDLER, 0, 0, 0, 0), UF_32(UF_TEXT_RVA) };
    UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, UNW_FLAG_EHANDLER), STATUS_SUCCESS);
    KT_EXPECT_NULL(fixture->Unwind.LanguageHandler);
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, UNW_FLAG_UHANDLER), STATUS_SUCCESS);
    KT_EXPECT_NOT_NULL(fixture->Unwind.LanguageHandler);
    UfClose(fixture);
}

/*
 * Epilogues of version 1: sub rsp, 0x20 and push rbx in the prologue, or RBP (R12) as frame pointer where the code uses
 * it. Words is what lies between RSP and the return address; a body unwinds by its codes, to 5 words.
 */
typedef struct _UC_EPILOGUE {
    const char *Text;
    UCHAR       Code[16];
    UCHAR       FrameRegister;
    ULONG       Words;
} UC_EPILOGUE;

#define NOT_EPILOGUE 5u

static const UC_EPILOGUE UcEpilogues[] = {
    { "ret", { 0xC3 }, 0, 0 },
    { "ret 16", { 0xC2, 0x10, 0x00 }, 0, 0 },
    { "rep ret", { 0xF3, 0xC3 }, 0, 0 },
    { "bnd ret", { 0xF2, 0xC3 }, 0, 0 },
    { "pop rbx; ret", { 0x5B, 0xC3 }, 0, 1 },
    { "pop r12; pop rbx; ret", { 0x41, 0x5C, 0x5B, 0xC3 }, 0, 2 },
    { "add rsp, 8; pop rbx; ret", { 0x48, 0x83, 0xC4, 0x08, 0x5B, 0xC3 }, 0, 2 },
    { "add rsp, 0x80; ret", { 0x48, 0x81, 0xC4, 0x80, 0, 0, 0, 0xC3 }, 0, 16 },
    { "lea rsp, [rbp - 8]; ret", { 0x48, 0x8D, 0x65, 0xF8, 0xC3 }, UF_RBP, 19 },
    { "lea rsp, [rbp + 0x100]; ret", { 0x48, 0x8D, 0xA5, 0x00, 0x01, 0, 0, 0xC3 }, UF_RBP, 52 },
    { "lea rsp, [r12 + 8]; ret", { 0x49, 0x8D, 0x64, 0x24, 0x08, 0xC3 }, UF_R12, 21 },
    { "lea rsp, [r12]; ret", { 0x49, 0x8D, 0x24, 0x24, 0xC3 }, UF_R12, 20 },
    { "pop rbx; jmp rel8 beyond", { 0x5B, 0xEB, 0x7D }, 0, 1 },
    { "pop rbx; jmp rel32 beyond", { 0x5B, 0xE9, 0x7A, 0, 0, 0 }, 0, 1 },
    { "pop rbx; jmp [rip + 0x10]", { 0x5B, 0xFF, 0x25, 0x10, 0, 0, 0 }, 0, 1 },
    { "pop rbx; rex.w jmp rax", { 0x5B, 0x48, 0xFF, 0xE0 }, 0, 1 },
    { "pop rbx; rex.wb jmp r11", { 0x5B, 0x49, 0xFF, 0xE3 }, 0, 1 },
    { "jmp to the function's beginning", { 0xEB, (UCHAR)(-(0x20 + 2)) }, 0, 0 },
    { "nop", { 0x90, 0xC3 }, 0, NOT_EPILOGUE },
    { "jmp within the function", { 0xEB, 0x08 }, 0, NOT_EPILOGUE },
    { "jmp to a chained fragment", { 0xEB, 0x1E }, 0, NOT_EPILOGUE },
    { "jmp to a cold part", { 0xEB, 0x2E }, 0, NOT_EPILOGUE },
    { "jmp into another function", { 0xEB, 0x40 }, 0, NOT_EPILOGUE },
    { "jmp rax without rex", { 0xFF, 0xE0 }, 0, NOT_EPILOGUE },
    { "jmp [rax + 8]", { 0xFF, 0x60, 0x08 }, 0, NOT_EPILOGUE },
    { "pop rsp; ret", { 0x5C, 0xC3 }, 0, NOT_EPILOGUE },
    { "push rbx; ret", { 0x53, 0xC3 }, 0, NOT_EPILOGUE },
    { "add rsp, 8; call", { 0x48, 0x83, 0xC4, 0x08, 0xE8 }, 0, NOT_EPILOGUE },
    { "lea rsp, [rbp] without frame pointer", { 0x48, 0x8D, 0x65, 0x00, 0xC3 }, 0, NOT_EPILOGUE },
    { "lea rsp, [rax + 8] without frame pointer", { 0x48, 0x8D, 0x60, 0x08, 0xC3 }, 0, NOT_EPILOGUE },
    { "lea rsp, [r12 + rcx + 8]", { 0x49, 0x8D, 0x64, 0x0C, 0x08, 0xC3 }, UF_R12, 25 },
    { "lea rsp, [rip + x]", { 0x48, 0x8D, 0x25, 0, 0, 0, 0, 0xC3 }, UF_RBP, 25 },
};

static void UcAddEpilogueFunctions(UF_FIXTURE *Fixture, UCHAR FrameRegister)
{
    const UCHAR info[] = { UF_INFO(1, UNW_FLAG_EHANDLER, 5, 2, FrameRegister, 0), UF_CODE(5, UWOP_ALLOC_SMALL, 3),
                           UF_CODE(1, UWOP_PUSH_NONVOL, UF_RBX), UF_32(UF_TEXT_RVA) };
    const UCHAR framed[] = { UF_INFO(1, UNW_FLAG_EHANDLER, 9, 3, FrameRegister, 0),
                             UF_CODE(9, UWOP_SET_FPREG, 0),
                             UF_CODE(5, UWOP_ALLOC_SMALL, 3),
                             UF_CODE(1, UWOP_PUSH_NONVOL, UF_RBX),
                             0,
                             0,
                             UF_32(UF_TEXT_RVA) };
    static const UCHAR coldPart[] = { UF_INFO(1, 0, 0, 1, 0, 0), UF_CODE(0, UWOP_ALLOC_SMALL, 3), 0, 0 };
    const void        *own = FrameRegister == 0 ? info : framed;
    RUNTIME_FUNCTION  *function = UfAddFunction(Fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, own,
                                               FrameRegister == 0 ? sizeof(info) : sizeof(framed));
    const UCHAR        fragment[] = { UF_INFO(1, UNW_FLAG_CHAININFO, 0, 0, 0, 0), UF_32(UF_TEXT_RVA),
                                      UF_32(UF_TEXT_RVA + 0x40), UF_32(function->UnwindData) };
    UfAddFunction(Fixture, UF_TEXT_RVA + 0x40, UF_TEXT_RVA + 0x50, fragment, sizeof(fragment));
    UfAddFunction(Fixture, UF_TEXT_RVA + 0x50, UF_TEXT_RVA + 0x60, coldPart, sizeof(coldPart));
    UfAddFunction(Fixture, UF_TEXT_RVA + 0x60, UF_TEXT_RVA + 0x80, info, sizeof(info));
}

KTEST(unwind, epilogues_of_version_1)
{
    for (ULONG index = 0; index < RTL_NUMBER_OF(UcEpilogues); index++) {
        const UC_EPILOGUE *epilogue = &UcEpilogues[index];
        UF_FIXTURE        *fixture = UfOpen();
        UcAddEpilogueFunctions(fixture, epilogue->FrameRegister);
        UfSetCode(fixture, UF_TEXT_RVA + BODY, epilogue->Code, sizeof(epilogue->Code));
        fixture->Context.Rbp = (ULONG_PTR)&fixture->Stack[20];
        fixture->Context.R12 = (ULONG_PTR)&fixture->Stack[20];
        KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, UNW_FLAG_EHANDLER), STATUS_SUCCESS);
        if (fixture->Context.Rip != 0x5000 + epilogue->Words) {
            KtReport(__FILE__, __LINE__, "%s: got %llu words, expected %u", epilogue->Text,
                     fixture->Context.Rip - 0x5000, epilogue->Words);
        }
        bool isBody = epilogue->Words == NOT_EPILOGUE || epilogue->Words == 25;
        KT_EXPECT_EQ(fixture->Unwind.LanguageHandler != NULL, isBody);
        UfClose(fixture);
    }
}

/* pop rbx ends the function; the ret behind it is another's. */
KTEST(unwind, epilogue_ends_within_its_function)
{
    static const UCHAR info[] = { UF_INFO(1, 0, 1, 1, 0, 0), UF_CODE(1, UWOP_PUSH_NONVOL, UF_RBX), 0, 0 };
    for (ULONG extraBytes = 0; extraBytes < 2; extraBytes++) {
        UF_FIXTURE *fixture = UfOpen();
        UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + BODY + 2 + extraBytes, info, sizeof(info));
        UfSetCode(fixture, UF_TEXT_RVA + BODY, (const UCHAR[]){ 0x5E, 0x5B, 0xC3 }, 3);
        KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, 0), STATUS_SUCCESS);
        KT_EXPECT_EQ(fixture->Context.Rip, extraBytes == 0 ? 0x5001 : 0x5002);
        UfClose(fixture);
    }
}

KTEST(unwind, return_address_is_never_in_an_epilogue)
{
    UF_FIXTURE *fixture = UfOpen();
    UcAddEpilogueFunctions(fixture, 0);
    fixture->Context.Rip = fixture->Image.Base + UF_TEXT_RVA + BODY;
    UfSetCode(fixture, UF_TEXT_RVA + BODY, (const UCHAR[]){ 0xC3 }, 1);
    RTLP_UNWIND unwind = { .Image = &fixture->Image,
                           .ControlPc = fixture->Context.Rip,
                           .Context = &fixture->Context,
                           .StackHigh = MAXULONG_PTR,
                           .HandlerType = UNW_FLAG_EHANDLER,
                           .IsUnwoundToCall = true };
    KT_EXPECT_STATUS(RtlpUnwind(&unwind, RtlpFindFunction(&fixture->Image, UF_TEXT_RVA + BODY)), STATUS_SUCCESS);
    KT_EXPECT_NOT_NULL(unwind.LanguageHandler);
    UfClose(fixture);
}

/* Three epilogues of 3 bytes: at the end of the function, 0x10 and 0x20 bytes before it. */
KTEST(unwind, epilogues_of_version_2)
{
    static const UCHAR info[] = {
        UF_INFO(2, 0, 5, 6, 0, 0),
        UF_CODE(3, UWOP_EPILOG, 1),
        UF_CODE(0x10, UWOP_EPILOG, 0),
        UF_CODE(0x20, UWOP_EPILOG, 0),
        UF_CODE(0, UWOP_EPILOG, 0),
        UF_CODE(5, UWOP_ALLOC_SMALL, 3),
        UF_CODE(1, UWOP_PUSH_NONVOL, UF_RBX),
    };
    static const struct {
        ULONG Rva;
        ULONG Words;
    } places[] = { { 0x20, 1 }, { 0x21, 0 }, { 0x22, 0 }, { 0x23, 5 }, { 0x1F, 5 },
                   { 0x30, 1 }, { 0x3D, 1 }, { 0x3E, 0 }, { 0x3C, 5 } };
    for (ULONG index = 0; index < RTL_NUMBER_OF(places); index++) {
        UF_FIXTURE *fixture = UfOpen();
        UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
        static const UCHAR code[] = { 0x5B, 0x66, 0xFF, 0xE0 }; /* pop rbx, then a jump that version 1 would refuse */
        UfSetCode(fixture, UF_TEXT_RVA + 0x20, code, sizeof(code));
        UfSetCode(fixture, UF_TEXT_RVA + 0x30, code, sizeof(code));
        UfSetCode(fixture, UF_TEXT_RVA + 0x3D, code, 3);
        UfSetCode(fixture, UF_TEXT_RVA + 0x1F, (const UCHAR[]){ 0xC3 }, 1); /* looks like one, is not listed */
        KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + places[index].Rva, 0), STATUS_SUCCESS);
        KT_EXPECT_EQ(fixture->Context.Rip, 0x5000 + places[index].Words);
        UfClose(fixture);
    }
}

KTEST(unwind, offset_of_an_epilogue_has_12_bits)
{
    static const UCHAR info[] = { UF_INFO(2, 0, 5, 4, 0, 0), UF_CODE(1, UWOP_EPILOG, 0), UF_CODE(0x23, UWOP_EPILOG, 1),
                                  UF_CODE(5, UWOP_ALLOC_SMALL, 3), UF_CODE(1, UWOP_PUSH_NONVOL, UF_RBX) };
    UF_FIXTURE        *fixture = UfOpen();
    UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x200, info, sizeof(info));
    UfSetCode(fixture, UF_TEXT_RVA + 0xDD, (const UCHAR[]){ 0xC3 }, 1);
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + 0x200 - 0x123, 0), STATUS_SUCCESS);
    KT_EXPECT_EQ(fixture->Context.Rip, 0x5000);
    UfClose(fixture);
}

KTEST(unwind, damaged_information_is_refused)
{
    static const struct {
        const char *Text;
        UCHAR       Info[24];
    } damages[] = {
        { "version 0", { UF_INFO(0, 0, 0, 0, 0, 0) } },
        { "version 3", { UF_INFO(3, 0, 0, 0, 0, 0) } },
        { "operation 6 in version 1", { UF_INFO(1, 0, 1, 1, 0, 0), UF_CODE(1, 6, 0) } },
        { "operation 7", { UF_INFO(2, 0, 1, 1, 0, 0), UF_CODE(1, 7, 0) } },
        { "operation 15", { UF_INFO(1, 0, 1, 1, 0, 0), UF_CODE(1, 15, 0) } },
        { "operand missing", { UF_INFO(1, 0, 1, 1, 0, 0), UF_CODE(1, UWOP_ALLOC_LARGE, 0), UF_16(1) } },
        { "half an operand", { UF_INFO(1, 0, 1, 2, 0, 0), UF_CODE(1, UWOP_SAVE_XMM128_FAR, 6), UF_16(0), UF_16(0) } },
        { "handler outside", { UF_INFO(1, UNW_FLAG_EHANDLER, 0, 0, 0, 0), UF_32(UF_IMAGE_BYTES) } },
        { "chain to nowhere", { UF_INFO(1, UNW_FLAG_CHAININFO, 0, 0, 0, 0), UF_32(0), UF_32(0), UF_32(0xFFFFFFF0) } },
        { "chain to itself", { UF_INFO(1, UNW_FLAG_CHAININFO, 0, 0, 0, 0), UF_32(0), UF_32(0), UF_32(UF_XDATA_RVA) } },
    };
    for (ULONG index = 0; index < RTL_NUMBER_OF(damages); index++) {
        UF_FIXTURE *fixture = UfOpen();
        UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, damages[index].Info, sizeof(damages[index].Info));
        NTSTATUS status = UfUnwind(fixture, UF_TEXT_RVA + BODY, UNW_FLAG_EHANDLER);
        if (status != STATUS_BAD_FUNCTION_TABLE) {
            KtReport(__FILE__, __LINE__, "%s: got 0x%08X", damages[index].Text, (ULONG)status);
        }
        KT_EXPECT_NULL(fixture->Unwind.LanguageHandler);
        UfClose(fixture);
    }
}

KTEST(unwind, information_at_the_image_end_is_not_overrun)
{
    static const UCHAR info[] = { UF_INFO(1, UNW_FLAG_CHAININFO, 4, 6, 0, 0) };
    for (ULONG distance = 0; distance <= 32; distance += 4) {
        UF_FIXTURE       *fixture = UfOpen();
        RUNTIME_FUNCTION *function = UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
        function->UnwindData = UF_IMAGE_BYTES - distance;
        UfSetCode(fixture, UF_IMAGE_BYTES - distance, info, distance < sizeof(info) ? distance : sizeof(info));
        KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, 0), STATUS_BAD_FUNCTION_TABLE);
        UfClose(fixture);
    }
}

KTEST(unwind, stack_reads_stay_within_the_limits)
{
    static const UCHAR info[] = { UF_INFO(1, 0, 1, 1, 0, 0), UF_CODE(1, UWOP_PUSH_NONVOL, UF_RBX), 0, 0 };
    UF_FIXTURE        *fixture = UfOpen();
    UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
    const ULONG64 base = (ULONG_PTR)fixture->Stack;
    const ULONG64 end = (ULONG_PTR)(fixture->Stack + UF_STACK_WORDS);
    const ULONG64 bad[] = { base - 8, base + 1, end - 8, end, end - 4, 0, MAXULONG_PTR - 7, MAXULONG_PTR };
    for (ULONG index = 0; index < RTL_NUMBER_OF(bad); index++) {
        fixture->Context.Rsp = bad[index];
        KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, 0), STATUS_BAD_STACK);
    }
    fixture->Context.Rsp = end - 16;
    KT_EXPECT_STATUS(UfUnwind(fixture, UF_TEXT_RVA + BODY, 0), STATUS_SUCCESS);

    fixture->Context.Rsp = end - 8;
    fixture->Unwind.StackHigh = end - 1; /* the last word is not whole */
    KT_EXPECT_STATUS(RtlpUnwind(&fixture->Unwind, NULL), STATUS_BAD_STACK);
    UfClose(fixture);
}

static ULONG   UcPredicateCalls;
static ULONG64 UcForbiddenPage;

static bool UcIsReadable(const void *Address, SIZE_T ByteCount)
{
    UcPredicateCalls++;
    KT_EXPECT_EQ((ULONG_PTR)Address % 8, 0);
    ULONG64 last = (ULONG_PTR)Address + ByteCount - 1;
    return (ULONG_PTR)Address / PAGE_SIZE != UcForbiddenPage && last / PAGE_SIZE != UcForbiddenPage;
}

KTEST(unwind, unreadable_stack_is_not_read)
{
    UF_FIXTURE *fixture = UfOpen();
    RTLP_UNWIND unwind = { .Context = &fixture->Context, .StackHigh = MAXULONG_PTR, .IsReadable = UcIsReadable };
    UcForbiddenPage = 5;
    fixture->Context.Rsp = 5 * PAGE_SIZE;
    KT_EXPECT_STATUS(RtlpUnwind(&unwind, NULL), STATUS_BAD_STACK);
    KT_EXPECT_GT(UcPredicateCalls, 0);
    UfClose(fixture);
}

KTEST(unwind, lookup_finds_each_function_and_no_gap)
{
    static const UCHAR info[] = { UF_INFO(1, 0, 0, 0, 0, 0) };
    UF_FIXTURE        *fixture = UfOpen();
    for (ULONG index = 0; index < 9; index++) {
        UfAddFunction(fixture, UF_TEXT_RVA + index * 0x40, UF_TEXT_RVA + index * 0x40 + 0x30, info, sizeof(info));
    }
    const RUNTIME_FUNCTION *table = fixture->Image.FunctionTable;
    for (ULONG index = 0; index < 9; index++) {
        ULONG begin = UF_TEXT_RVA + index * 0x40;
        KT_EXPECT_TRUE(RtlpFindFunction(&fixture->Image, begin) == &table[index]);
        KT_EXPECT_TRUE(RtlpFindFunction(&fixture->Image, begin + 0x2F) == &table[index]);
        KT_EXPECT_NULL(RtlpFindFunction(&fixture->Image, begin + 0x30));
        KT_EXPECT_NULL(RtlpFindFunction(&fixture->Image, begin - 1));
    }
    ULONG64 imageBase = 0;
    ULONG64 pc = fixture->Image.Base + UF_TEXT_RVA + 0x41;
    KT_EXPECT_TRUE(RtlLookupFunctionEntry(pc, &imageBase, NULL) == &table[1]);
    KT_EXPECT_EQ(imageBase, fixture->Image.Base);
    KT_EXPECT_NULL(RtlLookupFunctionEntry(pc + 0x2F, &imageBase, NULL));
    KT_EXPECT_EQ(imageBase, fixture->Image.Base);
    KT_EXPECT_NULL(RtlLookupFunctionEntry(1, &imageBase, NULL));
    KT_EXPECT_EQ(imageBase, 0);
    UfClose(fixture);
}

KTEST(unwind, indirect_entry_stands_for_another)
{
    static const UCHAR info[] = { UF_INFO(1, 0, 0, 0, 0, 0) };
    UF_FIXTURE        *fixture = UfOpen();
    UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
    RUNTIME_FUNCTION *indirect = UfAddFunction(fixture, UF_TEXT_RVA + 0x40, UF_TEXT_RVA + 0x80, info, sizeof(info));
    indirect->UnwindData = UF_PDATA_RVA + 1;
    KT_EXPECT_TRUE(RtlpFindFunction(&fixture->Image, UF_TEXT_RVA + 0x50) == fixture->Image.FunctionTable);
    indirect->UnwindData = UF_IMAGE_BYTES - 4 + 1;
    KT_EXPECT_NULL(RtlpFindFunction(&fixture->Image, UF_TEXT_RVA + 0x50));
    indirect->UnwindData = UF_PDATA_RVA + 3;
    KT_EXPECT_NULL(RtlpFindFunction(&fixture->Image, UF_TEXT_RVA + 0x50));
    UfClose(fixture);
}

static bool UcIsAlwaysReadable(const void *Address, SIZE_T ByteCount)
{
    UNREFERENCED_PARAMETER(Address);
    return ByteCount != 0;
}

KTEST(unwind, virtual_unwind_reports_failure_by_rip_0)
{
    UF_FIXTURE        *fixture = UfOpen();
    static const UCHAR info[] = { UF_INFO(5, 0, 0, 0, 0, 0) };
    RUNTIME_FUNCTION  *function = UfAddFunction(fixture, UF_TEXT_RVA, UF_TEXT_RVA + 0x40, info, sizeof(info));
    RTLP_IS_READABLE  *oldPredicate = RtlpIsReadable;
    RtlpIsReadable = UcIsAlwaysReadable;
    PVOID   handlerData;
    ULONG64 frame;
    ULONG64 pc = fixture->Image.Base + UF_TEXT_RVA;
    KT_EXPECT_NULL(
        RtlVirtualUnwind(0, fixture->Image.Base, pc, function, &fixture->Context, &handlerData, &frame, NULL));
    KT_EXPECT_EQ(fixture->Context.Rip, 0);
    KT_EXPECT_NULL(RtlVirtualUnwind(0, 0x1234, pc, function, &fixture->Context, &handlerData, &frame, NULL));
    KT_EXPECT_EQ(fixture->Context.Rip, 0);
    RtlpIsReadable = oldPredicate;
    UfClose(fixture);
}
