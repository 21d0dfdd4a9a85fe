/*
 * COM1, output only.
 */
#pragma once

#include "kernel/ddk.h"

/* 115200 8N1, FIFO on, no interrupts. The loader has done the same; either order works. */
void HalpInitializeSerial(void);

/*
 * Send Bytes bytes as they are.
 *
 * => any IRQL; one CPU at a time (ke/dbgprint.c's lock); works before HalpInitializeSerial, since the loader's
 *    settings stand.
 * => returns when the port has taken them; a port that never does, or is not there, costs a bounded wait.
 */
void HalpSerialWrite(const char *Text, SIZE_T Bytes);
