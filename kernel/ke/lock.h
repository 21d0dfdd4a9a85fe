/*
 * The kernel's own spin lock: a driver's 8-byte KSPIN_LOCK with a rank and an owner around it.
 *
 * Whoever waits spins at DISPATCH_LEVEL with interrupts on, so that shootdowns are served; nobody spins with interrupts
 * off on a lock that a shootdown initiator may hold. A spin of more than ten seconds says where every CPU is.
 */
#pragma once

#include "kernel/ddk.h"
#include "kernel/ke/lockrank.h"

typedef struct __attribute__((capability("mutex"))) _KI_LOCK {
    KSPIN_LOCK Lock;
    LOCK_RANK  Rank;
    ULONG      Owner; /* processor number + 1 while held */
} KI_LOCK;

#define KI_LOCK_INIT(RankOf) \
    {                        \
        .Rank = (RankOf)     \
    }

/* Raise to DISPATCH_LEVEL and acquire; the previous IRQL comes back. */
KIRQL KiAcquireLock(KI_LOCK *Lock) __attribute__((acquire_capability(*Lock)));
void  KiReleaseLock(KI_LOCK *Lock, KIRQL OldIrql) __attribute__((release_capability(*Lock)));

/* The same for a caller that is at DISPATCH_LEVEL or above: CR8 is left alone (writing it is dear). */
void KiAcquireLockAtDpcLevel(KI_LOCK *Lock) __attribute__((acquire_capability(*Lock)));
void KiReleaseLockFromDpcLevel(KI_LOCK *Lock) __attribute__((release_capability(*Lock)));

#define IRQL_MAX(Level) NT_ASSERT(KeGetCurrentIrql() <= (Level))
