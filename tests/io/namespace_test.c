/*
 * Names: directories, symbolic links, what cannot be.
 */
#include "io/namespace.h"

#include "io/object.h"
#include "tests/lib/ktest.h"

static OBP_TYPE(NtType, "Test", NULL);

static UNICODE_STRING NtPath(const WCHAR *Text)
{
    UNICODE_STRING path;
    RtlInitUnicodeString(&path, Text);
    return path;
}

static NTSTATUS NtInsert(PVOID Object, const WCHAR *Text)
{
    UNICODE_STRING path = NtPath(Text);
    return ObpInsertName(Object, &path);
}

/* The status of a lookup; what was found is let go. */
static NTSTATUS NtLookUp(const WCHAR *Text, POBJECT_TYPE Type, OBP_LOOKUP Lookup, PVOID *Found)
{
    UNICODE_STRING path = NtPath(Text);
    *Found = NULL;
    NTSTATUS status = ObpReferenceByName(&path, Type, Lookup, Found);
    if (NT_SUCCESS(status)) {
        ObDereferenceObject(*Found);
    }
    return status;
}

KTEST(io_namespace, named_object_is_found_until_its_name_goes)
{
    PVOID object;
    PVOID found;
    char  name[64];
    KT_ASSERT_STATUS(ObpCreateObject(&NtType, 8, &object), STATUS_SUCCESS);
    KT_ASSERT_STATUS(NtInsert(object, L"\\Device\\KtName"), STATUS_SUCCESS);
    ObpFormatName(object, name, sizeof(name));
    KT_EXPECT_STREQ(name, "\\Device\\KtName");
    KT_EXPECT_STATUS(NtLookUp(L"\\device\\KTNAME", &NtType, ObpFollowLinks, &found), STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG_PTR)found, (ULONG_PTR)object);
    KT_EXPECT_STATUS(NtLookUp(L"\\Device\\KtName", &ObpDeviceType, ObpFollowLinks, &found),
                     STATUS_OBJECT_TYPE_MISMATCH);
    ObpRemoveName(object);
    ObpFormatName(object, name, sizeof(name));
    KT_EXPECT_STREQ(name, "");
    KT_EXPECT_STATUS(NtLookUp(L"\\Device\\KtName", NULL, ObpFollowLinks, &found), STATUS_OBJECT_NAME_NOT_FOUND);
    ObDereferenceObject(object);
}

KTEST(io_namespace, wrong_paths_are_refused)
{
    static const struct {
        const WCHAR *Path;
        NTSTATUS     Status;
    } paths[] = {
        { L"", STATUS_OBJECT_PATH_SYNTAX_BAD },
        { L"KtName", STATUS_OBJECT_PATH_SYNTAX_BAD },
        { L"\\Device\\", STATUS_OBJECT_NAME_INVALID },
        { L"\\\\KtName", STATUS_OBJECT_NAME_INVALID },
        { L"\\NoSuchDirectory\\KtName", STATUS_OBJECT_PATH_NOT_FOUND },
        { L"\\", STATUS_OBJECT_NAME_COLLISION },
        { L"\\Device", STATUS_OBJECT_NAME_COLLISION },
    };
    PVOID object;
    KT_ASSERT_STATUS(ObpCreateObject(&NtType, 8, &object), STATUS_SUCCESS);
    for (ULONG index = 0; index < RTL_NUMBER_OF(paths); index++) {
        KT_EXPECT_STATUS(NtInsert(object, paths[index].Path), paths[index].Status);
    }
    KT_ASSERT_STATUS(NtInsert(object, L"\\KtLeaf"), STATUS_SUCCESS);
    PVOID found;
    KT_EXPECT_STATUS(NtLookUp(L"\\KtLeaf\\Below", NULL, ObpFollowLinks, &found), STATUS_OBJECT_PATH_NOT_FOUND);
    ObpRemoveName(object);
    ObDereferenceObject(object);
}

KTEST(io_namespace, all_spellings_of_a_link_lead_to_its_target)
{
    static const WCHAR *const spellings[] = { L"\\DosDevices\\KtLink", L"\\??\\KtLink", L"\\GLOBAL??\\KtLink" };
    UNICODE_STRING            link = NtPath(spellings[0]);
    UNICODE_STRING            target = NtPath(L"\\Device\\KtTarget");
    PVOID                     object;
    PVOID                     found;
    KT_ASSERT_STATUS(ObpCreateObject(&NtType, 8, &object), STATUS_SUCCESS);
    KT_ASSERT_STATUS(ObpInsertName(object, &target), STATUS_SUCCESS);
    KT_ASSERT_STATUS(IoCreateSymbolicLink(&link, &target), STATUS_SUCCESS);
    for (ULONG index = 0; index < RTL_NUMBER_OF(spellings); index++) {
        KT_EXPECT_STATUS(NtLookUp(spellings[index], &NtType, ObpFollowLinks, &found), STATUS_SUCCESS);
        KT_EXPECT_EQ((ULONG_PTR)found, (ULONG_PTR)object);
        KT_EXPECT_STATUS(NtLookUp(spellings[index], &ObpSymbolicLinkType, ObpOpenLink, &found), STATUS_SUCCESS);
    }
    KT_EXPECT_STATUS(IoCreateSymbolicLink(&link, &target), STATUS_OBJECT_NAME_COLLISION);
    KT_EXPECT_STATUS(IoDeleteSymbolicLink(&link), STATUS_SUCCESS);
    KT_EXPECT_STATUS(IoDeleteSymbolicLink(&link), STATUS_OBJECT_NAME_NOT_FOUND);
    ObpRemoveName(object);
    ObDereferenceObject(object);
}

KTEST(io_namespace, a_circle_of_links_ends)
{
    UNICODE_STRING first = NtPath(L"\\??\\KtFirst");
    UNICODE_STRING second = NtPath(L"\\??\\KtSecond");
    PVOID          found;
    KT_ASSERT_STATUS(IoCreateSymbolicLink(&first, &second), STATUS_SUCCESS);
    KT_EXPECT_STATUS(IoCreateSymbolicLink(&second, &first), STATUS_SUCCESS);
    KT_EXPECT_STATUS(NtLookUp(L"\\??\\KtFirst", NULL, ObpFollowLinks, &found), STATUS_OBJECT_PATH_NOT_FOUND);
    KT_EXPECT_STATUS(IoDeleteSymbolicLink(&second), STATUS_SUCCESS);
    KT_EXPECT_STATUS(IoDeleteSymbolicLink(&first), STATUS_SUCCESS);
}
