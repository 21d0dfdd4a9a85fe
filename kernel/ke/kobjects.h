/*
 * The object types of the kernel layer, as they stand in the first byte of a DISPATCHER_HEADER, KAPC or KDPC. The
 * values are those that the driver kit's inline code and debuggers know (EVENT_TYPE and TIMER_TYPE are offsets into
 * them).
 */
#pragma once

enum {
    EventNotificationObject = 0,
    EventSynchronizationObject = 1,
    MutantObject = 2,
    ProcessObject = 3,
    SemaphoreObject = 5,
    ThreadObject = 6,
    TimerNotificationObject = 8,
    TimerSynchronizationObject = 9,
    ApcObject = 18,
    DpcObject = 19,
    ThreadedDpcObject = 26,
};
