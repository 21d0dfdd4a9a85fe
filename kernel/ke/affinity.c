/*
 * Where the calling thread may run. The user affinity is every processor; a system affinity stands in its place until
 * it is reverted.
 *
 * => IRQL <= APC_LEVEL: on return the thread runs where it may. At DISPATCH_LEVEL it moves when the IRQL is lowered.
 */
#include "kernel/ke/schedule.h"

/*
 * Make Affinity, or the user affinity when it is 0, the calling thread's; the system affinity before, or 0, comes
 * back.
 */
static KAFFINITY KiChangeAffinity(KAFFINITY Affinity)
{
    KTHREAD  *thread = KeGetCurrentThread();
    KIRQL     oldIrql = KiLockDispatcher();
    KAFFINITY before = thread->SystemAffinityActive ? thread->Affinity : 0;
    thread->SystemAffinityActive = Affinity != 0;
    KiSetAffinityThread(thread, Affinity != 0 ? Affinity : thread->UserAffinity);
    KiExitDispatcher(oldIrql);
    return before;
}

/* An affinity without an active processor in it changes nothing. */
KAFFINITY NTAPI KeSetSystemAffinityThreadEx(KAFFINITY Affinity)
{
    KAFFINITY usable = Affinity & (KAFFINITY)KiActiveProcessors;
    return usable != 0 ? KiChangeAffinity(usable) : 0;
}

VOID NTAPI KeRevertToUserAffinityThreadEx(KAFFINITY Affinity)
{
    (void)KiChangeAffinity(Affinity & (KAFFINITY)KiActiveProcessors);
}

VOID NTAPI KeSetSystemAffinityThread(KAFFINITY Affinity)
{
    (void)KeSetSystemAffinityThreadEx(Affinity);
}

VOID NTAPI KeRevertToUserAffinityThread(VOID)
{
    KeRevertToUserAffinityThreadEx(0);
}

/* One group, 0: another's affinity changes nothing. */
VOID NTAPI KeSetSystemGroupAffinityThread(PGROUP_AFFINITY Affinity, PGROUP_AFFINITY PreviousAffinity)
{
    KAFFINITY before = KeSetSystemAffinityThreadEx(Affinity->Group == 0 ? Affinity->Mask : 0);
    if (PreviousAffinity != NULL) {
        *PreviousAffinity = (GROUP_AFFINITY){ .Mask = before };
    }
}

VOID NTAPI KeRevertToUserGroupAffinityThread(PGROUP_AFFINITY PreviousAffinity)
{
    KeRevertToUserAffinityThreadEx(PreviousAffinity->Mask);
}
