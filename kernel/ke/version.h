/*
 * Who the kernel says it is: version, processor features, debugger. The prototypes are the driver kit's.
 */
#pragma once

#include "kernel/ddk.h"

/* Windows 10, version 2004. */
#define KI_MAJOR_VERSION 10u
#define KI_MINOR_VERSION 0u
#define KI_BUILD_NUMBER  19041u
