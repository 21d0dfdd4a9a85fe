/*
 * The scheduler: which thread runs on which CPU. The essay is in schedule.c.
 */
#pragma once

#include "kernel/ke/apc.h"
#include "kernel/ke/dpc.h"
#include "kernel/ke/lockcore.h"
#include "kernel/ke/thread.h"

/* LOCK_DISPATCHER: the state of every thread, wait and timer. */
extern KI_LOCK KiDispatcherLock;

#define KI_DISPATCHER_LOCKED   __attribute__((requires_capability(KiDispatcherLock)))
#define KI_DISPATCHER_ACQUIRES __attribute__((acquire_capability(KiDispatcherLock)))
#define KI_DISPATCHER_RELEASES __attribute__((release_capability(KiDispatcherLock)))

/* KiAcquireLock and KiReleaseLock of the dispatcher lock. For a release after which no other thread can be due. */
static inline KIRQL KiLockDispatcher(void) KI_DISPATCHER_ACQUIRES __attribute__((no_thread_safety_analysis))
{
    KIRQL oldIrql = KiRaiseToDispatch();
    KiAcquireCore(&KiDispatcherLock, LOCK_DISPATCHER);
    return oldIrql;
}

static inline void KiUnlockDispatcher(KIRQL OldIrql) KI_DISPATCHER_RELEASES __attribute__((no_thread_safety_analysis))
{
    KiReleaseCore(&KiDispatcherLock, LOCK_DISPATCHER);
    KiLowerFromDispatch(OldIrql);
}

/* Once, on the boot CPU, after its KiInitializeIdleThread and before anything waits. */
VOID KiInitializeScheduler(VOID);

/*
 * Turn the code that runs on Prcb, the calling CPU, into its idle thread, from now on KeGetCurrentThread().
 *
 * => interrupts off, or IRQL >= DISPATCH_LEVEL. The code may go on for as long as it likes, at DISPATCH_LEVEL while
 *    it must not be preempted, never waits, and ends in KiIdleLoop.
 */
VOID KiInitializeIdleThread(KPRCB *Prcb, KTHREAD *Idle, PVOID StackBase, PVOID StackLimit);

/* Run nothing until an interrupt brings something. Lowers to PASSIVE_LEVEL, turns interrupts on. */
DECLSPEC_NORETURN VOID KiIdleLoop(VOID);

/* The handler of KI_VECTOR_DISPATCH, at DISPATCH_LEVEL: expired timers, DPCs, then another thread where one is due. */
VOID KiDispatchInterrupt(KTRAP_FRAME *Frame);

/* Charge the current thread for a clock tick of this CPU. CLOCK_LEVEL. */
VOID KiUpdateRunTime(VOID);

/*
 * Make Thread, which is in no queue, runnable: on an idle CPU, in place of a thread of lower priority, or in its
 * queue.
 */
VOID KiReadyThread(KTHREAD *Thread) KI_DISPATCHER_LOCKED;

/*
 * Leave the current thread, whose state the caller has changed from Running; returns when it runs again.
 *
 * => DISPATCH_LEVEL; the lock is held all the way, though perhaps on another CPU at the end.
 */
VOID KiSwapThread(VOID) KI_DISPATCHER_LOCKED;

/*
 * The current CPU has a NextThread: see to it that it runs as soon as OldIrql, to which the caller goes back, allows.
 */
VOID KiAdmitNextThread(KIRQL OldIrql) KI_DISPATCHER_LOCKED;

/*
 * Release the dispatcher lock and lower to OldIrql, where a thread that was made ready meanwhile preempts the caller.
 * Everyone who may have readied a thread leaves this way.
 */
static inline VOID KiExitDispatcher(KIRQL OldIrql) KI_DISPATCHER_RELEASES
{
    if (KiPrcb()->NextThread != NULL) {
        KiAdmitNextThread(OldIrql);
    }
    KiUnlockDispatcher(OldIrql);
}

/* Let a thread of the same priority run. IRQL <= APC_LEVEL. */
VOID KiYieldExecution(VOID);

/* Change what the scheduler decides by, for a thread in any state. */
VOID KiSetPriorityThread(KTHREAD *Thread, KPRIORITY Priority) KI_DISPATCHER_LOCKED;
VOID KiSetAffinityThread(KTHREAD *Thread, KAFFINITY Affinity) KI_DISPATCHER_LOCKED;
