/*
 * A breakpoint that no debugger takes is an exception, STATUS_BREAKPOINT, which ends in a bug check where nothing
 * handles it: an assertion that fails stops the run and names the driver.
 */
#include "kernel/rtl/assert.h"

VOID NTAPI KiExportDbgBreakPoint(VOID)
{
    __debugbreak();
}

VOID NTAPI DbgBreakPointWithStatus(ULONG Status)
{
    UNREFERENCED_PARAMETER(Status);
    __debugbreak();
}

VOID NTAPI RtlAssert(PVOID FailedAssertion, PVOID FileName, ULONG LineNumber, PSTR Message)
{
    DbgPrint("Assertion failed: %s%s%s (%s, line %lu)\n", Message != NULL ? Message : "", Message != NULL ? ": " : "",
             (const char *)FailedAssertion, (const char *)FileName, LineNumber);
    __debugbreak();
}
