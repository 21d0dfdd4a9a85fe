/*
 * What <ntimage.h> and the driver loader need on the host besides hostddk.h. Included before everything else.
 */
#pragma once

#include "tests/unit/hostddk.h"

#ifndef ANYSIZE_ARRAY
#define ANYSIZE_ARRAY 1
#endif
#ifndef _ANONYMOUS_UNION
#define _ANONYMOUS_UNION
#define DUMMYUNIONNAME
#endif

#ifndef STATUS_CONFLICTING_ADDRESSES
#define STATUS_CONFLICTING_ADDRESSES ((NTSTATUS)0xC0000018)
#endif
#ifndef STATUS_DRIVER_ORDINAL_NOT_FOUND
#define STATUS_DRIVER_ORDINAL_NOT_FOUND    ((NTSTATUS)0xC0000262)
#define STATUS_DRIVER_ENTRYPOINT_NOT_FOUND ((NTSTATUS)0xC0000263)
#endif

ULONG DbgPrint(PCSTR Format, ...);
