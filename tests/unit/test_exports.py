"""scripts/exports.py: what it makes of a list of exports, and what it refuses."""

import os
import subprocess

import pytest

from test_rtl import ROOT

SCRIPT = os.path.join(ROOT, "scripts", "exports.py")


def run(folder, text):
    """The generator's end, its C file and its module definition file."""
    source, table, definition = (folder / name for name in ("exports.def", "bindings.c", "ntoskrnl.def"))
    source.write_text(text)
    ended = subprocess.run(
        ["/usr/bin/python3", SCRIPT, source, table, definition], capture_output=True, text=True, timeout=30, check=False
    )
    outputs = [path.read_text() if path.exists() else "" for path in (table, definition)]
    return ended, *outputs


def test_rows_hold_all_three_bindings(tmp_path):
    ended, table, definition = run(
        tmp_path,
        "# a comment\nA\nB impl=KiB tracked=VfTrackB\nC tracked=VfTrackC verified=VfVerifyC\nD impl=KiD data\n",
    )
    assert ended.returncode == 0, ended.stderr
    rows = [line.strip() for line in table.splitlines() if line.startswith("    {")]
    assert rows == [
        '{ "A", { LdrpEntry_A, LdrpEntry_A, LdrpEntry_A } },',
        '{ "B", { LdrpEntry_KiB, LdrpEntry_VfTrackB, LdrpEntry_VfTrackB } },',
        '{ "C", { LdrpEntry_C, LdrpEntry_VfTrackC, LdrpEntry_VfVerifyC } },',
        '{ "D", { LdrpEntry_KiD, LdrpEntry_KiD, LdrpEntry_KiD } },',
    ]
    assert definition.split() == "LIBRARY ntoskrnl.exe EXPORTS A B = KiB C D = KiD DATA".split()


def test_a_stub_is_a_function_of_its_own(tmp_path):
    ended, table, definition = run(tmp_path, "A\nB stub\n")
    assert ended.returncode == 0, ended.stderr
    assert [line for line in table.splitlines() if "STUB" in line] == ["LDRP_STUB(B)"]
    assert '{ "B", { LdrpEntry_LdrpStub_B, LdrpEntry_LdrpStub_B, LdrpEntry_LdrpStub_B } },' in table
    assert definition.split() == "LIBRARY ntoskrnl.exe EXPORTS A B = LdrpStub_B".split()


@pytest.mark.parametrize(
    "text,words",
    [
        ("B\nA\n", "2: A does not sort behind B"),
        ("A\nA\n", "2: A does not sort behind A"),
        ("a\nB\n", "2: B does not sort behind a"),
        ("A impl\n", "1: what is 'impl'?"),
        ("A impl=1\n", "1: what is 'impl=1'?"),
        ("A impl=B impl=C\n", "1: what is 'impl=C'?"),
        ("A stub data\n", "1: what is 'stub'?"),
        ("A colour=B\n", "1: what is 'colour=B'?"),
        ("A data tracked=B\n", "1: a variable has no entries"),
        ("A-B\n", "1: 'A-B' is not a name"),
        ("# nothing\n", "1: no exports"),
    ],
)
def test_wrong_lines_are_named(tmp_path, text, words):
    ended, table, _ = run(tmp_path, text)
    assert ended.returncode == 1
    assert ended.stderr == f"{tmp_path}/exports.def:{words}\n"
    assert table == ""
