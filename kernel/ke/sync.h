/*
 * Events and semaphores: nothing here is for others than drivers, but for what may be done with the dispatcher lock
 * held.
 */
#pragma once

#include "kernel/ke/schedule.h"

/* KeSetEvent and KeResetEvent, for a holder of the lock. */
VOID KiSetEventLocked(KEVENT *Event) KI_DISPATCHER_LOCKED;
VOID KiClearEventLocked(KEVENT *Event) KI_DISPATCHER_LOCKED;
