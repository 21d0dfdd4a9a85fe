/*
 * Cancel-safe queues: the driver keeps the list and the lock, this part keeps the race between removal and cancel. The
 * prototypes are the driver kit's.
 */
#pragma once

#include "io/irp.h"
