/*
 * The table behind the second line of a bug check and its four lines of words. Sorted by code. A code that is not here
 * prints as UNKNOWN_BUG_CHECK with bare parameters: KeBugCheckEx takes any code from a driver.
 */
#include "kernel/ke/bugnames.h"

#define ROW(CodeOf, NameOf, ...)                                        \
    {                                                                   \
        .Code = (CodeOf), .Name = NameOf, .Parameters = { __VA_ARGS__ } \
    }

static const KI_BUG_NAME KiBugNames[] = {
    ROW(0x05, "INVALID_PROCESS_ATTACH_ATTEMPT", "process to attach to", "process attached to", "APC state index",
        "nonzero: a DPC runs"),
    ROW(0x06, "INVALID_PROCESS_DETACH_ATTEMPT", NULL),
    ROW(0x0A, "IRQL_NOT_LESS_OR_EQUAL", "address touched", "IRQL at the time", "0 read, 1 write, 8 execute",
        "instruction that touched it"),
    ROW(0x0C, "MAXIMUM_WAIT_OBJECTS_EXCEEDED", NULL),
    ROW(0x0F, "SPIN_LOCK_ALREADY_OWNED", "the spin lock"),
    ROW(0x10, "SPIN_LOCK_NOT_OWNED", "the spin lock"),
    ROW(0x19, "BAD_POOL_HEADER", "what is wrong (sub-code)", "pool block or entry", "depends on the sub-code",
        "depends on the sub-code"),
    ROW(0x1A, "MEMORY_MANAGEMENT", "what is wrong (sub-code)", "depends on the sub-code", "depends on the sub-code",
        "depends on the sub-code"),
    ROW(0x1C, "PFN_REFERENCE_COUNT", "page frame number", "reference count", NULL, NULL),
    ROW(0x1E, "KMODE_EXCEPTION_NOT_HANDLED", "exception code", "instruction that raised it", "exception parameter 0",
        "exception parameter 1"),
    ROW(0x20, "KERNEL_APC_PENDING_DURING_EXIT", "the APC", "how often APCs are disabled", "IRQL", NULL),
    ROW(0x32, "PHASE1_INITIALIZATION_FAILED", "status", NULL, NULL, NULL),
    ROW(0x35, "NO_MORE_IRP_STACK_LOCATIONS", "the IRP", NULL),
    ROW(0x3B, "SYSTEM_SERVICE_EXCEPTION", "exception code", "instruction that raised it", "context record", NULL),
    ROW(0x3F, "NO_MORE_SYSTEM_PTES", "0 system PTEs, 1 nonpaged pool expansion", "PTEs asked for", "PTEs free",
        "PTEs in all"),
    ROW(0x40, "TARGET_MDL_TOO_SMALL", NULL),
    ROW(0x44, "MULTIPLE_IRP_COMPLETE_REQUESTS", "the IRP", NULL),
    ROW(0x48, "CANCEL_STATE_IN_COMPLETED_IRP", "the IRP", "cancel routine", NULL),
    ROW(0x49, "PAGE_FAULT_WITH_INTERRUPTS_OFF", NULL),
    ROW(0x4D, "NO_PAGES_AVAILABLE", "dirty pages", "dirty pages bound for the page file", "nonpaged pool available",
        "most recent write error"),
    ROW(0x4E, "PFN_LIST_CORRUPT", "what is wrong (sub-code)", "page frame number", "state or share count",
        "reference count, or 0"),
    ROW(0x50, "PAGE_FAULT_IN_NONPAGED_AREA", "address touched", "0 read, 2 write, 0x10 execute",
        "instruction that touched it",
        "0: the PTE is free, 2: no valid page table, 4: not canonical, 0xF: user address"),
    ROW(0x76, "PROCESS_HAS_LOCKED_PAGES", "0: locked pages at exit, 1: unlock of an MDL that is not locked",
        "process, or the MDL", "pages locked", "driver stacks, or 0"),
    ROW(0x7A, "KERNEL_DATA_INPAGE_ERROR", "lock type", "error status", "process or address", "address"),
    ROW(0x7E, "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED", "exception code", "instruction that raised it", "exception record",
        "context record"),
    ROW(0x7F, "UNEXPECTED_KERNEL_MODE_TRAP", "trap number (8: double fault, as after a stack overflow)",
        "address of the last page fault", "error code", "instruction"),
    ROW(0x80, "NMI_HARDWARE_FAILURE", NULL),
    ROW(0x96, "INVALID_WORK_QUEUE_ITEM", "the work item", "its queue", "array of queues", "worker routine"),
    ROW(0x99, "INVALID_REGION_OR_SEGMENT", NULL),
    ROW(0x9C, "MACHINE_CHECK_EXCEPTION", NULL),
    ROW(0xA5, "ACPI_BIOS_ERROR", "0: no usable tables", "physical address of the RSDP", NULL, NULL),
    ROW(0xB8, "ATTEMPTED_SWITCH_FROM_DPC", "the thread", "the thread switched to", "its stack", NULL),
    ROW(0xBE, "ATTEMPTED_WRITE_TO_READONLY_MEMORY", "address written to", "contents of its PTE", NULL, NULL),
    ROW(0xC1, "SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION", "address being freed", NULL, NULL, "sub-code"),
    ROW(0xC2, "BAD_POOL_CALLER", "what the caller did (sub-code)", "depends on the sub-code", "depends on the sub-code",
        "depends on the sub-code"),
    ROW(0xC4, "DRIVER_VERIFIER_DETECTED_VIOLATION", "rule that was broken (sub-code)", "depends on the sub-code",
        "depends on the sub-code", "depends on the sub-code"),
    ROW(0xC5, "DRIVER_CORRUPTED_EXPOOL", "address touched", "IRQL at the time", "0 read, 1 write", "instruction"),
    ROW(0xC7, "TIMER_OR_DPC_INVALID", "0 timer object, 1 DPC object, 2 DPC routine", "address of the object",
        "start of the range checked", "end of the range checked"),
    ROW(0xC8, "IRQL_UNEXPECTED_VALUE", "IRQLs before and after", "routine that changed it", "APC or DPC",
        "normal routine, or context"),
    ROW(0xC9, "DRIVER_VERIFIER_IOMANAGER_VIOLATION", "rule that was broken (sub-code)", "depends on the sub-code",
        "depends on the sub-code", "depends on the sub-code"),
    ROW(0xCB, "DRIVER_LEFT_LOCKED_PAGES_IN_PROCESS", "internal lock tracker", NULL, "the MDL", "pages locked"),
    ROW(0xCC, "PAGE_FAULT_IN_FREED_SPECIAL_POOL", "address touched", "0 read, 1 write", "instruction", NULL),
    ROW(0xCD, "PAGE_FAULT_BEYOND_END_OF_ALLOCATION", "address touched", "0 read, 1 write", "instruction", NULL),
    ROW(0xCE, "DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS", "address touched", "0 read, 1 write",
        "instruction", NULL),
    ROW(0xD1, "DRIVER_IRQL_NOT_LESS_OR_EQUAL", "address touched", "IRQL at the time", "0 read, 1 write, 8 execute",
        "instruction that touched it"),
    ROW(0xD8, "DRIVER_USED_EXCESSIVE_PTES", "driver's name, or NULL", "PTEs the driver uses", "PTEs free",
        "PTEs in all"),
    ROW(0xD9, "LOCKED_PAGES_TRACKER_CORRUPTION", "sub-code", "lock tracker", "the MDL", "pages locked"),
    ROW(0xDA, "SYSTEM_PTE_MISUSE", "what the caller did (sub-code)", "depends on the sub-code",
        "depends on the sub-code", "depends on the sub-code"),
    ROW(0xDB, "DRIVER_CORRUPTED_SYSPTES", NULL),
    ROW(0xE1, "WORKER_THREAD_RETURNED_AT_BAD_IRQL", "worker routine", "IRQL on return", "its parameter",
        "the work item"),
    ROW(0xE2, "MANUALLY_INITIATED_CRASH", NULL),
    ROW(0xE4, "WORKER_INVALID", "0: an active work item was freed", "the work item", "start of the freed memory",
        "bytes of it"),
    ROW(0xF7, "DRIVER_OVERRAN_STACK_BUFFER", "cookie found on the stack", "cookie expected", "its complement", NULL),
    ROW(0xFC, "ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY", "address executed", "contents of its PTE", NULL, NULL),
    ROW(0x127, "PAGE_NOT_ZERO", "virtual address", "page frame number", NULL, NULL),
    ROW(0x12B, "FAULTY_HARDWARE_CORRUPTED_PAGE", "virtual address", "page frame number", NULL, NULL),
    ROW(0x12E, "INVALID_MDL_RANGE", "source MDL", "target MDL", "virtual address", "length in bytes"),
    ROW(0x139, "KERNEL_SECURITY_CHECK_FAILURE", "what was found corrupt (fast-fail code)", "trap frame",
        "exception record, or error code", "instruction"),
    ROW(0x192, "KERNEL_AUTO_BOOST_LOCK_ACQUISITION_WITH_RAISED_IRQL", "the thread", "the lock", "IRQL", NULL),
    ROW(0x4000008A, "THREAD_TERMINATE_HELD_MUTEX", "the thread", "the mutex", NULL, NULL),
};

#undef ROW

const KI_BUG_NAME *KiFindBugName(ULONG Code)
{
    for (ULONG index = 0; index < RTL_NUMBER_OF(KiBugNames); index++) {
        if (KiBugNames[index].Code == Code) {
            return &KiBugNames[index];
        }
    }
    return NULL;
}
