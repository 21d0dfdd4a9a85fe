/*
 * The leak report.
 */
#pragma once

#include "io/tracker/record.h"

typedef struct _VF_LEAKS {
    ULONG Count;     /* things left behind, each a line of the log */
    bool  CodeInUse; /* one of them may still run the driver's code: a thread, a timer, a work item */
} VF_LEAKS;

/*
 * Print one line for each thing that Owner left behind, and drop its record: kind, address, size, tag or flags, and the
 * calls that made it. A NULL Owner stands for what no driver could be found for.
 *
 * => PASSIVE_LEVEL; one call at a time. Owner is still loaded, so that its functions have names.
 */
VF_LEAKS VfReportLeaks(const RTLP_IMAGE *Owner);
