"""The KTAP reader: what it accepts, and that it lets no missing or contradictory result pass."""

import ktap
import pytest

GOOD = """\
# Pinfold loader
# Pinfold kernel
KTAP version 1
1..2
    KTAP version 1
    # Subtest: mm_pool
    1..2
    ok 1 allocates
# a driver speaks
    ok 2 frees # SKIP no memory
ok 1 mm_pool
    KTAP version 1
    # Subtest: mm_mdl
    1..1
    # mm/mdl.c:10: x == 1: got 2, expected 1
    not ok 1 locks
not ok 2 mm_mdl
"""


def read(text):
    return ktap.parse(text.splitlines())


def test_nested_report():
    report = read(GOOD)
    assert report.complete
    assert [(case.name, case.status) for case in report.cases] == [
        ("mm_pool.allocates", ktap.PASSED),
        ("mm_pool.frees", ktap.SKIPPED),
        ("mm_mdl.locks", ktap.FAILED),
    ]
    assert report.cases[1].reason == "no memory"
    assert report.cases[1].diagnostics == ["a driver speaks"]
    assert report.cases[2].diagnostics == ["mm/mdl.c:10: x == 1: got 2, expected 1"]


def test_flat_report_of_a_driver():
    report = read("KTAP version 1\n1..2\nok 1 load x.sys\nok 2 - leaks x.sys\n")
    assert report.complete
    assert [case.name for case in report.cases] == ["load x.sys", "leaks x.sys"]


def test_empty_plan_is_complete():
    report = read("KTAP version 1\n1..0\n")
    assert report.complete and not report.cases


def test_foreign_lines_are_ignored():
    assert read("noise\n" + GOOD + "*** STOP\nmore noise\n").complete


def test_failed_group_of_passing_members_is_a_case():
    group = "  KTAP version 1\n  # Subtest: s\n  1..1\n  ok 1 a\n"
    report = read(f"KTAP version 1\n1..1\n{group}# 2 pages leaked\nnot ok 1 s\n")
    assert report.complete
    assert [(case.name, case.status) for case in report.cases] == [("s.a", ktap.PASSED), ("s", ktap.FAILED)]
    assert report.cases[1].diagnostics == ["2 pages leaked"]


def test_diagnostic_that_looks_like_a_name_is_none():
    report = read(GOOD.replace("# a driver speaks", "# Subtest: not a name"))
    assert report.complete
    assert report.cases[1].name == "mm_pool.frees"


def test_three_levels():
    report = read(
        "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: a\n    1..1\n        KTAP version 1\n"
        "        # Subtest: b\n        1..1\n        ok 1 c\n    ok 1 b\nok 1 a\n"
    )
    assert report.complete
    assert [case.name for case in report.cases] == ["a.b.c"]


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "no report"),
        ("KTAP version 1\n", "no plan"),
        ("KTAP version 1\n1..2\nok 1 a\n", "planned 2 results and gave 1"),
        ("KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: s\n    1..1\n    ok 1 a\n", "planned 1"),
    ],
)
def test_report_that_breaks_off(text, words):
    report = read(text)
    assert not report.complete and not report.errors
    assert words in " ".join(report.missing)


@pytest.mark.parametrize(
    "text, words",
    [
        ("KTAP version 2\n1..0\n", "version 2"),
        ("1..1\nok 1 a\n", "before any KTAP version"),
        ("KTAP version 1\nok 1 a\n1..1\n", "before the plan"),
        ("KTAP version 1\n1..1\n1..1\nok 1 a\n", "second plan"),
        ("KTAP version 1\n1..1\nok 1 a\nok 2 b\n", "result 2 of a plan of 1"),
        ("KTAP version 1\n1..2\nok 1 a\nok 1 b\n", "result 1 where 2"),
        ("KTAP version 1\n1..2\nok 2 a\nok 3 b\n", "result 2 where 1"),
        ("KTAP version 1\n1..1\nok 1\n", "not a result line"),
        ("KTAP version 1\n1..1\nok a\n", "not a result line"),
        ("KTAP version 1\n1..1\nok 1 \n", "without a name"),
        ("KTAP version 1\n1..1\n  ok 1 a\nok 1 b\n", "where no group is open"),
        ("KTAP version 1\n1..1\nKTAP version 1\n1..1\nok 1 a\n", "inside another one"),
        ("  KTAP version 1\n  1..0\n", "indented"),
        (GOOD.replace("ok 1 mm_pool", "ok 1 mm_other"), "ends as 'mm_other'"),
        (GOOD.replace("not ok 2 mm_mdl", "ok 2 mm_mdl"), "although a member failed"),
        (GOOD.replace("    1..2", "    1..3"), "planned 3 results and gave 2"),
        (GOOD.replace("    1..1\n", ""), "before the plan"),
        (GOOD.replace("ok 1 mm_pool\n", ""), "inside another one"),
    ],
)
def test_wrong_report(text, words):
    report = read(text)
    assert not report.complete
    assert words in " ".join(report.errors)
