/*
 * Problem: read a handful of facts from tables that the firmware wrote, and survive any that it wrote wrong.
 *
 * Representation: the RSDP names a root table (XSDT with 64-bit addresses, or RSDT with 32-bit ones), the root table
 * names the others, each behind one common header. A table is mapped twice: its header alone for the length, then the
 * whole, whose bytes must sum to 0. Structures are those of the ACPI specification 6.4, chapter 5, packed.
 *
 * Invariants: no byte outside a mapped range is read. A table with a bad checksum or an absurd length is counted and
 * skipped, never half used; a sub-table that runs over its table's end stops the walk there. All counts are bounded by
 * the arrays of HALP_ACPI_INFO.
 *
 * Processors: started are those whose Enabled flag is set. Online Capable without Enabled means that a processor may
 * be plugged in later. x2APIC entries stand for ids that xAPIC mode cannot address; they are counted.
 *
 * Locking and IRQL: none. Left out: AML, and so everything that only the DSDT says.
 */
#include "kernel/hal/acpi.h"

#define RSDP_SIGNATURE  "RSD PTR "
#define RSDP_V1_BYTES   20u       /* what the first checksum covers */
#define TABLE_BYTES_MAX 0x100000u /* 1 MiB: far more than any table that is read here needs */
#define SPACE_MEMORY    0u        /* generic address structure: address spaces */
#define SPACE_PORT      1u
#define APIC_ID_ALL     0xFFu /* the broadcast id of xAPIC mode */

#define MADT_PCAT_COMPAT 0x1u
#define MADT_ENABLED     0x1u
#define MADT_ONLINE      0x2u /* online capable */
#define FADT_TIMER_32BIT (1u << 8)
#define FADT_RESET       (1u << 10)

enum {
    MadtLocalApic = 0,
    MadtIoApic = 1,
    MadtInterruptOverride = 2,
    MadtLocalApicAddress = 5,
    MadtLocalX2Apic = 9,
};

#pragma pack(push, 1)

typedef struct _ACPI_RSDP {
    char    Signature[8];
    UCHAR   Checksum; /* of the first RSDP_V1_BYTES */
    char    OemId[6];
    UCHAR   Revision; /* 0: ACPI 1.0, and the rest is absent */
    ULONG   RsdtPhysical;
    ULONG   ByteCount;
    ULONG64 XsdtPhysical;
    UCHAR   ExtendedChecksum;
    UCHAR   Reserved[3];
} ACPI_RSDP;

typedef struct _ACPI_HEADER {
    char  Signature[4];
    ULONG ByteCount; /* of the table, this header included */
    UCHAR Revision;
    UCHAR Checksum;
    char  OemId[6];
    char  OemTableId[8];
    ULONG OemRevision;
    ULONG CreatorId;
    ULONG CreatorRevision;
} ACPI_HEADER;

typedef struct _ACPI_ADDRESS {
    UCHAR   Space;
    UCHAR   BitWidth;
    UCHAR   BitOffset;
    UCHAR   AccessSize;
    ULONG64 Address;
} ACPI_ADDRESS;

typedef struct _ACPI_MADT {
    ACPI_HEADER Header;
    ULONG       LocalApicPhysical;
    ULONG       Flags;
} ACPI_MADT; /* sub-tables follow */

typedef struct _ACPI_MADT_ENTRY {
    UCHAR Type;
    UCHAR ByteCount; /* this header included */
    union {
        struct {
            UCHAR ProcessorUid;
            UCHAR ApicId;
            ULONG Flags;
        } LocalApic;
        struct {
            UCHAR ApicId;
            UCHAR Reserved;
            ULONG Physical;
            ULONG FirstInterrupt;
        } IoApic;
        struct {
            UCHAR  Bus;
            UCHAR  IsaInterrupt;
            ULONG  Interrupt;
            USHORT Flags;
        } Override;
        struct {
            USHORT  Reserved;
            ULONG64 Physical;
        } LocalApicAddress;
        struct {
            USHORT Reserved;
            ULONG  ApicId;
            ULONG  Flags;
            ULONG  ProcessorUid;
        } LocalX2Apic;
    };
} ACPI_MADT_ENTRY;

typedef struct _ACPI_FADT {
    ACPI_HEADER  Header;
    UCHAR        Unused36[10];
    USHORT       SciInterrupt;
    UCHAR        Unused48[28];
    ULONG        PmTimerBlock;
    UCHAR        Unused80[11];
    UCHAR        PmTimerBytes;
    UCHAR        Unused92[20];
    ULONG        Flags;
    ACPI_ADDRESS ResetRegister;
    UCHAR        ResetValue;
    UCHAR        Unused129[79];
    ACPI_ADDRESS ExtendedPmTimerBlock;
} ACPI_FADT;

typedef struct _ACPI_MCFG_ENTRY {
    ULONG64 EcamPhysical;
    USHORT  Segment;
    UCHAR   FirstBus;
    UCHAR   LastBus;
    ULONG   Reserved;
} ACPI_MCFG_ENTRY;

typedef struct _ACPI_MCFG {
    ACPI_HEADER Header;
    ULONG64     Reserved;
} ACPI_MCFG; /* ACPI_MCFG_ENTRYs follow */

typedef struct _ACPI_HPET {
    ACPI_HEADER  Header;
    ULONG        BlockId;
    ACPI_ADDRESS Base;
} ACPI_HPET;

#pragma pack(pop)

C_ASSERT(sizeof(ACPI_RSDP) == 36);
C_ASSERT(sizeof(ACPI_HEADER) == 36);
C_ASSERT(FIELD_OFFSET(ACPI_FADT, SciInterrupt) == 46);
C_ASSERT(FIELD_OFFSET(ACPI_FADT, PmTimerBlock) == 76);
C_ASSERT(FIELD_OFFSET(ACPI_FADT, PmTimerBytes) == 91);
C_ASSERT(FIELD_OFFSET(ACPI_FADT, Flags) == 112);
C_ASSERT(FIELD_OFFSET(ACPI_FADT, ExtendedPmTimerBlock) == 208);
C_ASSERT(sizeof(ACPI_MCFG_ENTRY) == 16);

/* How much of a table must be there before Field of Type may be read. */
#define BYTES_THROUGH(Type, Field)    (FIELD_OFFSET(Type, Field) + sizeof(((Type *)NULL)->Field))
#define HAS_FIELD(Table, Type, Field) ((Table)->ByteCount >= BYTES_THROUGH(Type, Field))

static bool HalpSumsToZero(const void *Bytes, SIZE_T ByteCount)
{
    const UCHAR *bytes = Bytes;
    UCHAR        sum = 0;

    for (SIZE_T i = 0; i < ByteCount; i++) {
        sum = (UCHAR)(sum + bytes[i]);
    }
    return sum == 0;
}

/* Map the whole table at Physical; NULL when it is not there or not sound. */
static const ACPI_HEADER *HalpMapTable(ULONG64 Physical, HALP_ACPI_MAP *Map)
{
    const ACPI_HEADER *header = Physical != 0 ? Map(Physical, sizeof(ACPI_HEADER)) : NULL;

    if (header == NULL || header->ByteCount < sizeof(ACPI_HEADER) || header->ByteCount > TABLE_BYTES_MAX) {
        return NULL;
    }
    ULONG              byteCount = header->ByteCount;
    const ACPI_HEADER *table = Map(Physical, byteCount);
    if (table == NULL || table->ByteCount != byteCount || !HalpSumsToZero(table, byteCount)) {
        return NULL;
    }
    return table;
}

static bool HalpIsTable(const ACPI_HEADER *Table, const char *Signature)
{
    return memcmp(Table->Signature, Signature, sizeof(Table->Signature)) == 0;
}

/* Count a processor whose APIC id fits xAPIC mode. */
static void HalpAddProcessor(HALP_ACPI_INFO *Info, ULONG ApicId, ULONG Flags)
{
    if ((Flags & MADT_ENABLED) == 0) {
        Info->HotPlugCount += (Flags & MADT_ONLINE) != 0;
        return;
    }
    if (ApicId >= APIC_ID_ALL) {
        Info->X2ApicCount++;
        return;
    }
    for (ULONG i = 0; i < Info->ProcessorCount; i++) {
        if (Info->ProcessorApicIds[i] == ApicId) {
            return;
        }
    }
    if (Info->ProcessorCount == HALP_ACPI_MAX_PROCESSORS) {
        Info->ExcessCount++;
        return;
    }
    Info->ProcessorApicIds[Info->ProcessorCount++] = ApicId;
}

static void HalpAddIoApic(HALP_ACPI_INFO *Info, const ACPI_MADT_ENTRY *Entry)
{
    if (Info->IoApicCount < HALP_ACPI_MAX_IO_APICS) {
        Info->IoApics[Info->IoApicCount++] = (HALP_ACPI_IO_APIC){
            .Physical = Entry->IoApic.Physical,
            .ApicId = Entry->IoApic.ApicId,
            .FirstInterrupt = Entry->IoApic.FirstInterrupt,
        };
    }
}

static void HalpAddOverride(HALP_ACPI_INFO *Info, const ACPI_MADT_ENTRY *Entry)
{
    if (Info->OverrideCount < HALP_ACPI_MAX_OVERRIDES) {
        Info->Overrides[Info->OverrideCount++] = (HALP_ACPI_OVERRIDE){
            .Interrupt = Entry->Override.Interrupt,
            .Flags = Entry->Override.Flags,
            .IsaInterrupt = Entry->Override.IsaInterrupt,
        };
    }
}

static void HalpReadMadtEntry(HALP_ACPI_INFO *Info, const ACPI_MADT_ENTRY *Entry)
{
    switch (Entry->Type) {
    case MadtLocalApic:
        if (HAS_FIELD(Entry, ACPI_MADT_ENTRY, LocalApic)) {
            HalpAddProcessor(Info, Entry->LocalApic.ApicId, Entry->LocalApic.Flags);
        }
        break;
    case MadtIoApic:
        if (HAS_FIELD(Entry, ACPI_MADT_ENTRY, IoApic)) {
            HalpAddIoApic(Info, Entry);
        }
        break;
    case MadtInterruptOverride:
        if (HAS_FIELD(Entry, ACPI_MADT_ENTRY, Override)) {
            HalpAddOverride(Info, Entry);
        }
        break;
    case MadtLocalApicAddress:
        if (HAS_FIELD(Entry, ACPI_MADT_ENTRY, LocalApicAddress)) {
            Info->LocalApicPhysical = Entry->LocalApicAddress.Physical;
        }
        break;
    case MadtLocalX2Apic:
        if (HAS_FIELD(Entry, ACPI_MADT_ENTRY, LocalX2Apic)) {
            Info->X2ApicCount += (Entry->LocalX2Apic.Flags & MADT_ENABLED) != 0;
        }
        break;
    default:
        break;
    }
}

static void HalpReadMadt(HALP_ACPI_INFO *Info, const ACPI_HEADER *Table)
{
    const ACPI_MADT *madt = (const ACPI_MADT *)Table;
    const UCHAR     *next = (const UCHAR *)(madt + 1);
    const UCHAR     *end = (const UCHAR *)Table + Table->ByteCount;

    if (Table->ByteCount < sizeof(ACPI_MADT)) {
        return;
    }
    Info->LocalApicPhysical = madt->LocalApicPhysical;
    Info->HasLegacyPics = (madt->Flags & MADT_PCAT_COMPAT) != 0;
    while ((SIZE_T)(end - next) >= FIELD_OFFSET(ACPI_MADT_ENTRY, LocalApic)) {
        const ACPI_MADT_ENTRY *entry = (const ACPI_MADT_ENTRY *)next;
        if (entry->ByteCount < FIELD_OFFSET(ACPI_MADT_ENTRY, LocalApic) || entry->ByteCount > end - next) {
            break;
        }
        HalpReadMadtEntry(Info, entry);
        next += entry->ByteCount;
    }
}

static void HalpReadPmTimer(HALP_ACPI_INFO *Info, const ACPI_FADT *Fadt)
{
    ULONG64 port = 0;

    if (HAS_FIELD(&Fadt->Header, ACPI_FADT, ExtendedPmTimerBlock) && Fadt->ExtendedPmTimerBlock.Space == SPACE_PORT) {
        port = Fadt->ExtendedPmTimerBlock.Address;
    }
    if (port == 0 && Fadt->PmTimerBytes == sizeof(ULONG)) {
        port = Fadt->PmTimerBlock;
    }
    if (port <= MAXUSHORT) {
        Info->PmTimerPort = (USHORT)port;
        Info->PmTimerBits = (Fadt->Flags & FADT_TIMER_32BIT) != 0 ? 32 : 24;
    }
}

static void HalpReadFadt(HALP_ACPI_INFO *Info, const ACPI_HEADER *Table)
{
    const ACPI_FADT *fadt = (const ACPI_FADT *)Table;

    if (!HAS_FIELD(Table, ACPI_FADT, Flags)) {
        return;
    }
    Info->SciInterrupt = fadt->SciInterrupt;
    HalpReadPmTimer(Info, fadt);
    if ((fadt->Flags & FADT_RESET) != 0 && HAS_FIELD(Table, ACPI_FADT, ResetValue)) {
        UCHAR space = fadt->ResetRegister.Space;
        Info->ResetIsPort = space == SPACE_PORT;
        Info->ResetAddress = fadt->ResetRegister.Address;
        Info->ResetValue = fadt->ResetValue;
        Info->HasReset = space == SPACE_MEMORY || (space == SPACE_PORT && Info->ResetAddress <= MAXUSHORT);
    }
}

static void HalpReadMcfg(HALP_ACPI_INFO *Info, const ACPI_HEADER *Table)
{
    const ACPI_MCFG_ENTRY *entries = (const ACPI_MCFG_ENTRY *)((const ACPI_MCFG *)Table + 1);

    if (Table->ByteCount < sizeof(ACPI_MCFG)) {
        return;
    }
    SIZE_T entryCount = (Table->ByteCount - sizeof(ACPI_MCFG)) / sizeof(ACPI_MCFG_ENTRY);
    for (SIZE_T i = 0; i < entryCount && Info->SegmentCount < HALP_ACPI_MAX_SEGMENTS; i++) {
        if (entries[i].FirstBus <= entries[i].LastBus) {
            Info->Segments[Info->SegmentCount++] = (HALP_ACPI_SEGMENT){
                .EcamPhysical = entries[i].EcamPhysical,
                .Segment = entries[i].Segment,
                .FirstBus = entries[i].FirstBus,
                .LastBus = entries[i].LastBus,
            };
        }
    }
}

static void HalpReadHpet(HALP_ACPI_INFO *Info, const ACPI_HEADER *Table)
{
    const ACPI_HPET *hpet = (const ACPI_HPET *)Table;

    if (HAS_FIELD(Table, ACPI_HPET, Base) && hpet->Base.Space == SPACE_MEMORY) {
        Info->HpetPhysical = hpet->Base.Address;
    }
}

static void HalpReadTable(HALP_ACPI_INFO *Info, const ACPI_HEADER *Table)
{
    static const struct {
        char Signature[5];
        void (*Read)(HALP_ACPI_INFO *Info, const ACPI_HEADER *Table);
    } readers[] = {
        { "APIC", HalpReadMadt },
        { "FACP", HalpReadFadt },
        { "MCFG", HalpReadMcfg },
        { "HPET", HalpReadHpet },
    };

    for (SIZE_T i = 0; i < RTL_NUMBER_OF(readers); i++) {
        if (HalpIsTable(Table, readers[i].Signature)) {
            readers[i].Read(Info, Table);
        }
    }
}

/* Read what an RSDT (EntryBytes 4) or XSDT (EntryBytes 8) lists. */
static void HalpReadRoot(HALP_ACPI_INFO *Info, HALP_ACPI_MAP *Map, const ACPI_HEADER *Root, ULONG EntryBytes)
{
    const UCHAR *entries = (const UCHAR *)(Root + 1);
    SIZE_T       entryCount = (Root->ByteCount - sizeof(ACPI_HEADER)) / EntryBytes;

    for (SIZE_T i = 0; i < entryCount; i++) {
        ULONG64 physical = 0;
        memcpy(&physical, entries + i * EntryBytes, EntryBytes);
        const ACPI_HEADER *table = HalpMapTable(physical, Map);
        if (table == NULL) {
            Info->DamagedTableCount++;
            continue;
        }
        HalpReadTable(Info, table);
    }
}

/* The RSDP, checked as far as its revision says that there is something to check; NULL when it is not sound. */
static const ACPI_RSDP *HalpMapRsdp(ULONG64 Physical, HALP_ACPI_MAP *Map)
{
    const ACPI_RSDP *rsdp = Physical != 0 ? Map(Physical, RSDP_V1_BYTES) : NULL;

    if (rsdp == NULL || memcmp(rsdp->Signature, RSDP_SIGNATURE, sizeof(rsdp->Signature)) != 0 ||
        !HalpSumsToZero(rsdp, RSDP_V1_BYTES)) {
        return NULL;
    }
    if (rsdp->Revision == 0) {
        return rsdp;
    }
    rsdp = Map(Physical, sizeof(ACPI_RSDP));
    return rsdp != NULL && HalpSumsToZero(rsdp, sizeof(ACPI_RSDP)) ? rsdp : NULL;
}

bool HalpParseAcpi(ULONG64 RsdpPhysical, HALP_ACPI_MAP *Map, HALP_ACPI_INFO *Info)
{
    *Info = (HALP_ACPI_INFO){ .ProcessorCount = 0 };
    const ACPI_RSDP *rsdp = HalpMapRsdp(RsdpPhysical, Map);
    if (rsdp == NULL) {
        return false;
    }
    const ACPI_HEADER *root = rsdp->Revision != 0 ? HalpMapTable(rsdp->XsdtPhysical, Map) : NULL;
    if (root != NULL && HalpIsTable(root, "XSDT")) {
        HalpReadRoot(Info, Map, root, sizeof(ULONG64));
    } else {
        root = HalpMapTable(rsdp->RsdtPhysical, Map);
        if (root == NULL || !HalpIsTable(root, "RSDT")) {
            return false;
        }
        HalpReadRoot(Info, Map, root, sizeof(ULONG));
    }
    return Info->ProcessorCount != 0;
}
