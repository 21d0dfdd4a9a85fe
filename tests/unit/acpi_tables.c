/*
 * The ACPI parser on tables that are built here, whole and then damaged in every way that a byte can be.
 */
#include "kernel/hal/acpi.h"

#include "kernel/rtl/random.h"
#include "tests/lib/ktest.h"

#define MEMORY_BYTES 0x1000u
#define BASE         0x7F000000ull /* where the memory lies, so that an offset is not taken for an address */
#define RSDP         0x000u
#define XSDT         0x100u
#define RSDT         0x200u
#define MADT         0x300u
#define FADT         0x500u
#define MCFG         0x700u
#define HPET         0x800u
#define ROUNDS       50000u

static UCHAR HostMemory[MEMORY_BYTES];
static void *HostMappings[4096];
static ULONG HostMappingCount;

/* Each mapping is a block of its own, of exactly the size asked for, so that the sanitizer sees any byte beyond it. */
static const void *HostMap(ULONG64 Physical, SIZE_T ByteCount)
{
    if (Physical < BASE || Physical - BASE > MEMORY_BYTES || ByteCount > MEMORY_BYTES - (Physical - BASE) ||
        HostMappingCount == RTL_NUMBER_OF(HostMappings)) {
        return NULL;
    }
    void *mapping = ExAllocatePoolWithTag(PagedPool, ByteCount, 0);
    memcpy(mapping, HostMemory + (Physical - BASE), ByteCount);
    HostMappings[HostMappingCount++] = mapping;
    return mapping;
}

static bool HostParse(HALP_ACPI_INFO *Info)
{
    bool found = HalpParseAcpi(BASE + RSDP, HostMap, Info);

    while (HostMappingCount > 0) {
        ExFreePoolWithTag(HostMappings[--HostMappingCount], 0);
    }
    return found;
}

static void HostPut(ULONG Offset, ULONG Bytes, ULONG64 Value)
{
    memcpy(HostMemory + Offset, &Value, Bytes);
}

static void HostSeal(ULONG Table, ULONG ByteCount, ULONG ChecksumOffset)
{
    UCHAR sum = 0;

    HostMemory[Table + ChecksumOffset] = 0;
    for (ULONG i = 0; i < ByteCount; i++) {
        sum = (UCHAR)(sum + HostMemory[Table + i]);
    }
    HostMemory[Table + ChecksumOffset] = (UCHAR)(0 - sum);
}

static void HostSealTable(ULONG Table, const char *Signature, ULONG ByteCount)
{
    memcpy(HostMemory + Table, Signature, 4);
    HostPut(Table + 4, 4, ByteCount);
    HostSeal(Table, ByteCount, 9);
}

/* A processor with its APIC id and flags at Offset; => where the next entry goes. */
static ULONG HostPutProcessor(ULONG Offset, UCHAR ApicId, ULONG Flags)
{
    HostPut(Offset, 2, 0x0800);
    HostPut(Offset + 3, 1, ApicId);
    HostPut(Offset + 4, 4, Flags);
    return Offset + 8;
}

static void HostBuildMadt(void)
{
    ULONG at = MADT + 44;

    HostPut(MADT + 36, 4, 0xFEE00000);
    HostPut(MADT + 40, 4, 1);
    at = HostPutProcessor(at, 0, 1);
    at = HostPutProcessor(at, 2, 1);
    at = HostPutProcessor(at, 2, 1);    /* said twice */
    at = HostPutProcessor(at, 3, 2);    /* online capable only */
    at = HostPutProcessor(at, 4, 0);    /* absent */
    at = HostPutProcessor(at, 0xFF, 1); /* no xAPIC id */
    HostPut(at, 2, 0x0C01);             /* I/O APIC */
    HostPut(at + 2, 1, 9);
    HostPut(at + 4, 4, 0xFEC00000);
    HostPut(at + 8, 4, 24);
    at += 12;
    HostPut(at, 2, 0x0A02); /* ISA 0 raises interrupt 2 */
    HostPut(at + 4, 4, 2);
    HostPut(at + 8, 2, 5);
    at += 10;
    HostPut(at, 2, 0x1009); /* x2APIC, enabled */
    HostPut(at + 4, 4, 300);
    HostPut(at + 8, 4, 1);
    at += 16;
    HostPut(at, 2, 0x0C05); /* the local APIC's address in 64 bits */
    HostPut(at + 4, 8, 0x1FEE00000ull);
    at += 12;
    HostSealTable(MADT, "APIC", at - MADT);
}

static void HostBuildFadt(void)
{
    HostPut(FADT + 46, 2, 9);
    HostPut(FADT + 76, 4, 0x608);
    HostPut(FADT + 91, 1, 4);
    HostPut(FADT + 112, 4, 1u << 8 | 1u << 10);
    HostPut(FADT + 116, 1, 1);
    HostPut(FADT + 120, 8, 0xCF9);
    HostPut(FADT + 128, 1, 0x0F);
    HostSealTable(FADT, "FACP", 244);
}

static void HostBuild(void)
{
    memset(HostMemory, 0, sizeof(HostMemory));
    memcpy(HostMemory + RSDP, "RSD PTR ", 8);
    HostPut(RSDP + 15, 1, 2);
    HostPut(RSDP + 16, 4, BASE + RSDT);
    HostPut(RSDP + 20, 4, 36);
    HostPut(RSDP + 24, 8, BASE + XSDT);
    HostSeal(RSDP, 20, 8);
    HostSeal(RSDP, 36, 32);
    static const ULONG tables[] = { MADT, FADT, MCFG, HPET };
    for (ULONG i = 0; i < RTL_NUMBER_OF(tables); i++) {
        HostPut(XSDT + 36 + 8 * i, 8, BASE + tables[i]);
        HostPut(RSDT + 36 + 4 * i, 4, BASE + tables[i]);
    }
    HostSealTable(XSDT, "XSDT", 36 + 8 * RTL_NUMBER_OF(tables));
    HostSealTable(RSDT, "RSDT", 36 + 4 * RTL_NUMBER_OF(tables));
    HostBuildMadt();
    HostBuildFadt();
    HostPut(MCFG + 44, 8, 0xB0000000);
    HostPut(MCFG + 55, 1, 0xFF);
    HostSealTable(MCFG, "MCFG", 60);
    HostPut(HPET + 44, 8, 0xFED00000);
    HostSealTable(HPET, "HPET", 56);
}

static void HostExpectWhole(const HALP_ACPI_INFO *Info)
{
    KT_EXPECT_EQ(Info->LocalApicPhysical, 0x1FEE00000ull);
    KT_EXPECT_EQ(Info->ProcessorCount, 2);
    KT_EXPECT_EQ(Info->ProcessorApicIds[1], 2);
    KT_EXPECT_EQ(Info->HotPlugCount, 1);
    KT_EXPECT_EQ(Info->X2ApicCount, 2);
    KT_EXPECT_EQ(Info->IoApicCount, 1);
    KT_EXPECT_EQ(Info->IoApics[0].Physical, 0xFEC00000);
    KT_EXPECT_EQ(Info->IoApics[0].ApicId, 9);
    KT_EXPECT_EQ(Info->IoApics[0].FirstInterrupt, 24);
    KT_EXPECT_EQ(Info->OverrideCount, 1);
    KT_EXPECT_EQ(Info->Overrides[0].Interrupt, 2);
    KT_EXPECT_EQ(Info->Overrides[0].Flags, 5);
    KT_EXPECT_TRUE(Info->HasLegacyPics);
    KT_EXPECT_EQ(Info->PmTimerPort, 0x608);
    KT_EXPECT_EQ(Info->PmTimerBits, 32);
    KT_EXPECT_EQ(Info->SciInterrupt, 9);
    KT_EXPECT_TRUE(Info->HasReset && Info->ResetIsPort);
    KT_EXPECT_EQ(Info->ResetAddress, 0xCF9);
    KT_EXPECT_EQ(Info->ResetValue, 0x0F);
    KT_EXPECT_EQ(Info->SegmentCount, 1);
    KT_EXPECT_EQ(Info->Segments[0].EcamPhysical, 0xB0000000);
    KT_EXPECT_EQ(Info->Segments[0].LastBus, 0xFF);
    KT_EXPECT_EQ(Info->HpetPhysical, 0xFED00000);
    KT_EXPECT_EQ(Info->DamagedTableCount, 0);
}

KTEST(host_acpi, whole_tables)
{
    HALP_ACPI_INFO info;

    HostBuild();
    KT_ASSERT_TRUE(HostParse(&info));
    HostExpectWhole(&info);
}

KTEST(host_acpi, first_revision_uses_the_rsdt)
{
    HALP_ACPI_INFO info;

    HostBuild();
    HostPut(RSDP + 15, 1, 0);
    HostPut(RSDP + 24, 8, 0);
    HostSeal(RSDP, 20, 8);
    KT_ASSERT_TRUE(HostParse(&info));
    HostExpectWhole(&info);
}

KTEST(host_acpi, damaged_xsdt_falls_back_to_the_rsdt)
{
    HALP_ACPI_INFO info;

    HostBuild();
    HostMemory[XSDT + 20]++;
    KT_ASSERT_TRUE(HostParse(&info));
    HostExpectWhole(&info);
}

KTEST(host_acpi, damaged_table_is_skipped)
{
    HALP_ACPI_INFO info;

    HostBuild();
    HostMemory[HPET + 45]++;
    KT_ASSERT_TRUE(HostParse(&info));
    KT_EXPECT_EQ(info.HpetPhysical, 0);
    KT_EXPECT_EQ(info.DamagedTableCount, 1);
    KT_EXPECT_EQ(info.ProcessorCount, 2);
}

KTEST(host_acpi, no_rsdp)
{
    HALP_ACPI_INFO info;

    HostBuild();
    KT_EXPECT_FALSE(HalpParseAcpi(0, HostMap, &info));
    KT_EXPECT_FALSE(HalpParseAcpi(BASE + MEMORY_BYTES, HostMap, &info));
    HostMemory[RSDP]++;
    KT_EXPECT_FALSE(HostParse(&info));
}

KTEST(host_acpi, short_fadt_of_revision_one)
{
    HALP_ACPI_INFO info;

    HostBuild();
    HostSealTable(FADT, "FACP", 116);
    KT_ASSERT_TRUE(HostParse(&info));
    KT_EXPECT_EQ(info.PmTimerPort, 0x608);
    KT_EXPECT_FALSE(info.HasReset);
}

KTEST(host_acpi, more_processors_than_fit)
{
    HALP_ACPI_INFO info;
    ULONG          at = MADT + 44;

    HostBuild();
    memset(HostMemory + FADT, 0, 0x200);
    for (UCHAR apicId = 0; apicId < 80; apicId++) {
        at = HostPutProcessor(at, apicId, 1);
    }
    HostSealTable(MADT, "APIC", at - MADT);
    KT_ASSERT_TRUE(HostParse(&info));
    KT_EXPECT_EQ(info.ProcessorCount, 64);
    KT_EXPECT_EQ(info.ExcessCount, 16);
}

/* An entry of every known kind that is nothing but its header, at the very end: no field behind it may be read. */
KTEST(host_acpi, short_entry_at_the_end)
{
    HALP_ACPI_INFO info;

    for (UCHAR type = 0; type < 16; type++) {
        HostBuild();
        ULONG at = HostPutProcessor(MADT + 44, 0, 1);
        HostPut(at, 2, 0x0200u | type);
        HostSealTable(MADT, "APIC", at + 2 - MADT);
        KT_ASSERT_TRUE(HostParse(&info));
        KT_EXPECT_EQ(info.ProcessorCount, 1);
        KT_EXPECT_EQ(info.IoApicCount + info.OverrideCount + info.X2ApicCount, 0);
    }
}

/* Random damage with the checksums made right again, so that the parser gets to see it. */
KTEST(host_acpi, junk_stays_in_bounds)
{
    static const ULONG tables[] = { XSDT, RSDT, MADT, FADT, MCFG, HPET };
    HALP_ACPI_INFO     info;
    ULONG64            seed = 17;

    for (ULONG round = 0; round < ROUNDS; round++) {
        HostBuild();
        ULONG table = tables[RtlpRandomBelow(&seed, RTL_NUMBER_OF(tables))];
        ULONG length;
        for (ULONG damage = RtlpRandomBelow(&seed, 6); damage > 0; damage--) {
            HostMemory[table + 36 + RtlpRandomBelow(&seed, 100)] = (UCHAR)RtlpRandom(&seed);
        }
        memcpy(&length, HostMemory + table + 4, 4);
        if (RtlpRandomBelow(&seed, 2) == 0) {
            length = RtlpRandomBelow(&seed, 2) == 0 ? RtlpRandomBelow(&seed, 300) : (ULONG)RtlpRandom(&seed);
            HostPut(table + 4, 4, length);
        }
        if (length <= MEMORY_BYTES - table) {
            HostSeal(table, length, 9);
        }
        HostParse(&info);
        KT_ASSERT_LE(info.ProcessorCount, HALP_ACPI_MAX_PROCESSORS);
        KT_ASSERT_LE(info.SegmentCount, HALP_ACPI_MAX_SEGMENTS);
    }
}
