/* Stands in for kernel/ddk.h in host builds: see tests/unit/hostddk.h. */
#pragma once

#include "tests/unit/hostddk.h"
#include "tests/unit/hostcrt.h"
#include "tests/unit/hostrtl.h"
