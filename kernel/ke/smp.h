/*
 * Processors: what each owns, and how it comes to run.
 */
#pragma once

#include "kernel/amd64/desc.h"
#include "kernel/hal/acpi.h"
#include "kernel/ke/thread.h"

#define KI_OBJECT_HEADER_BYTES 0x30
#define KI_IST_STACK_BYTES     0x4000 /* holds a whole bug-check report */

/* Everything that belongs to one processor. Page-aligned; never freed. */
typedef struct _KI_PROCESSOR {
    KIPCR   Pcr;
    ULONG64 Gdt[KI_GDT_SLOTS];
    KTSS64  Tss;
    DECLSPEC_ALIGN(16) UCHAR IdleThreadHeader[KI_OBJECT_HEADER_BYTES]; /* io/object.h: the idle thread is an object */
    KTHREAD IdleThread;
    DECLSPEC_ALIGN(16) UCHAR IstStacks[KI_IST_COUNT][KI_IST_STACK_BYTES];
} KI_PROCESSOR;

C_ASSERT(FIELD_OFFSET(KI_PROCESSOR, IdleThread) ==
         FIELD_OFFSET(KI_PROCESSOR, IdleThreadHeader) + KI_OBJECT_HEADER_BYTES);

extern KI_PROCESSOR KiBootProcessor;

/* Make the calling CPU's segments, GS base, control registers and IDT those of Processor. Interrupts off. */
void KiInitializeProcessor(KI_PROCESSOR *Processor, ULONG Number);

/* The boot CPU's APIC is mapped and on: from here it takes and sends interrupts. */
void KiInitializeInterrupts(const HALP_ACPI_INFO *Acpi);

/* The low page that a processor starts in. */
typedef struct _KI_START_PAGE {
    UCHAR  *Mapped;
    ULONG   Physical; /* below 640 KiB */
    ULONG64 Root;     /* of tables that map the page one to one, and the kernel; below 4 GiB */
} KI_START_PAGE;

/*
 * Start the processor ApicId on Processor, zeroed but for Pcr.Prcb.RspBase, the idle thread's stack; wait until it
 * runs. Entry is its first C routine, which ends in KiRunProcessor. False after five seconds: the memory is then
 * lost, as a late processor may still use it.
 */
bool KiStartProcessor(KI_PROCESSOR *Processor, ULONG ApicId, const KI_START_PAGE *Start, void (*Entry)(KI_PROCESSOR *));

/* The rest of a newcomer's way: interrupts, idle thread, publication, idle loop. */
DECLSPEC_NORETURN void KiRunProcessor(KI_PROCESSOR *Processor);
