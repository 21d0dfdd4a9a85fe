/*
 * Mutants and mutexes: what waits and ending threads need to know of them.
 *
 * SignalState is 1 while free, 0 when owned once, and one less for each further time that the owner took it.
 */
#pragma once

#include "kernel/ke/schedule.h"

static inline bool KiIsMutantOwner(const KMUTANT *Mutant, const KTHREAD *Thread)
{
    return Mutant->OwnerThread == Thread;
}

/* Can Thread, the owner, not take it once more? */
static inline bool KiIsMutantExhausted(const KMUTANT *Mutant, const KTHREAD *Thread)
{
    return KiIsMutantOwner(Mutant, Thread) && Mutant->Header.SignalState == (LONG)MINLONG;
}

/*
 * Thread takes Mutant, which is free or its own: 0, or STATUS_ABANDONED when the last owner ended without releasing
 * it.
 */
NTSTATUS KiTakeMutant(KMUTANT *Mutant, KTHREAD *Thread) KI_DISPATCHER_LOCKED;

/* Abandon what Thread, which ends, owns. A mutex of the kernel's among it is bug check 0x4000008A. */
VOID KiAbandonMutants(KTHREAD *Thread) KI_DISPATCHER_LOCKED;
