/*
 * Completion: a packet's way back up, and what its originator gets.
 */
#pragma once

#include "io/irp.h"

/*
 * The second half: give the caller its data and status, signal, and free Irp.
 *
 * => on the packet's thread and in its address space, IRQL <= APC_LEVEL. FileObject, which may be NULL, is the one
 *    that the packet was sent through; its reference is dropped.
 */
void IopFinishIrp(IRP *Irp, FILE_OBJECT *FileObject);
