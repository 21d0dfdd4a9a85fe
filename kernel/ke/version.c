/*
 * Who the kernel says it is. No debugger is attached to it in NT's sense: what stops it is QEMU's stub, which it does
 * not see.
 */
#include "kernel/ke/version.h"

#define KI_PLATFORM_WIN32NT 2 /* VER_PLATFORM_WIN32_NT: ns-wdm-_osversioninfoexw.md */

/* What drivers import; the kernel's own code has no use for them under the driver kit's names. */
BOOLEAN KiExportKdDebuggerEnabled = FALSE;
BOOLEAN KiExportKdDebuggerNotPresent = TRUE;

/* => STATUS_SUCCESS. Both structures are filled; the caller's dwOSVersionInfoSize says which it is. */
NTSTATUS NTAPI RtlGetVersion(PRTL_OSVERSIONINFOW lpVersionInformation)
{
    ULONG byteCount = lpVersionInformation->dwOSVersionInfoSize;
    RtlZeroMemory(lpVersionInformation, sizeof(*lpVersionInformation));
    lpVersionInformation->dwOSVersionInfoSize = byteCount;
    lpVersionInformation->dwMajorVersion = KI_MAJOR_VERSION;
    lpVersionInformation->dwMinorVersion = KI_MINOR_VERSION;
    lpVersionInformation->dwBuildNumber = KI_BUILD_NUMBER;
    lpVersionInformation->dwPlatformId = KI_PLATFORM_WIN32NT;
    if (byteCount == sizeof(RTL_OSVERSIONINFOEXW)) {
        RTL_OSVERSIONINFOEXW *extended = (RTL_OSVERSIONINFOEXW *)lpVersionInformation;
        extended->wServicePackMajor = 0;
        extended->wServicePackMinor = 0;
        extended->wSuiteMask = 0;
        extended->wProductType = NtProductWinNt;
        extended->wReserved = 0;
    }
    return STATUS_SUCCESS;
}

/* => FALSE: a free build. */
BOOLEAN NTAPI PsGetVersion(PULONG MajorVersion, PULONG MinorVersion, PULONG BuildNumber, PUNICODE_STRING CSDVersion)
{
    if (MajorVersion != NULL) {
        *MajorVersion = KI_MAJOR_VERSION;
    }
    if (MinorVersion != NULL) {
        *MinorVersion = KI_MINOR_VERSION;
    }
    if (BuildNumber != NULL) {
        *BuildNumber = KI_BUILD_NUMBER;
    }
    if (CSDVersion != NULL) {
        *CSDVersion = (UNICODE_STRING){ 0 };
    }
    return FALSE;
}

BOOLEAN NTAPI ExIsProcessorFeaturePresent(ULONG ProcessorFeature)
{
    return ProcessorFeature < PROCESSOR_FEATURE_MAX && SharedUserData->ProcessorFeatures[ProcessorFeature];
}

/* System time is UTC here and has no zone, so local time is the same. */
VOID NTAPI ExSystemTimeToLocalTime(PLARGE_INTEGER SystemTime, PLARGE_INTEGER LocalTime)
{
    *LocalTime = *SystemTime;
}

VOID NTAPI ExLocalTimeToSystemTime(PLARGE_INTEGER LocalTime, PLARGE_INTEGER SystemTime)
{
    *SystemTime = *LocalTime;
}
