/*
 * Problem: the log is read by machines, line by line, while every CPU writes to it at any IRQL. So a line leaves in one
 * piece, and a diagnostic line begins with "# ".
 *
 * Representation: DbgPrint formats one call into a buffer on the stack (512 bytes, as documented: longer text is cut)
 * and appends it to the pending line of its CPU. Each newline ends a line, which goes out with its prefix. Text without
 * a newline stays pending until the next print on that CPU ends it, until it fills the buffer, or until KiFlushOutput.
 * A thread that prints a line in pieces and moves to another CPU between them gets two lines.
 *
 * Locking and IRQL: any IRQL, HIGH_LEVEL and NMI included. A pending line belongs to its CPU with interrupts off. The
 * port has one raw lock, taken with interrupts off, which ranks below everything: its holder takes no lock, sends no
 * IPI and waits for nobody, so that spinning on it with interrupts off cannot stop a shootdown. A waiter that spins
 * for seconds goes ahead without it: a torn line says more than a hang.
 *
 * Left out: component filters. DbgPrintEx prints whatever its component and level are.
 */
#include "kernel/ke/dbgprint.h"

#include "kernel/amd64/intrin.h"
#include "kernel/hal/serial.h"
#include "kernel/ke/irql.h"
#include "kernel/ke/pcr.h"

#define CALL_BYTES      512u /* nf-wdm-dbgprint.md: what one call transmits at most */
#define PENDING_BYTES   512u
#define SPINS_MAX       (1u << 26) /* `pause` takes 40 to 140 cycles: 1 to 4 s on hardware, more when emulated */
#define PANIC_SPINS_MAX (1u << 20) /* a line takes less, where its writer still runs */
#define LINE_PREFIX     "# "

typedef struct _KI_PENDING_LINE {
    ULONG Bytes;
    char  Text[PENDING_BYTES];
} KI_PENDING_LINE;

static KI_PENDING_LINE KiPendingLines[KI_MAX_PROCESSORS]; /* each its CPU's, with interrupts off */
static volatile LONG   KiOutputLock;                      /* 1 while held */
static volatile bool   KiPanicOutput;                     /* set once: KiOutputLock means nothing any more */

/* Whether the lock was taken within MaximumSpins looks at it. */
static bool KiTryAcquireOutput(ULONG MaximumSpins)
{
    for (ULONG spins = 0; spins < MaximumSpins; spins++) {
        if (KiOutputLock == 0 && _InterlockedExchange(&KiOutputLock, 1) == 0) {
            return true;
        }
        KiPause();
    }
    return false;
}

static void KiReleaseOutput(void)
{
    _InterlockedExchange(&KiOutputLock, 0);
}

/* Send one line in one piece. Interrupts are off. */
static void KiWriteLine(const char *Prefix, const char *Text, SIZE_T Bytes)
{
    bool locked = !KiPanicOutput && KiTryAcquireOutput(SPINS_MAX);

    HalpSerialWrite(Prefix, strlen(Prefix));
    HalpSerialWrite(Text, Bytes);
    HalpSerialWrite("\n", 1);
    if (locked) {
        KiReleaseOutput();
    }
}

static void KiFlushPending(KI_PENDING_LINE *Pending)
{
    ULONG bytes = min(Pending->Bytes, PENDING_BYTES);

    Pending->Bytes = 0;
    if (bytes != 0) {
        KiWriteLine(LINE_PREFIX, Pending->Text, bytes);
    }
}

/* Control characters would break the line or the terminal: tabs stay, carriage returns go, others show as a dot. */
static void KiAppendPending(KI_PENDING_LINE *Pending, const char *Text)
{
    for (; *Text != 0; Text++) {
        char character = *Text;
        if (character == '\n') {
            KiWriteLine(LINE_PREFIX, Pending->Text, Pending->Bytes);
            Pending->Bytes = 0;
            continue;
        }
        if (character == '\r') {
            continue;
        }
        if (Pending->Bytes == PENDING_BYTES) {
            KiFlushPending(Pending);
        }
        bool control = ((UCHAR)character < ' ' && character != '\t') || character == 0x7F;
        Pending->Text[Pending->Bytes++] = control ? '.' : character;
    }
}

static void KiPrintDiagnostic(const char *Text)
{
    bool enabled = KiDisableInterrupts();

    KiAppendPending(&KiPendingLines[KeGetCurrentProcessorNumber()], Text);
    KiRestoreInterrupts(enabled);
}

void KiPrintLine(const char *Line)
{
    bool enabled = KiDisableInterrupts();

    KiFlushPending(&KiPendingLines[KeGetCurrentProcessorNumber()]); /* what was printed first comes first */
    KiWriteLine("", Line, strlen(Line));
    KiRestoreInterrupts(enabled);
}

void KiPrintFormat(const char *Format, ...)
{
    char    line[KI_PRINT_BYTES];
    va_list arguments;

    va_start(arguments, Format);
    RtlpVFormat(line, sizeof(line), RtlpUtf8, Format, arguments);
    va_end(arguments);
    KiPrintLine(line);
}

/* Another CPU may be filling its line meanwhile: that line may then come out in two, or lose its end, never grow. */
void KiFlushOutput(void)
{
    bool enabled = KiDisableInterrupts();

    for (ULONG number = 0; number < KI_MAX_PROCESSORS; number++) {
        KiFlushPending(&KiPendingLines[number]);
    }
    KiRestoreInterrupts(enabled);
}

void KiEnterPanicOutput(void)
{
    if (!KiPanicOutput && !KiTryAcquireOutput(PANIC_SPINS_MAX)) {
        HalpSerialWrite("\n", 1); /* its holder stopped in the middle of a line */
    }
    KiPanicOutput = true;
    KiFlushOutput();
}

ULONG NTAPI vDbgPrintExWithPrefix(PCCH Prefix, ULONG ComponentId, ULONG Level, PCCH Format, va_list ap)
{
    char   text[CALL_BYTES];
    SIZE_T prefixBytes = min(strlen(Prefix), sizeof(text) - 1);

    UNREFERENCED_PARAMETER(ComponentId);
    UNREFERENCED_PARAMETER(Level);
    memcpy(text, Prefix, prefixBytes);
    RtlpVFormat(text + prefixBytes, sizeof(text) - prefixBytes, RtlpUtf8, Format, ap);
    KiPrintDiagnostic(text);
    return (ULONG)STATUS_SUCCESS;
}

ULONG NTAPI vDbgPrintEx(ULONG ComponentId, ULONG Level, PCCH Format, va_list ap)
{
    return vDbgPrintExWithPrefix("", ComponentId, Level, Format, ap);
}

ULONG __cdecl DbgPrintEx(ULONG ComponentId, ULONG Level, PCSTR Format, ...)
{
    va_list arguments;

    va_start(arguments, Format);
    ULONG status = vDbgPrintEx(ComponentId, Level, Format, arguments);
    va_end(arguments);
    return status;
}

ULONG __cdecl DbgPrint(PCSTR Format, ...)
{
    va_list arguments;

    va_start(arguments, Format);
    ULONG status = vDbgPrintEx(DPFLTR_DEFAULT_ID, DPFLTR_INFO_LEVEL, Format, arguments);
    va_end(arguments);
    return status;
}

/* A debugger's Ctrl-C would be the result; there is none to press it. */
ULONG __cdecl DbgPrintReturnControlC(PCCH Format, ...)
{
    va_list arguments;

    va_start(arguments, Format);
    ULONG status = vDbgPrintEx(DPFLTR_DEFAULT_ID, DPFLTR_INFO_LEVEL, Format, arguments);
    va_end(arguments);
    return status;
}
