/*
 * misuse: finds the row that its name says and does it. A row that the kernel lets pass ends in a failed DriverEntry.
 */
#include "misuse.h"

DRIVER_INITIALIZE DriverEntry;

void MisuseRequire(BOOLEAN Condition)
{
    if (!Condition) {
        DbgBreakPoint();
    }
}

UCHAR *MisuseAllocate(POOL_TYPE Type, SIZE_T Bytes)
{
    UCHAR *block = ExAllocatePoolWithTag(Type, Bytes, MISUSE_TAG);
    MisuseRequire(block != NULL);
    return block;
}

/* Does Path end in a component that is Row? */
static BOOLEAN IsNamed(const UNICODE_STRING *Path, const char *Row)
{
    ULONG rowChars = 0;
    ULONG pathChars = Path->Length / sizeof(WCHAR);
    while (Row[rowChars] != 0) {
        rowChars++;
    }
    if (pathChars <= rowChars || Path->Buffer[pathChars - rowChars - 1] != L'\\') {
        return FALSE;
    }
    for (ULONG i = 0; i < rowChars; i++) {
        if (Path->Buffer[pathChars - rowChars + i] != (WCHAR)Row[i]) {
            return FALSE;
        }
    }
    return TRUE;
}

static BOOLEAN RunRow(const MISUSE *Misuses, const UNICODE_STRING *Path)
{
    for (; Misuses->Row != NULL; Misuses++) {
        if (IsNamed(Path, Misuses->Row)) {
            Misuses->Run();
            DbgPrint("misuse: %s went unnoticed\n", Misuses->Row);
            return TRUE;
        }
    }
    return FALSE;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    if (!RunRow(PoolMisuses, RegistryPath) && !RunRow(MdlMisuses, RegistryPath) && !RunRow(IrpMisuses, RegistryPath)) {
        DbgPrint("misuse: %wZ names no row\n", RegistryPath);
    }
    return STATUS_UNSUCCESSFUL;
}
