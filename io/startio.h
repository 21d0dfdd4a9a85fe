/*
 * StartIo: one packet at a time on a device, the others in its queue. The prototypes are the driver kit's.
 */
#pragma once

#include "io/irp.h"
