/*
 * Structured exception handling in the kernel. __try covers calls only with this compiler, so everything that raises
 * stands in a function of its own that is never inlined.
 */
#include "kernel/ddk.h"

#include "kernel/amd64/cpu.h"
#include "kernel/ke/exdispatch.h"
#include "kernel/ke/seh.h"
#include "tests/lib/ktest.h"

#define SEH_STATUS(Number) ((NTSTATUS)(0xE0000000u | (Number))) /* codes that nobody else raises */

/* What the handlers of a test did, a letter each, in order. */
typedef struct _SEH_TRACE {
    ULONG Count;
    char  Steps[64]; /* NUL-terminated */
} SEH_TRACE;

static DECLSPEC_NOINLINE void SehStep(SEH_TRACE *Trace, char Step)
{
    if (Trace->Count < sizeof(Trace->Steps) - 1) {
        Trace->Steps[Trace->Count++] = Step;
    }
}

/* What must stay a call that the compiler knows nothing about: not that it never returns, not its arguments. */
#define SEH_OPAQUE DECLSPEC_NOINLINE __attribute__((optnone))

static SEH_OPAQUE void SehRaise(ULONG Number)
{
    ExRaiseStatus(SEH_STATUS(Number));
}

static SEH_OPAQUE ULONG SehRead(const volatile ULONG *Address)
{
    return *Address;
}

static DECLSPEC_NOINLINE void SehWrite(volatile ULONG *Address, ULONG Value)
{
    *Address = Value;
}

static DECLSPEC_NOINLINE void SehDivide(volatile ULONG *Dividend, volatile ULONG *Divisor)
{
    *Dividend = *Dividend / *Divisor;
}

/* Accept the exception and keep a copy of its record. */
static LONG SehKeepRecord(EXCEPTION_POINTERS *Pointers, EXCEPTION_RECORD *Record)
{
    *Record = *Pointers->ExceptionRecord;
    return EXCEPTION_EXECUTE_HANDLER;
}

KTEST(ke_seh, null_read_is_caught)
{
    EXCEPTION_RECORD record = { 0 };
    NTSTATUS         code = STATUS_SUCCESS;
    __try {
        SehRead((const volatile ULONG *)0x10);
    } __except (SehKeepRecord(GetExceptionInformation(), &record)) {
        code = (NTSTATUS)GetExceptionCode();
    }
    KT_EXPECT_STATUS(code, STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(record.ExceptionCode, STATUS_ACCESS_VIOLATION);
    KT_EXPECT_EQ(record.NumberParameters, 2);
    KT_EXPECT_EQ(record.ExceptionInformation[0], EXCEPTION_READ_FAULT);
    KT_EXPECT_EQ(record.ExceptionInformation[1], 0x10);
    KT_EXPECT_TRUE((ULONG_PTR)record.ExceptionAddress - (ULONG_PTR)SehRead < 32);
}

KTEST(ke_seh, null_write_is_caught)
{
    EXCEPTION_RECORD record = { 0 };
    __try {
        SehWrite((volatile ULONG *)0x20, 1);
    } __except (SehKeepRecord(GetExceptionInformation(), &record)) {
        KT_EXPECT_EQ(record.ExceptionInformation[0], EXCEPTION_WRITE_FAULT);
        KT_EXPECT_EQ(record.ExceptionInformation[1], 0x20);
    }
    KT_EXPECT_STATUS(record.ExceptionCode, STATUS_ACCESS_VIOLATION);
}

KTEST(ke_seh, divide_error_is_caught)
{
    volatile ULONG one = 1;
    volatile ULONG zero = 0;
    NTSTATUS       code = STATUS_SUCCESS;
    __try {
        SehDivide(&one, &zero);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        code = (NTSTATUS)GetExceptionCode();
    }
    KT_EXPECT_STATUS(code, STATUS_INTEGER_DIVIDE_BY_ZERO);
}

KTEST(ke_seh, raised_status_is_caught)
{
    EXCEPTION_RECORD record = { 0 };
    __try {
        SehRaise(1);
    } __except (SehKeepRecord(GetExceptionInformation(), &record)) {
        KT_EXPECT_STATUS((NTSTATUS)GetExceptionCode(), SEH_STATUS(1));
    }
    KT_EXPECT_STATUS(record.ExceptionCode, SEH_STATUS(1));
    KT_EXPECT_EQ(record.ExceptionFlags & EXCEPTION_NONCONTINUABLE, EXCEPTION_NONCONTINUABLE);
    KT_EXPECT_TRUE((ULONG_PTR)record.ExceptionAddress - (ULONG_PTR)SehRaise < 64);
}

static DECLSPEC_NOINLINE void SehRaiseAccessViolation(void)
{
    ExRaiseAccessViolation();
}

static DECLSPEC_NOINLINE void SehRaiseMisalignment(void)
{
    ExRaiseDatatypeMisalignment();
}

static NTSTATUS SehCodeOf(void (*Routine)(void))
{
    __try {
        Routine();
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return (NTSTATUS)GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

KTEST(ke_seh, raise_routines_have_their_codes)
{
    KT_EXPECT_STATUS(SehCodeOf(SehRaiseAccessViolation), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(SehCodeOf(SehRaiseMisalignment), STATUS_DATATYPE_MISALIGNMENT);
}

KTEST(ke_seh, inner_handler_comes_first)
{
    SEH_TRACE trace = { 0 };
    __try {
        __try {
            SehRaise(2);
            SehStep(&trace, 'x');
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            SehStep(&trace, 'i');
        }
        SehStep(&trace, 'a');
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        SehStep(&trace, 'o');
    }
    KT_EXPECT_STREQ(trace.Steps, "ia");
}

static LONG SehDecide(SEH_TRACE *Trace, char Step, LONG Verdict)
{
    SehStep(Trace, Step);
    return Verdict;
}

static DECLSPEC_NOINLINE void SehDeclineInCallee(SEH_TRACE *Trace)
{
    __try {
        __try {
            SehRaise(3);
        } __finally {
            SehStep(Trace, AbnormalTermination() ? 'F' : 'x');
        }
    } __except (SehDecide(Trace, 'd', EXCEPTION_CONTINUE_SEARCH)) {
        SehStep(Trace, 'x');
    }
}

KTEST(ke_seh, search_goes_on_to_outer_function)
{
    SEH_TRACE trace = { 0 };
    __try {
        SehDeclineInCallee(&trace);
        SehStep(&trace, 'x');
    } __except (SehDecide(&trace, 'a', EXCEPTION_EXECUTE_HANDLER)) {
        SehStep(&trace, 'h');
    }
    KT_EXPECT_STREQ(trace.Steps, "daFh");
}

KTEST(ke_seh, finally_runs_on_normal_exit)
{
    SEH_TRACE trace = { 0 };
    __try {
        SehStep(&trace, 'b');
    } __finally {
        SehStep(&trace, AbnormalTermination() ? 'x' : 'f');
    }
    KT_EXPECT_STREQ(trace.Steps, "bf");
}

KTEST(ke_seh, leave_is_a_normal_exit)
{
    SEH_TRACE trace = { 0 };
    __try {
        SehStep(&trace, 'b');
        if (trace.Count == 1) {
            __leave;
        }
        SehStep(&trace, 'x');
    } __finally {
        SehStep(&trace, AbnormalTermination() ? 'x' : 'f');
    }
    KT_EXPECT_STREQ(trace.Steps, "bf");
}

KTEST(ke_seh, finally_inside_the_accepting_function)
{
    SEH_TRACE trace = { 0 };
    __try {
        __try {
            __try {
                SehRaise(4);
            } __finally {
                SehStep(&trace, '1');
            }
        } __finally {
            SehStep(&trace, '2');
        }
    } __except (SehDecide(&trace, 'a', EXCEPTION_EXECUTE_HANDLER)) {
        SehStep(&trace, 'h');
    }
    KT_EXPECT_STREQ(trace.Steps, "a12h");
}

/* A __finally around the accepting __try belongs to a scope that the unwind does not leave. */
KTEST(ke_seh, finally_around_the_handler_runs_once)
{
    SEH_TRACE trace = { 0 };
    __try {
        __try {
            SehRaise(5);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            SehStep(&trace, 'h');
        }
    } __finally {
        SehStep(&trace, AbnormalTermination() ? 'x' : 'f');
    }
    KT_EXPECT_STREQ(trace.Steps, "hf");
}

static LONG SehRaiseInFilter(SEH_TRACE *Trace)
{
    SehStep(Trace, 'f');
    SehRaise(7);
    return EXCEPTION_EXECUTE_HANDLER;
}

static DECLSPEC_NOINLINE void SehFaultyFilter(SEH_TRACE *Trace, ULONG *FilterCalls)
{
    __try {
        SehRaise(6);
    } __except ((*FilterCalls)++ == 0 ? SehRaiseInFilter(Trace) : EXCEPTION_CONTINUE_SEARCH) {
        SehStep(Trace, 'x');
    }
}

KTEST(ke_seh, exception_in_filter_starts_a_search_of_its_own)
{
    SEH_TRACE trace = { 0 };
    ULONG     filterCalls = 0;
    NTSTATUS  code = STATUS_SUCCESS;
    __try {
        SehFaultyFilter(&trace, &filterCalls);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        code = (NTSTATUS)GetExceptionCode();
        SehStep(&trace, 'h');
    }
    KT_EXPECT_STATUS(code, SEH_STATUS(7));
    KT_EXPECT_EQ(filterCalls, 2); /* for the first exception, and for the one that it raised */
    KT_EXPECT_STREQ(trace.Steps, "fh");
}

/* A leaf function with no unwind data: returns what RCX points to. */
ULONG SehLeafRead(const ULONG *Address);
__asm__(".text\n\t"
        ".globl SehLeafRead\n"
        "SehLeafRead:\n\t"
        "movl (%rcx), %eax\n\t"
        "ret\n");

static LONG SehRepairPointer(EXCEPTION_POINTERS *Pointers, const ULONG *Valid)
{
    if (Pointers->ContextRecord->Rcx == 0) {
        Pointers->ContextRecord->Rcx = (ULONG_PTR)Valid;
        return EXCEPTION_CONTINUE_EXECUTION;
    }
    return EXCEPTION_EXECUTE_HANDLER;
}

KTEST(ke_seh, filter_repairs_a_fault_and_continues)
{
    ULONG valid = 0x600D;
    ULONG value = 0;
    __try {
        value = SehLeafRead(NULL);
    } __except (SehRepairPointer(GetExceptionInformation(), &valid)) {
        value = 0xBAD;
    }
    KT_EXPECT_EQ(value, 0x600D);
}

static DECLSPEC_NOINLINE ULONG SehRaiseContinuable(void)
{
    EXCEPTION_RECORD record = { .ExceptionCode = SEH_STATUS(8) };
    RtlRaiseException(&record);
    return 0x600D;
}

KTEST(ke_seh, continued_raise_returns_to_its_caller)
{
    ULONG value = 0;
    __try {
        value = SehRaiseContinuable();
    } __except (EXCEPTION_CONTINUE_EXECUTION) {
        value = 0xBAD;
    }
    KT_EXPECT_EQ(value, 0x600D);
}

static LONG SehContinueUnlessRefused(NTSTATUS Code)
{
    return Code == STATUS_NONCONTINUABLE_EXCEPTION ? EXCEPTION_EXECUTE_HANDLER : EXCEPTION_CONTINUE_EXECUTION;
}

KTEST(ke_seh, noncontinuable_exception_is_not_continued)
{
    NTSTATUS code = STATUS_SUCCESS;
    __try {
        SehRaise(9);
    } __except (SehContinueUnlessRefused((NTSTATUS)GetExceptionCode())) {
        code = (NTSTATUS)GetExceptionCode();
    }
    KT_EXPECT_STATUS(code, STATUS_NONCONTINUABLE_EXCEPTION);
}

KTEST(ke_seh, raise_inside_handler_goes_outward)
{
    NTSTATUS code = STATUS_SUCCESS;
    __try {
        __try {
            SehRaise(10);
        } __except (EXCEPTION_EXECUTE_HANDLER) {
            SehRaise(11);
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        code = (NTSTATUS)GetExceptionCode();
    }
    KT_EXPECT_STATUS(code, SEH_STATUS(11));
}

static DECLSPEC_NOINLINE void SehRaiseInFinally(SEH_TRACE *Trace)
{
    __try {
        __try {
            SehRaise(12);
        } __finally {
            SehStep(Trace, '1');
            SehRaise(13);
        }
    } __finally {
        SehStep(Trace, '2');
    }
}

KTEST(ke_seh, collided_unwind_replaces_the_exception)
{
    SEH_TRACE trace = { 0 };
    NTSTATUS  code = STATUS_SUCCESS;
    __try {
        __try {
            SehRaiseInFinally(&trace);
        } __finally {
            SehStep(&trace, '3');
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        code = (NTSTATUS)GetExceptionCode();
    }
    KT_EXPECT_STATUS(code, SEH_STATUS(13));
    KT_EXPECT_STREQ(trace.Steps, "123");
}

/* The second exception is caught between the interrupted unwind's frame and its target. */
KTEST(ke_seh, collided_unwind_ends_short_of_the_first_target)
{
    SEH_TRACE trace = { 0 };
    __try {
        __try {
            SehRaiseInFinally(&trace);
        } __except ((NTSTATUS)GetExceptionCode() == SEH_STATUS(13) ? EXCEPTION_EXECUTE_HANDLER
                                                                   : EXCEPTION_CONTINUE_SEARCH) {
            SehStep(&trace, 'i');
        }
        SehStep(&trace, 'a');
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        SehStep(&trace, 'o');
    }
    KT_EXPECT_STREQ(trace.Steps, "12ia");
}

static DECLSPEC_NOINLINE void SehRecurse(ULONG Depth, volatile ULONG *FinallyCount)
{
    __try {
        if (Depth == 0) {
            SehRead(NULL);
        } else {
            SehRecurse(Depth - 1, FinallyCount);
        }
    } __finally {
        (*FinallyCount)++;
    }
}

KTEST(ke_seh, deep_recursion_unwinds_every_frame)
{
    volatile ULONG finallyCount = 0;
    __try {
        SehRecurse(39, &finallyCount);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        KT_EXPECT_STATUS((NTSTATUS)GetExceptionCode(), STATUS_ACCESS_VIOLATION);
    }
    KT_EXPECT_EQ(finallyCount, 40);
}

/*
 * SehSpoilAndRaise saves all nonvolatile registers, spoils them and raises. SehCheckNonvolatile fills them with a
 * pattern, calls Routine and returns a mask of those that have lost it: bits 0 to 7 RBX, RBP, RSI, RDI, R12 to R15,
 * bits 8 to 17 XMM6 to XMM15.
 */
void  SehSpoilAndRaise(void);
ULONG SehCheckNonvolatile(void (*Routine)(void));
__asm__(".text\n"
        ".macro SEH_SAVE_ALL name\n\t"
        ".globl \\name\n"
        "\\name:\n\t"
        ".seh_proc \\name\n\t"
        ".irp reg, rbx, rbp, rsi, rdi, r12, r13, r14, r15\n\t"
        "pushq %\\reg\n\t"
        ".seh_pushreg \\reg\n\t"
        ".endr\n\t"
        "subq $0xC8, %rsp\n\t"
        ".seh_stackalloc 0xC8\n\t"
        ".irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
        "movaps %xmm\\n, (\\n - 6) * 16 + 0x20(%rsp)\n\t"
        ".seh_savexmm xmm\\n, (\\n - 6) * 16 + 0x20\n\t"
        ".endr\n\t"
        ".seh_endprologue\n"
        ".endm\n"
        "SEH_SAVE_ALL SehSpoilAndRaise\n\t"
        ".irp reg, rbx, rbp, rsi, rdi, r12, r13, r14, r15\n\t"
        "movq $-1, %\\reg\n\t"
        ".endr\n\t"
        ".irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
        "pcmpeqd %xmm\\n, %xmm\\n\n\t"
        ".endr\n\t"
        "movl $0xE000000E, %ecx\n\t"
        "call ExRaiseStatus\n\t"
        "int3\n\t"
        ".seh_endproc\n"
        "SEH_SAVE_ALL SehCheckNonvolatile\n\t"
        "movq %rcx, %rax\n\t"
        ".irp reg, rbx, rbp, rsi, rdi, r12, r13, r14, r15\n\t"
        "leaq SehCheckNonvolatile(%rip), %\\reg\n\t"
        ".endr\n\t"
        ".irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
        "movq %rbx, %xmm\\n\n\t"
        "punpcklqdq %xmm\\n, %xmm\\n\n\t"
        ".endr\n\t"
        "callq *%rax\n\t"
        "xorl %eax, %eax\n\t"
        "leaq SehCheckNonvolatile(%rip), %rcx\n\t"
        "movq %rcx, %xmm0\n\t"
        "punpcklqdq %xmm0, %xmm0\n\t"
        ".set bit, 1\n\t"
        ".irp reg, rbx, rbp, rsi, rdi, r12, r13, r14, r15\n\t"
        "leal bit(%rax), %edx\n\t"
        "cmpq %rcx, %\\reg\n\t"
        "cmovnel %edx, %eax\n\t"
        ".set bit, bit * 2\n\t"
        ".endr\n\t"
        ".irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
        "leal bit(%rax), %r8d\n\t"
        "pcmpeqb %xmm0, %xmm\\n\n\t"
        "pmovmskb %xmm\\n, %edx\n\t"
        "cmpl $0xFFFF, %edx\n\t"
        "cmovnel %r8d, %eax\n\t"
        ".set bit, bit * 2\n\t"
        ".endr\n\t"
        ".irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n\t"
        "movaps (\\n - 6) * 16 + 0x20(%rsp), %xmm\\n\n\t"
        ".endr\n\t"
        "addq $0xC8, %rsp\n\t"
        ".irp reg, r15, r14, r13, r12, rdi, rsi, rbp, rbx\n\t"
        "popq %\\reg\n\t"
        ".endr\n\t"
        "ret\n\t"
        ".seh_endproc\n");

static void SehCatchSpoiler(void)
{
    __try {
        SehSpoilAndRaise();
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return;
    }
}

KTEST(ke_seh, unwind_restores_nonvolatile_registers)
{
    KT_EXPECT_EQ(SehCheckNonvolatile(SehCatchSpoiler), 0);
}

static void SehCatchFault(void)
{
    __try {
        SehRead(NULL);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return;
    }
}

KTEST(ke_seh, fault_keeps_nonvolatile_registers)
{
    KT_EXPECT_EQ(SehCheckNonvolatile(SehCatchFault), 0);
}

static void SehContinueFault(void)
{
    ULONG valid = 1;
    __try {
        SehLeafRead(NULL);
    } __except (SehRepairPointer(GetExceptionInformation(), &valid)) {
        SehStep(&(SEH_TRACE){ 0 }, 'x');
    }
}

KTEST(ke_seh, continued_fault_keeps_nonvolatile_registers)
{
    KT_EXPECT_EQ(SehCheckNonvolatile(SehContinueFault), 0);
}

KTEST(ke_seh, interrupts_stay_enabled_after_a_fault)
{
    SehCatchFault();
    KT_EXPECT_TRUE((__readeflags() & X86_EFLAGS_IF) != 0);
    SehContinueFault();
    KT_EXPECT_TRUE((__readeflags() & X86_EFLAGS_IF) != 0);
}

KTEST(ke_seh, irql_is_kept)
{
    KIRQL oldIrql;
    KeRaiseIrql(APC_LEVEL, &oldIrql);
    SehCatchFault();
    KT_EXPECT_EQ(KeGetCurrentIrql(), APC_LEVEL);
    KeLowerIrql(oldIrql);
}
