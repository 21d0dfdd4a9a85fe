/*
 * The tracked entries. Each has the prototype of the routine that it stands before; io/exports.def names it. They are
 * called through import tables, so that their return address is the driver's.
 *
 * VF_CALLER() is that address; it is taken in the entry itself, which no other code calls.
 */
#pragma once

#include "io/tracker/record.h"
#include "kernel/ddk.h"

#define VF_CALLER() _ReturnAddress()

/* pool.c */
PVOID NTAPI VfTrackExAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes);
PVOID NTAPI VfTrackExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag);
PVOID NTAPI VfTrackExAllocatePoolWithTagPriority(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag,
                                                 EX_POOL_PRIORITY Priority);
PVOID NTAPI VfTrackExAllocatePoolWithQuota(POOL_TYPE PoolType, SIZE_T NumberOfBytes);
PVOID NTAPI VfTrackExAllocatePoolWithQuotaTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag);
PVOID NTAPI VfTrackExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag);
VOID NTAPI  VfTrackExFreePool(PVOID P);
VOID NTAPI  VfTrackExFreePoolWithTag(PVOID P, ULONG Tag);

/* string.c */
NTSTATUS NTAPI VfTrackRtlAnsiStringToUnicodeString(PUNICODE_STRING DestinationString, PCANSI_STRING SourceString,
                                                   BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI VfTrackRtlUnicodeStringToAnsiString(PANSI_STRING DestinationString, PCUNICODE_STRING SourceString,
                                                   BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI VfTrackRtlUpcaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                             BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI VfTrackRtlDowncaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                               BOOLEAN AllocateDestinationString);
BOOLEAN NTAPI  VfTrackRtlCreateUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString);
VOID NTAPI     VfTrackRtlFreeUnicodeString(PUNICODE_STRING UnicodeString);
VOID NTAPI     VfTrackRtlFreeAnsiString(PANSI_STRING AnsiString);

/* mdl.c */
PMDL NTAPI VfTrackIoAllocateMdl(PVOID VirtualAddress, ULONG Length, BOOLEAN SecondaryBuffer, BOOLEAN ChargeQuota,
                                PIRP Irp);
PMDL NTAPI VfTrackMmCreateMdl(PMDL MemoryDescriptorList, PVOID Base, SIZE_T Length);
VOID NTAPI VfTrackIoFreeMdl(PMDL Mdl);
PMDL NTAPI VfTrackMmAllocatePagesForMdl(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress,
                                        PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes);
PMDL NTAPI VfTrackMmAllocatePagesForMdlEx(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress,
                                          PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes, MEMORY_CACHING_TYPE CacheType,
                                          ULONG Flags);
VOID NTAPI VfTrackMmFreePagesFromMdl(PMDL MemoryDescriptorList);
VOID NTAPI VfTrackMmProbeAndLockPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation);
VOID NTAPI VfTrackMmUnlockPages(PMDL MemoryDescriptorList);

/* mapping.c */
PVOID NTAPI VfTrackMmMapLockedPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode);
PVOID NTAPI VfTrackMmMapLockedPagesSpecifyCache(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode,
                                                MEMORY_CACHING_TYPE CacheType, PVOID BaseAddress,
                                                ULONG BugCheckOnFailure, MM_PAGE_PRIORITY Priority);
VOID NTAPI  VfTrackMmUnmapLockedPages(PVOID BaseAddress, PMDL MemoryDescriptorList);
PVOID NTAPI VfTrackMmMapIoSpace(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, MEMORY_CACHING_TYPE CacheType);
PVOID NTAPI VfTrackMmMapIoSpaceEx(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, ULONG Protect);
VOID NTAPI  VfTrackMmUnmapIoSpace(PVOID BaseAddress, SIZE_T NumberOfBytes);

/* device.c */
NTSTATUS NTAPI VfTrackIoCreateDevice(PDRIVER_OBJECT DriverObject, ULONG DeviceExtensionSize, PUNICODE_STRING DeviceName,
                                     DEVICE_TYPE DeviceType, ULONG DeviceCharacteristics, BOOLEAN Exclusive,
                                     PDEVICE_OBJECT *DeviceObject);
VOID NTAPI     VfTrackIoDeleteDevice(PDEVICE_OBJECT DeviceObject);
NTSTATUS NTAPI VfTrackIoCreateSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName);
NTSTATUS NTAPI VfTrackIoCreateUnprotectedSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName);
NTSTATUS NTAPI VfTrackIoDeleteSymbolicLink(PUNICODE_STRING SymbolicLinkName);

/* thread.c */
NTSTATUS NTAPI VfTrackPsCreateSystemThread(PHANDLE ThreadHandle, ULONG DesiredAccess,
                                           POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle,
                                           PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine, PVOID StartContext);
NTSTATUS NTAPI VfTrackPsTerminateSystemThread(NTSTATUS ExitStatus);
BOOLEAN NTAPI  VfTrackKeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc);
BOOLEAN NTAPI  VfTrackKeSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG Period, PKDPC Dpc);
BOOLEAN NTAPI  VfTrackKeSetCoalescableTimer(PKTIMER Timer, LARGE_INTEGER DueTime, ULONG Period, ULONG TolerableDelay,
                                            PKDPC Dpc);
BOOLEAN NTAPI  VfTrackKeCancelTimer(PKTIMER Timer);
PIO_WORKITEM NTAPI VfTrackIoAllocateWorkItem(PDEVICE_OBJECT DeviceObject);
VOID NTAPI         VfTrackIoFreeWorkItem(PIO_WORKITEM IoWorkItem);

/* routine.c */
PVOID NTAPI VfTrackMmGetSystemRoutineAddress(PUNICODE_STRING SystemRoutineName);

/* Forget a block of pool, which may be an MDL of IoAllocateMdl. */
void VfForgetBlock(const void *Block);

/* Forget the mapping of an MDL that the call to come removes with it. */
void VfForgetMdlMapping(const MDL *Mdl, USHORT MappedFlag);
