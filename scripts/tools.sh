#!/bin/sh
# tools.sh SET...: check that the tools of each set are there, and install what is missing with apt-get.
#
# Sets: build (everything that compiles), run (build and the emulator), debug (run and gdb), test (debug and the test
# tools), lint, image, ci (test and lint).
# NO_INSTALL=1 prints the command instead of running it and fails. Plain POSIX sh: a minimal machine has no python3.
set -eu

missing=
wanted= # tools whose packages are named for LLVM's version, which is known after apt-get update

# need PACKAGE TEST...: PACKAGE is missing unless the test command succeeds.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 && return 0
    case " $missing " in *" $package "*) return 0 ;; esac
    missing="$missing $package"
}

# command NAME in PACKAGE
tool() {
    need "$2" command -v "$1"
}

build_set() {
    tool clang clang
    tool nasm nasm
    tool gcc gcc
    tool ld binutils
    tool mcopy mtools
    tool x86_64-w64-mingw32-ld binutils-mingw-w64-x86-64
    need libc6-dev test -e /usr/include/stdio.h
    need gnu-efi test -e /usr/include/efi/efi.h
    need mingw-w64-common test -e /usr/share/mingw-w64/include/ddk/wdm.h
    need mingw-w64-x86-64-dev test -e /usr/x86_64-w64-mingw32/lib/libntoskrnl.a
    need python3 test -x /usr/bin/python3
}

run_set() {
    build_set
    tool qemu-system-x86_64 qemu-system-x86
    need ovmf has_firmware
}

debug_set() {
    run_set
    tool gdb gdb
}

test_set() {
    debug_set
    tool x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64-win32
    need python3-pytest /usr/bin/python3 -c 'import pytest'
    has_filecheck || wanted="$wanted filecheck"
    has_sanitizers || wanted="$wanted sanitizers"
}

lint_set() {
    build_set
    tool clang-format clang-format
    tool clang-tidy clang-tidy
    tool cppcheck cppcheck
}

image_set() {
    build_set
    tool sgdisk gdisk
}

ci_set() {
    test_set
    lint_set
}

has_firmware() {
    test -e /usr/share/OVMF/OVMF_CODE_4M.fd || test -e /usr/share/OVMF/OVMF_CODE.fd
}

has_filecheck() {
    command -v FileCheck >/dev/null 2>&1 && return 0
    for path in /usr/bin/FileCheck-*; do
        test -x "$path" && return 0
    done
    return 1
}

# clang prints the whole path of a library that it finds, and the bare name of one that it does not.
has_sanitizers() {
    test -e "$(clang -print-file-name=libclang_rt.asan-x86_64.a 2>/dev/null)"
}

# The version of the clang that is installed, or that apt would install.
llvm_version() {
    version=$(clang --version 2>/dev/null | sed -n 's/.*clang version \([0-9][0-9]*\).*/\1/p' | head -n 1)
    if [ -z "$version" ]; then
        version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9][0-9]*\)$/\1/p' | head -n 1)
    fi
    echo "${version:-14}"
}

for set in "$@"; do
    case $set in
        build | run | debug | test | lint | image | ci) "${set}_set" ;;
        *)
            echo "tools.sh: there is no set '$set': build, run, debug, test, lint, image, ci" >&2
            exit 2
            ;;
    esac
done
test -n "$missing$wanted" || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "tools.sh: these Debian packages are missing, and there is no apt-get to install them:$missing$wanted" >&2
    exit 2
fi

# sudo may ask for a password where someone sees the question.
if [ -t 2 ]; then
    watched=yes
else
    watched=no
fi

root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ $watched = yes ]; then
        sudo -p 'Password of %p, to install Debian packages: ' "$@"
    else
        sudo -n "$@"
    fi
}

# The lists first: on a fresh machine nothing is known, LLVM's version least of all.
if [ -z "${NO_INSTALL:-}" ]; then
    if ! root true 2>/dev/null; then
        can_install=no
    else
        can_install=yes
        root apt-get update
    fi
fi
case $wanted in *filecheck*) missing="$missing llvm-$(llvm_version)-tools" ;; esac
case $wanted in *sanitizers*) missing="$missing libclang-rt-$(llvm_version)-dev" ;; esac

install="apt-get install -y --no-install-recommends$missing"
echo "Missing packages:$missing"
if [ -n "${NO_INSTALL:-}" ]; then
    echo "Install them as root with: apt-get update && $install"
    exit 2
fi
if [ "$can_install" = no ]; then
    echo "tools.sh: not root, and sudo is missing or asks for a password. As root: apt-get update && $install" >&2
    exit 2
fi
echo "+ $install"
# shellcheck disable=SC2086  # a list of words
root env DEBIAN_FRONTEND=noninteractive $install
