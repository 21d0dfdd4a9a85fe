"""The checks of `make lint` that are ours: each rule is seen to fail."""

import importlib.util
import os

import conftest
import pytest


def _load(name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(conftest.ROOT, "scripts", name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


checklayers = _load("checklayers")
checkstyle = _load("checkstyle")

LONG_BODY = "int f(void)\n{\n" + "    f();\n" * 61 + "}\n"


@pytest.fixture
def style(tmp_path, monkeypatch):
    monkeypatch.setattr(checkstyle, "ROOT", str(tmp_path))

    def check(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        checker = checkstyle.Checker()
        checker.check(name)
        checker.finish()
        return checker

    return check


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("a.c", "/* a */\n\tint x;\n", "a tab"),
        ("a.c", "/* a */\nint x; \n", "blanks"),
        ("a.c", "/* a */", "newline"),
        ("a.c", "/* a */\n\n", "newline"),
        ("a.c", "/* " + "a" * 120 + " */\n", "columns"),
        ("a.c", "/* a */\nint x; /* TO" + "DO: y */\n", "open end"),
        ("a.c", "int x;\n", "no opening comment"),
        ("a.c", "/* a */\nunsigned " + "long x;\n", "another width"),
        ("a.c", "/* a */\n#if 0\n#endif\n", "#if 0"),
        ("a.c", "/* a */\n" + LONG_BODY, "f has 61 lines"),
        ("a.c", "/* a */\n" + "int x;\n" * 600, "601 lines, 600"),
        ("a.h", "/* a */\nint x;\n", "#pragma once"),
        ("a.h", "/* a */\n#pragma once\n" + "int x;\n" * 149, "151 lines, 150"),
        ("a.asm", "; a\n" + "nop\n" * 151, "151 lines of code, 150"),
        ("a.py", "x = 1\n" * 601, "601 lines, 600"),
    ],
)
def test_style_rule(style, name, text, words):
    assert words in " ".join(style(name, text).errors)


def test_style_lets_words_in_comments_and_strings_pass(style):
    text = '/* as long as it takes */\nconst char *x = "so long"; // long ago\n'
    assert style("a.c", text).errors == []


def test_own_header_comes_first(style, tmp_path):
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm" / "a.h").write_text("/* a */\n#pragma once\n")
    wrong = '/* a */\n#include "mm/b.h"\n#include "mm/a.h"\n'
    assert "before its own header" in " ".join(style("mm/a.c", wrong).errors)
    assert style("mm/a.c", '/* a */\n#include "mm/a.h"\n').errors == []


def test_reason_allows_a_long_function(style):
    checker = style("a.c", "/* a */\n\n/* long: one table */\n" + LONG_BODY)
    assert checker.errors == []
    assert checker.allowed == ["a.c:4: f, 61 lines: one table"]


def test_layers_point_down(tmp_path, monkeypatch):
    monkeypatch.setattr(checklayers, "ROOT", str(tmp_path))
    files = {
        "mm/pte.h": "",
        "mm/pool.h": '#include "mm/pte.h"\n',
        "mm/pte.c": '#include "pte.h"\n#include "mm/pool.h"\n',
        "mm/stray.c": "",
        "kernel/ke/trap.h": "call AccessFault\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    header = "kernel/ke/trap.h\n"
    text = f"# a comment\nke kernel/*\nraw mm/pte*\nowned mm/po*\nupcall AccessFault {header}upcall X {header}"
    errors = list(checklayers.check(checklayers.Layers(text)))
    assert errors == [
        "mm/pte.c:2: raw includes mm/pool.h of owned, a layer above",
        "mm/stray.c: in no layer of scripts/layers.txt",
        "scripts/layers.txt: upcall X does not stand in kernel/ke/trap.h",
    ]


def test_most_exact_pattern_decides():
    layers = checklayers.Layers("low mm/pte*\nhigh mm/*\n")
    assert layers.of("mm/pte.c") == 0 and layers.of("mm/pool.c") == 1 and layers.of("io/irp.c") is None
