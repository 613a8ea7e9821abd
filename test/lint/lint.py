#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""lint.py RULE [--root DIR]: checks one lint rule for the tracked files; prints the violations and exits with 1."""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

import layers

WARN_LINES, MAX_LINES = 400, 600


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.paths = self._tracked()

    def _tracked(self):
        git = ["git", "-c", "safe.directory=*", "-C", str(self.root), "ls-files", "-z"]
        try:
            names = subprocess.run(git, check=True, capture_output=True).stdout.decode().split("\0")
        except (OSError, subprocess.CalledProcessError):  # an unpacked archive
            names = [str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file()]
            names = [n for n in names if not n.startswith(("build", ".git/"))]
        return sorted(n for n in names if n and (self.root / n).is_file())

    def text(self, path):
        try:
            return (self.root / path).read_text()
        except UnicodeDecodeError:
            return ""

    def sources(self, top="src/"):
        return [p for p in self.paths if p.startswith(top) and p.endswith((".h", ".cc"))]

    def cxx(self):
        return [p for p in self.paths if p.endswith((".h", ".cc"))]

    def scripts(self, interpreter, suffixes):
        def is_one(path):
            return path.endswith(suffixes) or re.match(rf"#!.*\b{interpreter}\b", self.text(path).split("\n", 1)[0])
        return [p for p in self.paths if is_one(p)]

    def shell_scripts(self):
        return self.scripts("(ba|da)?sh", (".sh", ".bash"))

    def python(self):
        return self.scripts("python3", (".py",))


def room_of(path):
    parts = path.split("/")
    return parts[1] if len(parts) == 3 and parts[0] == "src" else None


def is_test(path):
    return path.endswith(("_test.cc", "_fixture.h"))


def quoted_includes(text):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', text, re.M)


def angle_includes(text):
    return re.findall(r"^\s*#\s*include\s+<([^>]+)>", text, re.M)


def keep_lines(match):
    """For re.sub: what is left of a text that is taken out, so that the numbers of lines stay."""
    return "\n" * match.group().count("\n")


def without_comments(text):
    return re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", keep_lines, text, flags=re.S))


def matches(text, pattern):
    """(line number, line) of each line that matches."""
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(pattern, line):
            yield number, line.strip()


def room_includes(tree, path):
    """(header, room) of each include of a room of src/."""
    known = set.union(*layers.ROWS)
    for header in quoted_includes(tree.text(path)):
        room, _, rest = header.partition("/")
        if rest and room in known:
            yield header, room


def find_cycle(graph):
    done, path = set(), []

    def visit(node):
        if node in path:
            return [*path[path.index(node):], node]
        if node in done:
            return None
        path.append(node)
        for other in sorted(graph.get(node, ())):
            if cycle := visit(other):
                return cycle
        done.add(path.pop())
        return None

    return next((cycle for node in sorted(graph) if (cycle := visit(node))), None)


# The rules. Each yields one line per violation.


def rule_layers(tree):
    """A room includes only lower rows."""
    known = set.union(*layers.ROWS)
    for path in tree.sources():
        room = room_of(path)
        if room not in known:
            yield f"{path}: not in a room of the layer table"
            continue
        for header, other in room_includes(tree, path):
            if not layers.may_include(room, other):
                yield f"{path}: {room} may not include {header}"


def rule_uses(tree):
    """USES in a room's CMakeLists.txt names allowed rooms, and every room that its sources include."""
    for path in tree.paths:
        room = room_of(path)
        if not path.endswith("/CMakeLists.txt") or room not in set.union(*layers.ROWS):
            continue
        call = re.search(r"eps_room\(([^)]*)\)", re.sub(r"#[^\n]*", "", tree.text(path)))
        if not call:
            continue
        words = re.split(r"\b(SOURCES|USES|LINK|TESTS|TEST_LINK)\b", call.group(1))
        uses = set(words[words.index("USES") + 1].split()) if "USES" in words else set()
        for other in sorted(uses):
            if other not in set.union(*layers.ROWS) or not layers.may_include(room, other):
                yield f"{path}: {room} may not use {other}"
        for source in tree.sources(f"src/{room}/"):
            for header, other in room_includes(tree, source):
                if not is_test(source) and other != room and other not in uses:
                    yield f"{source}: includes {header}, but {path} does not say USES {other}"


def rule_headers(tree):
    """The core includes its own headers and the C++ library without I/O; exceptions are listed."""
    def excused(path, header):
        return any((path.startswith(p) if p.endswith("/") else path == p)
                   and (header.startswith(h) if h.endswith("/") else header == h)
                   for p, h in layers.HEADER_EXCEPTIONS)

    for path in tree.sources():
        if room_of(path) not in layers.CORE or is_test(path):
            continue
        text = tree.text(path)
        for header in angle_includes(text):
            good = header in layers.STANDARD and header not in layers.NOT_IN_CORE
            if not good and not excused(path, header):
                yield f"{path}: <{header}> does not belong in the core"
        for header in quoted_includes(text):
            if "/" not in header and not header.endswith(".pb.h"):
                yield f'{path}: write "{room_of(path)}/{header}"'


def rule_clock(tree):
    """The time is an argument: only os and runtime read the clock."""
    pattern = (r"_clock::now\b|\bclock_gettime\b|\bgettimeofday\b|\btimespec_get\b|(?<![\w.>])(?:std::|::)?time\s*\("
               r"|\b(?:local|gm)time(?:_r)?\s*\(")
    for path in tree.sources():
        if room_of(path) in layers.CLOCK_ROOMS or is_test(path):
            continue
        for number, line in matches(without_comments(tree.text(path)), pattern):
            yield f"{path}:{number}: reads the clock: {line}"


def rule_steps(tree):
    """No component of node/ sends through a port or publishes a table: a step returns both."""
    for path in tree.sources():
        if room_of(path) != "node" or is_test(path) or path in layers.STEP_EXCEPTIONS:
            continue
        pattern = r"\bUdpPort\b|\bTapPort\b|ports/udp\.h|\bPublished\w*\b"
        for number, line in matches(without_comments(tree.text(path)), pattern):
            yield f"{path}:{number}: {line}"


def rule_protobuf(tree):
    """Only sources of wire/ use protobuf, and its headers named *_proto.h."""
    for path in tree.cxx():
        if path.startswith("src/wire/") and path.endswith((".cc", "_proto.h")):
            continue
        for number, line in matches(without_comments(tree.text(path)), r"google/protobuf|google::protobuf|\.pb\.h"):
            yield f"{path}:{number}: {line}"


def rule_cycles(tree):
    """Neither rooms nor headers include each other in a circle."""
    rooms, headers = {}, {}
    for path in tree.sources():
        for header, room in room_includes(tree, path):
            headers.setdefault(path, set()).add("src/" + header)
            if not is_test(path) and room != room_of(path):
                rooms.setdefault(room_of(path), set()).add(room)
    for graph in rooms, headers:
        if cycle := find_cycle(graph):
            yield " -> ".join(cycle)


def rule_shape(tree):
    """Headers have a guard, sources include their own header first, and no file is too long to read."""
    for path in tree.cxx():
        text = tree.text(path)
        for number, line in matches(text, r"^.{121}"):
            yield f"{path}:{number}: {len(line)} columns (120 at most)"
        if path.endswith(".h") and not re.search(r"^#pragma once$", text, re.M):
            yield f"{path}: no #pragma once"
        own = path.removesuffix(".cc") + ".h"
        if path.startswith("src/") and path.endswith(".cc") and own in tree.paths:
            first = (re.findall(r'^#include\s+["<]([^">]+)', text, re.M) or [""])[0]
            if "src/" + first != own:
                yield f"{path}: includes {first} before its own header"
    for path in [p for p in tree.paths if p.endswith((".h", ".cc", ".py", ".proto"))] + tree.shell_scripts():
        lines = tree.text(path).count("\n")
        if lines > MAX_LINES:
            yield f"{path}: {lines} lines; split it ({MAX_LINES} at most)"
        elif lines > WARN_LINES:
            print(f"warning: {path}: {lines} lines (aim at {WARN_LINES})", file=sys.stderr)


def rule_words(tree):
    """Tracked files contain nothing unfinished, and nothing that is true on only one computer."""
    unfinished = r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK|WI" r"P)\b|DO NOT (COM" r"MIT|MER" r"GE)|<{7} |>{7} "
    private = r"(?<![\w.}])/(wor" r"k|roo" r"t)/|py" r"env|(?i:\bissue #?\d)"
    for path in tree.paths:
        for number, line in matches(tree.text(path), f"{unfinished}|{private}"):
            yield f"{path}:{number}: {line[:120]}"


def rule_hosts(tree):
    """A build uses the package mirrors that the computer is configured with: no file names one."""
    names = ["deb.deb" "ian.org", "security.deb" "ian.org", "registry.np" "mjs", "py" "pi.org", "pythonho" "sted.org",
             "crat" "es.io", "proxy.gol" "ang", "conan" ".io", "archive.ub" "untu", "snapshot.deb" "ian", "ghc" "r.io"]
    for path in tree.paths:
        for number, line in matches(tree.text(path), "|".join(map(re.escape, names))):
            yield f"{path}:{number}: {line[:120]}"


def without_code_blocks(text):
    """Markdown without its fenced and indented code, line by line."""
    return re.sub(r"^ {4}.*", "", re.sub(r"(?s:^```.*?^```$)", keep_lines, text, flags=re.M), flags=re.M)


def anchors(text):
    """{anchor as GitHub makes it: as mkdocs makes it} of each heading."""
    found = {}
    for heading in re.findall(r"^#+ +(.*?) *$", without_code_blocks(text), re.M):
        words = re.sub(r"[^\w\s-]", "", re.sub(r"\]\([^)]*\)", "", heading)).strip().lower()
        found[words.replace(" ", "-")] = re.sub(r"[-\s]+", "-", words)
    return found


def broken_link(tree, path, link):
    """Why a link of a Markdown file is broken; None if it is not."""
    name, _, anchor = link.partition("#")
    target = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
    if target not in tree.paths and not (tree.root / target).is_dir():
        return "no such file"
    if path.startswith("docs/") and not target.startswith("docs/"):
        return "leads out of docs/, so not on the site"
    if anchor and anchors(tree.text(target)).get(anchor) != anchor:
        return "no such heading"
    return None


def rule_links(tree):
    """Links of the documentation lead to files and headings, and the nav of mkdocs.yml has each page once."""
    for path in [p for p in tree.paths if p.endswith(".md")]:
        for number, line in enumerate(without_code_blocks(tree.text(path)).split("\n"), 1):
            for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
                why = None if re.match(r"https?://|mailto:", link) else broken_link(tree, path, link)
                if why:
                    yield f"{path}:{number}: {link}: {why}"
    if "mkdocs.yml" in tree.paths:
        nav = re.findall(r"^ +- .*: (\S+\.md)$", tree.text("mkdocs.yml"), re.M)
        pages = [p.removeprefix("docs/") for p in tree.paths if re.fullmatch(r"docs/.*\.md", p)]
        for page in sorted(set(nav + pages)):
            if nav.count(page) != 1 or page not in pages:
                yield f"mkdocs.yml: {page}: {nav.count(page)} times in nav, {pages.count(page)} times in docs/"


def rule_licence(tree):
    """Every source, script and test names its licence in its first three lines."""
    licence = "SPDX-License-" "Identifier: MIT"
    listed = [p for p in tree.paths if p.endswith((".proto", ".cmake", ".fish", ".zsh", "CMakeLists.txt"))]
    for path in sorted({*tree.cxx(), *tree.shell_scripts(), *tree.python(), *listed}):
        if licence not in "".join(tree.text(path).splitlines(keepends=True)[:3]):
            yield f"{path}: write {licence} at the top"


def run_tool(tree, command, paths):
    if paths:
        done = subprocess.run(command + paths, cwd=tree.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True)
        if done.returncode:
            yield done.stdout.rstrip()


def rule_format(tree):
    """clang-format has nothing to change. Fix with: git ls-files '*.h' '*.cc' | xargs clang-format -i"""
    yield from run_tool(tree, ["clang-format", "--dry-run", "-Werror", "--ferror-limit=1"], tree.cxx())


def rule_shell(tree):
    """shellcheck finds nothing."""
    yield from run_tool(tree, ["shellcheck"], tree.shell_scripts())


def rule_python(tree):
    """pyflakes finds no unused or unknown name, and ruff finds nothing where it is installed."""
    yield from run_tool(tree, ["pyflakes3"], tree.python())
    if shutil.which("ruff"):
        yield from run_tool(tree, ["ruff", "check", "--quiet", "--no-cache"], tree.python())


RULES = {name.removeprefix("rule_"): rule for name, rule in list(globals().items()) if name.startswith("rule_")}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rule", choices=sorted(RULES))
    parser.add_argument("--root", default=pathlib.Path(__file__).parents[2])
    arguments = parser.parse_args()
    rule, tree = RULES[arguments.rule], Tree(arguments.root)
    broken = list(rule(tree))
    for line in broken:
        print(line)
    if broken:
        sys.exit(f"\n{arguments.rule}: {rule.__doc__}")


if __name__ == "__main__":
    main()
