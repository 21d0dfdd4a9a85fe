/*
 * What the kernel wants to know from the firmware's ACPI tables: processors, interrupt controllers, the PM timer,
 * the reset register, PCI configuration space and the HPET.
 */
#pragma once

#include "kernel/ddk.h"

#define HALP_ACPI_MAX_PROCESSORS 64u
#define HALP_ACPI_MAX_IO_APICS   8u
#define HALP_ACPI_MAX_OVERRIDES  16u /* one for each ISA interrupt */
#define HALP_ACPI_MAX_SEGMENTS   4u

typedef struct _HALP_ACPI_IO_APIC {
    ULONG64 Physical;
    ULONG   ApicId;
    ULONG   FirstInterrupt; /* global system interrupt of its first pin */
} HALP_ACPI_IO_APIC;

typedef struct _HALP_ACPI_OVERRIDE {
    ULONG  Interrupt; /* global system interrupt that the ISA interrupt really raises */
    USHORT Flags;     /* MPS INTI: bits 0-1 polarity, 2-3 trigger mode */
    UCHAR  IsaInterrupt;
} HALP_ACPI_OVERRIDE;

typedef struct _HALP_ACPI_SEGMENT {
    ULONG64 EcamPhysical; /* configuration space of bus 0 */
    USHORT  Segment;
    UCHAR   FirstBus;
    UCHAR   LastBus;
} HALP_ACPI_SEGMENT;

typedef struct _HALP_ACPI_INFO {
    ULONG64 LocalApicPhysical;
    ULONG   ProcessorCount;
    ULONG   ProcessorApicIds[HALP_ACPI_MAX_PROCESSORS]; /* enabled processors, in the table's order, each once */
    ULONG   HotPlugCount;                               /* not enabled, but may be later: never started */
    ULONG   X2ApicCount;                                /* enabled, but their id needs x2APIC mode: not started */
    ULONG   ExcessCount;                                /* enabled, but more than fit */

    ULONG              IoApicCount;
    HALP_ACPI_IO_APIC  IoApics[HALP_ACPI_MAX_IO_APICS];
    ULONG              OverrideCount;
    HALP_ACPI_OVERRIDE Overrides[HALP_ACPI_MAX_OVERRIDES];
    bool               HasLegacyPics; /* two 8259s, to be masked */

    USHORT  PmTimerPort; /* 0: none */
    ULONG   PmTimerBits; /* 24 or 32 */
    USHORT  SciInterrupt;
    bool    HasReset;
    bool    ResetIsPort; /* ResetAddress is an I/O port, else physical memory */
    UCHAR   ResetValue;
    ULONG64 ResetAddress; /* one byte wide */

    ULONG             SegmentCount;
    HALP_ACPI_SEGMENT Segments[HALP_ACPI_MAX_SEGMENTS];
    ULONG64           HpetPhysical;      /* 0: none */
    ULONG             DamagedTableCount; /* skipped for their checksum, their length or an unmapped address */
} HALP_ACPI_INFO;

/*
 * Make ByteCount bytes of physical memory readable. NULL where they are no memory. A mapping stays valid until
 * HalpParseAcpi has returned.
 */
typedef const void *HALP_ACPI_MAP(ULONG64 Physical, SIZE_T ByteCount);

/*
 * Read the tables that the RSDP leads to.
 *
 * => pure but for Map; believes no length and no address of the tables.
 * => false, and what was found so far in Info, when there is no sound RSDP, no root table or no processor.
 */
bool HalpParseAcpi(ULONG64 RsdpPhysical, HALP_ACPI_MAP *Map, HALP_ACPI_INFO *Info);
