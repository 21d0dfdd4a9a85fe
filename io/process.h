/*
 * Processes as objects: made, found by id, deleted with the last reference.
 */
#pragma once

#include "mm/space.h"

#define PSP_SYSTEM_PROCESS_ID 4

/* The process type's delete routine, and the system process's place in the list. Once, at boot, after ObpInitialize. */
void PspInitializeProcesses(void);

/*
 * Make a process with an empty address space and no thread; the caller holds its one reference and gives it up with
 * ObDereferenceObject. When the last reference goes the address space does; pages left locked are bug check 0x76.
 *
 * => PASSIVE_LEVEL. STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS PspCreateProcess(EPROCESS **Process);
