/*
 * Waits: blocking a thread on dispatcher objects, and what those who signal an object do about it.
 */
#pragma once

#include "kernel/ke/schedule.h"

/*
 * Object has become signalled, or more so: satisfy waits on it, oldest first, while its state allows. The threads get
 * Increment on top of their priority.
 */
VOID KiWaitTest(DISPATCHER_HEADER *Object, KPRIORITY Increment) KI_DISPATCHER_LOCKED;

/* End Thread's wait with Status, whatever it waits for. Thread is Waiting. */
VOID KiUnwaitThread(KTHREAD *Thread, NTSTATUS Status, KPRIORITY Increment) KI_DISPATCHER_LOCKED;

/*
 * The end of a routine that has a Wait parameter, in place of KiExitDispatcher: when Wait, stay at DISPATCH_LEVEL, so
 * that the caller's wait, which must be next, begins before any other thread runs on this CPU, and have it return at
 * OldIrql.
 */
VOID KiExitDispatcherForWait(KIRQL OldIrql, BOOLEAN Wait) KI_DISPATCHER_RELEASES;
