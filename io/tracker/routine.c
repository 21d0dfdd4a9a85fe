/*
 * MmGetSystemRoutineAddress for drivers under test: what it finds is bound as an import would be.
 */
#include "io/ldr/import.h"

#include "io/tracker/entries.h"

PVOID NTAPI VfTrackMmGetSystemRoutineAddress(PUNICODE_STRING SystemRoutineName)
{
    const LDRP_EXPORT *row = LdrpFindRoutine(SystemRoutineName);
    return row == NULL ? NULL : row->Entry[LdrpBindTracked];
}
