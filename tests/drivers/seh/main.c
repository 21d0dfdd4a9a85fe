/*
 * A driver that lives on structured exception handling, built against the driver kit alone: what it raises, catches and
 * unwinds goes through the kernel's dispatcher and this image's own unwind data. DriverEntry runs the checks and fails
 * with STATUS_UNSUCCESSFUL when one does not hold.
 *
 * __try covers calls only with this compiler, so everything that raises is in a function of its own.
 */
#include <ntifs.h>

#define SEH_STATUS ((NTSTATUS)0xE00D0001)

DRIVER_INITIALIZE    DriverEntry;
static DRIVER_UNLOAD SehUnload;

static DECLSPEC_NOINLINE ULONG SehRead(const volatile ULONG *Address)
{
    return *Address;
}

static DECLSPEC_NOINLINE VOID SehRaise(NTSTATUS Status)
{
    ExRaiseStatus(Status);
}

static BOOLEAN SehCatchesFault(VOID)
{
    NTSTATUS code = STATUS_SUCCESS;
    __try {
        SehRead((const volatile ULONG *)8);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        code = (NTSTATUS)GetExceptionCode();
    }
    return code == STATUS_ACCESS_VIOLATION;
}

/* What METHOD_NEITHER drivers do: a bad user buffer must come back as a status. */
static BOOLEAN SehCatchesBadProbe(VOID)
{
    NTSTATUS code = STATUS_SUCCESS;
    __try {
        ProbeForRead((PVOID)(ULONG_PTR)0xFFFFF80000000000ull, 4, 1);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        code = (NTSTATUS)GetExceptionCode();
    }
    return code == STATUS_ACCESS_VIOLATION;
}

static LONG SehKeepPointers(EXCEPTION_POINTERS *Pointers, EXCEPTION_RECORD *Record, ULONG64 *Rip)
{
    *Record = *Pointers->ExceptionRecord;
    *Rip = Pointers->ContextRecord->Rip;
    return EXCEPTION_EXECUTE_HANDLER;
}

static BOOLEAN SehDescribesTheException(VOID)
{
    EXCEPTION_RECORD record = { 0 };
    ULONG64          rip = 0;
    __try {
        SehRead((const volatile ULONG *)8);
    } __except (SehKeepPointers(GetExceptionInformation(), &record, &rip)) {
        return record.ExceptionCode == STATUS_ACCESS_VIOLATION && record.NumberParameters == 2 &&
               record.ExceptionInformation[0] == 0 && record.ExceptionInformation[1] == 8 &&
               (ULONG_PTR)record.ExceptionAddress == rip && rip - (ULONG_PTR)SehRead < 32;
    }
    return FALSE;
}

static DECLSPEC_NOINLINE VOID SehRaiseThroughFinally(ULONG *Order)
{
    __try {
        SehRaise(SEH_STATUS);
    } __finally {
        *Order = *Order * 10 + (AbnormalTermination() ? 1 : 9);
    }
}

static BOOLEAN SehRunsFinallyBeforeHandler(VOID)
{
    ULONG order = 0;
    __try {
        SehRaiseThroughFinally(&order);
    } __except ((NTSTATUS)GetExceptionCode() == SEH_STATUS ? EXCEPTION_EXECUTE_HANDLER : EXCEPTION_CONTINUE_SEARCH) {
        order = order * 10 + 2;
    }
    return order == 12;
}

static DECLSPEC_NOINLINE VOID SehRaiseInFinally(ULONG *Order)
{
    __try {
        SehRaiseThroughFinally(Order);
    } __finally {
        *Order = *Order * 10 + 3;
        SehRaise(STATUS_DEVICE_NOT_READY);
    }
}

static BOOLEAN SehSurvivesCollidedUnwind(VOID)
{
    ULONG    order = 0;
    NTSTATUS code = STATUS_SUCCESS;
    __try {
        SehRaiseInFinally(&order);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        code = (NTSTATUS)GetExceptionCode();
    }
    return order == 13 && code == STATUS_DEVICE_NOT_READY;
}

/* Doubles that live in XMM6 and up over the call must survive the unwind. */
static DECLSPEC_NOINLINE double SehSpoilVectors(double Value)
{
    double product = Value * 3.0 + 1.0;
    double sum = Value + 5.0;
    SehRaise(SEH_STATUS);
    return product * sum;
}

static BOOLEAN SehKeepsVectors(volatile double *Seed)
{
    double first = *Seed + 1.0;
    double second = *Seed * 2.0;
    double third = *Seed - 3.0;
    __try {
        SehSpoilVectors(first);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return first == *Seed + 1.0 && second == *Seed * 2.0 && third == *Seed - 3.0;
    }
    return FALSE;
}

static BOOLEAN SehKeepsVectorsOfSeven(VOID)
{
    volatile double seed = 7.0;
    return SehKeepsVectors(&seed);
}

/* The return address in this image is found and lies in it. */
static DECLSPEC_NOINLINE BOOLEAN SehCapturesItsOwnStack(VOID)
{
    PVOID  frames[4];
    ULONG  hash;
    USHORT count = RtlCaptureStackBackTrace(0, 4, frames, &hash);
    return count == 4 && (ULONG_PTR)frames[0] - (ULONG_PTR)SehCapturesItsOwnStack < 128;
}

static const struct {
    const char *Name;
    BOOLEAN (*Check)(VOID);
} SehChecks[] = {
    { "a fault is caught", SehCatchesFault },
    { "a bad probe is caught", SehCatchesBadProbe },
    { "the exception is described", SehDescribesTheException },
    { "__finally runs before the handler", SehRunsFinallyBeforeHandler },
    { "a collided unwind is survived", SehSurvivesCollidedUnwind },
    { "vector registers are kept", SehKeepsVectorsOfSeven },
    { "the stack is captured", SehCapturesItsOwnStack },
};

static VOID SehUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    NTSTATUS status = STATUS_SUCCESS;
    DriverObject->DriverUnload = SehUnload;
    for (ULONG index = 0; index < RTL_NUMBER_OF(SehChecks); index++) {
        BOOLEAN holds = SehChecks[index].Check();
        DbgPrint("seh: %s: %s\n", SehChecks[index].Name, holds ? "yes" : "NO");
        status = holds ? status : STATUS_UNSUCCESSFUL;
    }
    return status;
}
