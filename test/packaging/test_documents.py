# SPDX-License-Identifier: MIT
"""Man pages and completion agree with --help: every option with its default, every command, and nothing else. The
documentation quotes only existing commands and options."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BIN = pathlib.Path(os.environ.get("EPS_BIN", ROOT / "build/release/src/app"))
PACKAGING = ROOT / "packaging"
PAGES = {
    BIN / "eps-client": "eps-client.8",
    BIN / "eps-server": "eps-server.8",
    BIN / "eps": "eps.1",
    PACKAGING / "eps-configure.sh": "eps-configure.sh.8",
}
COMMAND_LINE_ONLY = {"--conf", "--help", "--version"}
programs = pytest.mark.parametrize("program", PAGES, ids=lambda path: path.name)


def help_of(program):
    return subprocess.run([program, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout


def options_of_help(program):
    """{"--port": "43439", "--stats": None, ...}: each option with its default."""
    options = {}
    for line in re.sub(r"\n {20,}", "  ", help_of(program)).splitlines():
        # The daemons show a default next to the option, the others at the end of the description.
        if found := re.match(r" +(--[a-z-]+).*?(?:\(=([^)]*)\)|$)", line):
            options[found.group(1)] = found.group(2)
    return options


def page(name):
    """The source of a man page, with the words as readers see them."""
    text = (PACKAGING / "man" / name).read_text()
    return re.sub(r"\\f.|^\.(?:B|I|BR|BI|RB|IR) ", "", text, flags=re.M).replace("\\-", "-")


def section(text, name):
    return re.search(rf"^\.SH {name}\n(.*?)(?=^\.SH |\Z)", text, re.M | re.S).group(1)


def tagged(text):
    """The line behind each .TP: the subject of the paragraph."""
    return re.findall(r"^\.TP\n(.*)$", text, re.M)


def options_of_page(name):
    options = {}
    for tag in tagged(section(page(name), "OPTIONS")):
        found = re.match(r"(--[a-z-]+).*?(?:\(=([^)]*)\))?$", tag)
        options[found.group(1)] = found.group(2)
    return options


def commands_of_help():
    part = re.search(r"^Commands:\n(.*?)\n\n", help_of(BIN / "eps"), re.M | re.S).group(1)
    return set(re.findall(r"^  (\S+(?: \S+)*)", part, re.M))


def quoted_commands():
    """(where, program, words) of each of our commands that is quoted as code in the documentation."""
    for document in {*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")} - {ROOT / "docs/protocol.md"}:  # labels there
        for number, line in enumerate(document.read_text().splitlines(), 1):
            for code in [line] if line.startswith("    ") else re.findall(r"`([^`]+)`", line):
                for program, words in re.findall(
                        r"(?<![\w/.,@-])(eps(?:-client|-server|-configure\.sh)?) ([^#|;&…()]+)", code):
                    yield f"{document.name}:{number}", program, words.split()


def test_quoted_commands_are_real():
    options = {program.name: options_of_help(program).keys() for program in PAGES}
    options["eps"] |= {"--svg"}  # on the line of --png
    commands = {" ".join(filter(str.islower, command.split())) for command in commands_of_help()}
    seen, wrong = 0, []
    for where, program, words in quoted_commands():
        given = [re.match(r"--[a-z-]*", word).group() for word in words if word.startswith("--")]
        wrong += [f"{where}: {program} does not know {option}" for option in given if option not in options[program]]
        text = " ".join(words).rstrip(".,")
        known = any((text + " ").startswith(command + " ") or command.startswith(text + " ") for command in commands)
        if program == "eps" and not text.startswith("-") and not known:
            wrong.append(f"{where}: eps does not know {text}")
        seen += 1
    assert seen > 100 and not wrong, "\n".join(wrong)


@programs
def test_every_option_is_in_the_man_page(program):
    theirs, ours = options_of_help(program), options_of_page(PAGES[program])
    assert theirs.keys(), help_of(program)
    where = f"packaging/man/{PAGES[program]}"
    missing, gone = theirs.keys() - ours.keys(), ours.keys() - theirs.keys()
    assert not missing, f"describe {sorted(missing)} in {where}: .TP, the option with its default, a sentence or two"
    assert not gone, f"{program.name} --help does not know {sorted(gone)}: remove them from {where}"
    differ = {name: (theirs[name], ours[name]) for name in theirs if theirs[name] != ours[name]}
    assert not differ, f"write the defaults of --help as (=...) in {where}: {differ}"


def test_every_command_is_in_the_man_page():
    theirs, ours = commands_of_help(), set(tagged(section(page("eps.1"), "COMMANDS")))
    assert len(theirs) > 3
    assert not theirs - ours, f"describe {sorted(theirs - ours)} in packaging/man/eps.1: .TP, the command, what it does"
    assert not ours - theirs, f"eps --help does not know {sorted(ours - theirs)}: remove them from packaging/man/eps.1"


def test_every_option_is_in_the_page_of_the_file():
    client, server = (set(options_of_help(BIN / f"eps-{p}")) - COMMAND_LINE_ONLY for p in ("client", "server"))
    wanted = {"both programs": client & server, "the client": client - server, "the server": server - client}
    text = section(page("eps.conf.5"), "OPTIONS")
    for whose, options in wanted.items():
        listed = re.search(rf"^In {whose}:\n(.*)", text, re.M).group(1)
        assert set(re.findall(r"[a-z-]+", listed)) == {o.removeprefix("--") for o in options}, (
            f'list the options of "In {whose}:" in packaging/man/eps.conf.5 as --help has them')


def test_the_pages_refer_to_each_other():
    for name in PAGES.values():
        others = set(PAGES.values()) - {name} - ({"eps-configure.sh.8"} if name == "eps.1" else set())
        seen = section(page(name), "SEE ALSO")
        for other in others | {"eps.conf.5"}:
            assert other[:-2] in seen, f"{other} in SEE ALSO of packaging/man/{name}"


@pytest.mark.parametrize("name", [*PAGES.values(), "eps.conf.5"])
def test_pages_render_without_a_complaint(name):
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", PACKAGING / "man" / name],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_is_the_template_of_the_file():
    example = subprocess.run([BIN / "eps-conf-example"], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "#key = eps1-..." in example and not re.search(r"^[^#\n\[]", example, re.M)


COMPLETION = PACKAGING / "completion"
BASH = '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _eps "$1" "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"; ' \
       'printf "%s\\n" "${COMPREPLY[@]}"'
# What zsh would receive: _describe takes the name of an array of NAME:DESCRIPTION.
ZSH = 'compset() { }; _files() { print -l $PWD/*(N) "$words[CURRENT]"*(N) }; ' \
      '_describe() { print -l -- ${${(P)2}%%:*} }; words=("$@"); CURRENT=$#; . $0'


def complete(shell, program, *words):
    """What the completion of that shell offers for the last of the words."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    words = [str(program), *words]
    if shell != "bash" and "=" in words:
        at = words.index("=")
        words[at - 1:at + 2] = ["".join(words[at - 1:at + 2])]
    if shell == "fish":
        line = " ".join(words)
        command = ["fish", "--no-config", "-c", f"source {COMPLETION}/eps.fish; complete -C {shlex.quote(line)}"]
    elif shell == "zsh":
        command = ["zsh", "-f", "-c", ZSH, COMPLETION / "eps.zsh", *words]
    else:
        command = ["bash", "-c", BASH, COMPLETION / "eps.bash", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True,
                          env=os.environ | {"EPS_CANDIDATES": str(COMPLETION / "candidates.sh")})
    assert done.stderr == ""
    offered = {line.split("\t")[0].rpartition("=")[2] for line in done.stdout.splitlines()} - {""}
    # zsh itself drops candidates with another beginning.
    return {o for o in offered if o.startswith(words[-1].rpartition("=")[2])} if shell == "zsh" else offered


shells = pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])


@shells
@programs
def test_completion_of_options(shell, program):
    assert complete(shell, program, "--") == options_of_help(program).keys()
    assert complete(shell, program, "--he") == {"--help"}


@shells
def test_completion_of_values(shell, tmp_path):
    assert complete(shell, BIN / "eps-client", "--log-level", "") == {"trace", "debug", "info", "warn", "error"}
    assert complete(shell, BIN / "eps-client", "--aead", "=", "a") == {"auto", "aes-256-gcm", "aes-128-gcm"}
    if shell == "bash":
        part = str(tmp_path.parent / tmp_path.name[:-1])
        assert complete(shell, BIN / "eps-server", "--state", part) >= {str(tmp_path)}
        rules = tmp_path / "rules"
        rules.touch()
        assert complete(shell, BIN / "eps", "policy", "set", str(tmp_path / "ru")) == {str(rules)}
        assert complete(shell, BIN / "eps", "help", "policy", "set", str(tmp_path / "ru")) == set()


@shells
def test_completion_of_commands(shell):
    first = {command.split()[0] for command in commands_of_help()}
    assert complete(shell, BIN / "eps", "") == first
    assert complete(shell, BIN / "eps", "--json", "mem") == {"members"}
    assert "remove" in complete(shell, BIN / "eps", "--socket", "/none", "members", "")
    assert complete(shell, BIN / "eps", "--") == options_of_help(BIN / "eps").keys()
    assert complete(shell, BIN / "eps", "keys", "rotate", "--u") == {"--uses"}
    assert complete(shell, BIN / "eps", "help", "") == first
    assert "remove" in complete(shell, BIN / "eps", "help", "members", "")
    assert complete(shell, BIN / "eps", "ping", "bob", "--") & {"--uses", "--count", "--json"} == {"--count", "--json"}


def test_completion_describes():
    candidates = subprocess.run([COMPLETION / "candidates.sh", BIN / "eps-client", "--"], check=True,
                                stdout=subprocess.PIPE, text=True).stdout.splitlines()
    described = dict(line.split("\t") for line in candidates)
    assert described["--port"] == "TCP/UDP port of the server"
    assert described["--state"].startswith("directory for") and all(described.values())


@pytest.mark.skipif(not shutil.which("promtool"), reason="needs promtool")
def test_alerts_fire_when_they_should():
    monitoring = PACKAGING / "monitoring"
    run = subprocess.run(["promtool", "test", "rules", "alerts_test.yml"], cwd=monitoring, capture_output=True,
                         text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_picture_of_scale_matches_its_table():
    drawn = subprocess.run([ROOT / "bench/scale_plot", "--print"], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert drawn == (ROOT / "docs/scale.svg").read_text(encoding="utf-8"), "run bench/scale_plot"
