/*
 * Attaching: a thread runs in the address space of another process for a while. The routines are the driver
 * interface's; this header is for what the driver kit does not declare.
 */
#pragma once

#include "kernel/ke/thread.h"

BOOLEAN NTAPI KeIsAttachedProcess(VOID);
