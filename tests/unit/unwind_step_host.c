/*
 * Every instruction of compiled code must unwind: in prologues, bodies, epilogues, tail calls and leaf functions alike.
 *
 * The program maps a PE image that holds tests/unit/unwind_step.asm and unwind_step_subject.c, runs it in this process
 * with the trap flag set, and at each instruction unwinds from the registers of that moment to StepCall, where RSP and
 * all nonvolatile registers are known. It prints the places that go wrong and exits with 1 if there are any.
 *
 *     unwind_step IMAGE.exe
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "kernel/rtl/symbols.h"
#include "kernel/rtl/unwind.h"

#include <ntimage.h>

#define STEP_INTEGER     0x5500u /* what StepCall leaves in nonvolatile register n: this plus n */
#define STEP_XMM         0x6600u
#define STEP_MAX_DEPTH   32u
#define STEP_MAX_REPORTS 20u
#define STEP_STACK_BYTES 0x20000u

typedef struct _STEP_EXPECTED {
    ULONG64 Rip;
    ULONG64 Rsp;
} STEP_EXPECTED;

static volatile STEP_EXPECTED StepExpected;
static RTLP_IMAGE             StepImage;
static ULONG64                StepStackHigh;
static ULONG64                StepCount;
static ULONG64                StepFailures;

/* The number that Context has in place of the register at each of the ucontext's REG_... */
static const struct {
    int   Source;
    ULONG Register;
} StepRegisters[] = {
    { REG_RAX, 0 },  { REG_RCX, 1 },  { REG_RDX, 2 },  { REG_RBX, 3 },  { REG_RSP, 4 },  { REG_RBP, 5 },
    { REG_RSI, 6 },  { REG_RDI, 7 },  { REG_R8, 8 },   { REG_R9, 9 },   { REG_R10, 10 }, { REG_R11, 11 },
    { REG_R12, 12 }, { REG_R13, 13 }, { REG_R14, 14 }, { REG_R15, 15 }, { REG_RIP, 16 },
};

static void StepReadContext(const ucontext_t *Source, CONTEXT *Context)
{
    *Context = (CONTEXT){ .ContextFlags = CONTEXT_FULL };
    for (ULONG index = 0; index < RTL_NUMBER_OF(StepRegisters); index++) {
        (&Context->Rax)[StepRegisters[index].Register] =
            (ULONG64)Source->uc_mcontext.gregs[StepRegisters[index].Source];
    }
    for (ULONG index = 0; index < 16; index++) {
        const unsigned *words = Source->uc_mcontext.fpregs->_xmm[index].element;
        Context->FltSave.XmmRegisters[index] = (M128A){ .Low = words[0] | (ULONG64)words[1] << 32,
                                                        .High = (LONGLONG)(words[2] | (ULONG64)words[3] << 32) };
    }
}

static bool StepUnwindToCaller(CONTEXT *Context)
{
    ULONG64 low = Context->Rsp;
    for (ULONG depth = 0; depth < STEP_MAX_DEPTH && Context->Rip != StepExpected.Rip; depth++) {
        RTLP_UNWIND unwind = {
            .Image = &StepImage,
            .ControlPc = Context->Rip,
            .Context = Context,
            .StackLow = low,
            .StackHigh = StepStackHigh,
            .IsUnwoundToCall = (Context->ContextFlags & CONTEXT_UNWOUND_TO_CALL) != 0,
        };
        const RUNTIME_FUNCTION *function = RtlpFindFunction(&StepImage, (ULONG)(Context->Rip - StepImage.Base));
        if (!NT_SUCCESS(RtlpUnwind(&unwind, function))) {
            return false;
        }
    }
    return Context->Rip == StepExpected.Rip;
}

static bool StepIsAsExpected(const CONTEXT *Context)
{
    static const ULONG nonvolatile[] = { 3, 5, 6, 7, 12, 13, 14, 15 };
    bool               isExpected = Context->Rsp == StepExpected.Rsp;
    for (ULONG index = 0; index < RTL_NUMBER_OF(nonvolatile); index++) {
        isExpected = isExpected && (&Context->Rax)[nonvolatile[index]] == STEP_INTEGER + nonvolatile[index];
    }
    for (ULONG index = 6; index < 16; index++) {
        const M128A *value = &Context->FltSave.XmmRegisters[index];
        isExpected = isExpected && value->Low == STEP_XMM + index && value->High == (LONGLONG)(STEP_XMM + index);
    }
    return isExpected;
}

static void StepTrap(int Signal, siginfo_t *Information, void *Machine)
{
    UNREFERENCED_PARAMETER(Signal);
    UNREFERENCED_PARAMETER(Information);
    CONTEXT context;
    StepReadContext(Machine, &context);
    ULONG64 rip = context.Rip;
    if (rip - StepImage.Base >= StepImage.ByteCount || rip == StepExpected.Rip) {
        return;
    }
    if ((rip > StepExpected.Rip && rip < StepExpected.Rip + 32) || StepExpected.Rip == 0) {
        return; /* in StepCall itself, on the way to clearing the trap flag */
    }
    StepCount++;
    if ((!StepUnwindToCaller(&context) || !StepIsAsExpected(&context)) && StepFailures++ < STEP_MAX_REPORTS) {
        char text[RTLP_SYMBOL_BYTES];
        RtlpFormatAddress((const void *)(ULONG_PTR)rip, text, sizeof(text));
        printf("does not unwind: %s\n", text);
    }
}

/* Map the PE file's sections where it wants to be; its entry point, which is StepCall. */
static void *StepLoad(const UCHAR *File, ULONG FileBytes)
{
    const IMAGE_DOS_HEADER     *dos = (const IMAGE_DOS_HEADER *)File;
    const IMAGE_NT_HEADERS64   *headers = (const IMAGE_NT_HEADERS64 *)(File + dos->e_lfanew);
    const IMAGE_SECTION_HEADER *sections = (const IMAGE_SECTION_HEADER *)(headers + 1);
    ULONG                       imageBytes = headers->OptionalHeader.SizeOfImage;
    const int                   protection = PROT_READ | PROT_WRITE | PROT_EXEC;
    const int                   flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    UCHAR *base = mmap((void *)(ULONG_PTR)headers->OptionalHeader.ImageBase, imageBytes, protection, flags, -1, 0);
    if (base == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    __builtin_memcpy(base, File, headers->OptionalHeader.SizeOfHeaders);
    for (ULONG index = 0; index < headers->FileHeader.NumberOfSections; index++) {
        const IMAGE_SECTION_HEADER *section = &sections[index];
        if (section->VirtualAddress < imageBytes && section->SizeOfRawData <= imageBytes - section->VirtualAddress) {
            __builtin_memcpy(base + section->VirtualAddress, File + section->PointerToRawData, section->SizeOfRawData);
        }
    }
    RtlpInitializeImage(&StepImage, "subject.exe", base, imageBytes);
    ULONG symbols = headers->FileHeader.PointerToSymbolTable;
    RtlpSetImageSymbols(&StepImage, File + symbols, headers->FileHeader.NumberOfSymbols, FileBytes - symbols);
    RtlpInsertImage(&StepImage);
    return base + headers->OptionalHeader.AddressOfEntryPoint;
}

int main(int argc, char **argv)
{
    static UCHAR file[0x100000];
    static UCHAR signalStack[STEP_STACK_BYTES];
    FILE        *stream = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (stream == NULL) {
        fprintf(stderr, "usage: unwind_step IMAGE.exe\n");
        return 2;
    }
    ULONG fileBytes = (ULONG)fread(file, 1, sizeof(file), stream);
    fclose(stream);
    __attribute__((ms_abi)) void (*stepCall)(volatile STEP_EXPECTED *) = StepLoad(file, fileBytes);

    stack_t          alternate = { .ss_sp = signalStack, .ss_size = sizeof(signalStack) };
    struct sigaction action = { .sa_sigaction = StepTrap, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    sigaltstack(&alternate, NULL);
    sigaction(SIGTRAP, &action, NULL);
    StepStackHigh = (ULONG_PTR)__builtin_frame_address(0);
    stepCall(&StepExpected);
    printf("%llu instructions, %llu do not unwind\n", StepCount, StepFailures);
    return StepFailures == 0 && StepCount > 1000 ? 0 : 1;
}
