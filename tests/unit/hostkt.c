/*
 * The test runner of host builds: the KTESTs that are linked in, run one after another, under sanitizers. Prints the
 * failures, then one line a test; the exit status is 1 when one failed.
 */
#include <stdio.h>
#include <stdlib.h>

static void HostPrintLine(const char *Line)
{
    puts(Line);
}

static void *HostAllocate(size_t Bytes)
{
    return malloc(Bytes);
}

static void HostFree(void *Block)
{
    free(Block);
}

#include "kernel/ddk.h"
#include "kernel/ke/dbgprint.h"
#include "tests/lib/ktest.h"

#define LINE_BYTES 512u

extern const KT_TEST __start_ktests[];
extern const KT_TEST __stop_ktests[];

void KiPrintLine(const char *Line)
{
    HostPrintLine(Line);
}

void KiPrintFormat(const char *Format, ...)
{
    char    line[LINE_BYTES];
    va_list arguments;

    va_start(arguments, Format);
    RtlpVFormat(line, sizeof(line), RtlpUtf8, Format, arguments);
    va_end(arguments);
    HostPrintLine(line);
}

PVOID ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    UNREFERENCED_PARAMETER(PoolType);
    UNREFERENCED_PARAMETER(Tag);
    return HostAllocate(NumberOfBytes);
}

VOID ExFreePoolWithTag(PVOID P, ULONG Tag)
{
    UNREFERENCED_PARAMETER(Tag);
    HostFree(P);
}

int main(void)
{
    int failed = 0;

    for (const KT_TEST *test = __start_ktests; test < __stop_ktests; test++) {
        KtState = (KT_STATE){ .SkipReason = NULL };
        test->Routine();
        failed |= KtState.FailureCount != 0;
        KiPrintFormat("%s %s.%s", KtState.FailureCount == 0 ? "ok" : "not ok", test->Suite, test->Name);
    }
    return failed;
}
