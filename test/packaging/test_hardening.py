# SPDX-License-Identifier: MIT
"""The programs have the protections of compiler and linker against memory errors: see cmake/EpsToolchain.cmake."""

import functools
import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BIN = pathlib.Path(os.environ.get("EPS_BIN", ROOT / "build/release/src/app"))
programs = pytest.mark.parametrize("program", ["eps-client", "eps-server", "eps"])


def needs(tool):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


@functools.cache
def elf(program, *what):
    needs("readelf")
    command = ["readelf", "--wide", *what, BIN / program]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@programs
def test_it_is_loaded_at_random_addresses(program):
    assert re.search(r"\(FLAGS_1\).*\bPIE\b", elf(program, "--dynamic"))


@programs
def test_relocations_are_read_only(program):
    assert "GNU_RELRO" in elf(program, "--segments")
    assert re.search(r"\((FLAGS|FLAGS_1)\).*\b(BIND_)?NOW\b", elf(program, "--dynamic"))


@programs
def test_no_stack_is_executable(program):
    flags = re.search(r"GNU_STACK +(?:0x\w+ +){5}([RWE ]+?) +0x", elf(program, "--segments")).group(1)
    assert "E" not in flags


@programs
def test_stacks_and_the_c_library_are_checked(program):
    imported = re.findall(r"UND (\w+)", elf(program, "--dyn-syms"))
    assert "__stack_chk_fail" in imported
    assert [name for name in imported if name.startswith("__") and name.endswith("_chk")]


@programs
def test_indirect_calls_reach_only_function_entries(program):
    if "X86-64" not in elf(program, "--file-header"):
        pytest.skip("endbr64 is of x86-64")
    # Each begins with endbr64. Without the flag there are only a handful, from the C library's objects.
    assert (BIN / program).read_bytes().count(b"\xf3\x0f\x1e\xfa") > 500


@programs
def test_it_is_the_same_wherever_it_is_built(program):
    assert bytes(ROOT) not in (BIN / program).read_bytes(), "a path of the source tree; see also tools/reproduce"


@programs
def test_debians_check_finds_nothing_missing(program):
    needs("hardening-check")
    # The note that all of a program has control-flow protection needs that of the C library's crt1.o, which Debian 12
    # compiles without.
    command = ["hardening-check", "--nocfprotection", BIN / program]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    assert result.returncode == 0, result.stdout
