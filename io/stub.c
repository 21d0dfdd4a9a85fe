/*
 * The end of a call to a name without a body; stub.h states the contract.
 */
#include "io/stub.h"

#include "kernel/rtl/symbols.h"

DECLSPEC_NORETURN void LdrpStopAtStub(const char *Name, const void *Caller)
{
    char symbol[RTLP_SYMBOL_BYTES];
    RtlpFormatAddress(Caller, symbol, sizeof(symbol));
    DbgPrint("%s calls %s, which this kernel knows by name and does not carry out\n", symbol, Name);
    KeBugCheckEx(KMODE_EXCEPTION_NOT_HANDLED, (ULONG_PTR)STATUS_NOT_IMPLEMENTED, (ULONG_PTR)Caller, (ULONG_PTR)Name, 0);
}
