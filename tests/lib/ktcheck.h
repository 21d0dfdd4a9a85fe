/*
 * The checks of tests. KT_EXPECT_... reports a failure and goes on, KT_ASSERT_... reports it and returns, so it stands
 * only in functions that return nothing. Arguments are evaluated once; the actual value comes first. Checks may fail
 * on any CPU at any IRQL.
 */
#pragma once

#include "kernel/ddk.h"
#include "kernel/rtl/print.h"

/* The running test's state, for runners. */
typedef struct _KT_STATE {
    volatile LONG FailureCount;
    const char   *SkipReason; /* NULL: not skipped */
} KT_STATE;

extern KT_STATE KtState;

/* A failure of the running test at a place in its source. */
void KtReport(const char *File, ULONG Line, const char *Format, ...) RTLP_FORMAT_CHECK(3, 4);

/* What stands behind the macros: report values, or check and report. The checks answer whether all was well. */
void KtReportValues(const char *File, ULONG Line, const char *Text, ULONG64 Actual, const char *Mark, ULONG64 Expected);
bool KtCheckStatus(const char *File, ULONG Line, const char *Text, NTSTATUS Actual, NTSTATUS Expected);
bool KtCheckString(const char *File, ULONG Line, const char *Text, const char *Actual, const char *Expected);
bool KtCheckMemory(const char *File, ULONG Line, const char *Text, const void *Actual, const void *Expected,
                   SIZE_T Bytes);
void KtSkip(const char *Why);

/* Whether Name, as "suite.name", or its suite alone matches one of the comma-separated Globs (* and ?). */
bool KtMatches(const char *Globs, const char *Suite, const char *Name);

/* What the two families do after a failure. */
#define KT_STAY_  (void)0
#define KT_LEAVE_ return

/* Numbers and pointers compare by value: a signed -1 and 0xFFFFFFFF are different. */
#define KT_COMPARE_(Actual, Operator, Expected, Text, Mark, OnFailure)                                \
    do {                                                                                              \
        __int128 ktActual_ = (__int128)(Actual);                                                      \
        __int128 ktExpected_ = (__int128)(Expected);                                                  \
        if (!(ktActual_ Operator ktExpected_)) {                                                      \
            KtReportValues(__FILE__, __LINE__, Text, (ULONG64)ktActual_, Mark, (ULONG64)ktExpected_); \
            OnFailure;                                                                                \
        }                                                                                             \
    } while (0)

#define KT_CONDITION_(Condition, Text, Got, Expected, OnFailure)                          \
    do {                                                                                  \
        if (!(Condition)) {                                                               \
            KtReport(__FILE__, __LINE__, "%s: got %s, expected %s", Text, Got, Expected); \
            OnFailure;                                                                    \
        }                                                                                 \
    } while (0)

#define KT_CALL_(Check, Text, OnFailure, ...)                \
    do {                                                     \
        if (!Check(__FILE__, __LINE__, Text, __VA_ARGS__)) { \
            OnFailure;                                       \
        }                                                    \
    } while (0)

#define KT_EXPECT_EQ(Got, Want)           KT_COMPARE_(Got, ==, Want, #Got " == " #Want, "", KT_STAY_)
#define KT_EXPECT_NE(Got, Want)           KT_COMPARE_(Got, !=, Want, #Got " != " #Want, "not ", KT_STAY_)
#define KT_EXPECT_LT(Got, Want)           KT_COMPARE_(Got, <, Want, #Got " < " #Want, "< ", KT_STAY_)
#define KT_EXPECT_LE(Got, Want)           KT_COMPARE_(Got, <=, Want, #Got " <= " #Want, "<= ", KT_STAY_)
#define KT_EXPECT_GT(Got, Want)           KT_COMPARE_(Got, >, Want, #Got " > " #Want, "> ", KT_STAY_)
#define KT_EXPECT_GE(Got, Want)           KT_COMPARE_(Got, >=, Want, #Got " >= " #Want, ">= ", KT_STAY_)
#define KT_EXPECT_TRUE(Condition)         KT_CONDITION_(Condition, #Condition, "false", "true", KT_STAY_)
#define KT_EXPECT_FALSE(Condition)        KT_CONDITION_(!(Condition), #Condition, "true", "false", KT_STAY_)
#define KT_EXPECT_NULL(Pointer)           KT_COMPARE_(Pointer, ==, 0, #Pointer " == NULL", "", KT_STAY_)
#define KT_EXPECT_NOT_NULL(Pointer)       KT_CONDITION_((Pointer) != NULL, #Pointer, "NULL", "a pointer", KT_STAY_)
#define KT_EXPECT_STATUS(Got, Want)       KT_CALL_(KtCheckStatus, #Got, KT_STAY_, Got, Want)
#define KT_EXPECT_STREQ(Got, Want)        KT_CALL_(KtCheckString, #Got, KT_STAY_, Got, Want)
#define KT_EXPECT_MEMEQ(Got, Want, Bytes) KT_CALL_(KtCheckMemory, #Got, KT_STAY_, Got, Want, Bytes)

#define KT_ASSERT_EQ(Got, Want)           KT_COMPARE_(Got, ==, Want, #Got " == " #Want, "", KT_LEAVE_)
#define KT_ASSERT_NE(Got, Want)           KT_COMPARE_(Got, !=, Want, #Got " != " #Want, "not ", KT_LEAVE_)
#define KT_ASSERT_LT(Got, Want)           KT_COMPARE_(Got, <, Want, #Got " < " #Want, "< ", KT_LEAVE_)
#define KT_ASSERT_LE(Got, Want)           KT_COMPARE_(Got, <=, Want, #Got " <= " #Want, "<= ", KT_LEAVE_)
#define KT_ASSERT_GT(Got, Want)           KT_COMPARE_(Got, >, Want, #Got " > " #Want, "> ", KT_LEAVE_)
#define KT_ASSERT_GE(Got, Want)           KT_COMPARE_(Got, >=, Want, #Got " >= " #Want, ">= ", KT_LEAVE_)
#define KT_ASSERT_TRUE(Condition)         KT_CONDITION_(Condition, #Condition, "false", "true", KT_LEAVE_)
#define KT_ASSERT_FALSE(Condition)        KT_CONDITION_(!(Condition), #Condition, "true", "false", KT_LEAVE_)
#define KT_ASSERT_NULL(Pointer)           KT_COMPARE_(Pointer, ==, 0, #Pointer " == NULL", "", KT_LEAVE_)
#define KT_ASSERT_NOT_NULL(Pointer)       KT_CONDITION_((Pointer) != NULL, #Pointer, "NULL", "a pointer", KT_LEAVE_)
#define KT_ASSERT_STATUS(Got, Want)       KT_CALL_(KtCheckStatus, #Got, KT_LEAVE_, Got, Want)
#define KT_ASSERT_STREQ(Got, Want)        KT_CALL_(KtCheckString, #Got, KT_LEAVE_, Got, Want)
#define KT_ASSERT_MEMEQ(Got, Want, Bytes) KT_CALL_(KtCheckMemory, #Got, KT_LEAVE_, Got, Want, Bytes)

/* Leave the test as one that cannot run here; Why is a literal. */
#define KT_SKIP(Why) \
    do {             \
        KtSkip(Why); \
        return;      \
    } while (0)
