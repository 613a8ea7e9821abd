# SPDX-License-Identifier: MIT
"""The .rpm in a root of its own: its requirements, that its programs run, and that its removal leaves nothing.

rpm installs it into a Debian whose rpm database is empty, so that no package there satisfies a dependency: the
libraries that the programs load are checked instead. tools/test-packages runs it.
"""

import re

import pytest
from machine import Machine, contents, copy_of, make_tree, package, run, wait_until

# Libraries that every distribution has under these names, and what rpm and the scripts need. Everything else is inside.
ALLOWED = re.compile(
    r"/bin/(?:ba)?sh|/usr/sbin/useradd"
    r"|ld-linux-x86-64\.so\.2\(\S*\)\(64bit\)|rtld\(GNU_HASH\)"
    r"|lib(?:c|m)\.so\.6\((?:GLIBC_2\.(?:\d|[12]\d|3[0-6])(?:\.\d+)?)?\)\(64bit\)"
    r"|lib(?:crypto|ssl)\.so\.3\((?:OPENSSL_3\.0\.\d)?\)\(64bit\)"
    r"|libmnl\.so\.0\((?:LIBMNL_\d\.\d)?\)\(64bit\)"
    r"|libsqlite3\.so\.0\(\)\(64bit\)"
    r"|rpmlib\([A-Za-z]+\) <= \S+")
LIBRARIES = ["libmnl0", "libsqlite3-0", "libssl3"]
PROGRAMS = ["/usr/sbin/eps-client", "/usr/sbin/eps-server", "/usr/bin/eps"]


@pytest.fixture(scope="module")
def rpm():
    return package("eps-conduits-*.rpm")


@pytest.fixture
def tree():
    with copy_of(make_tree(LIBRARIES)) as copy:
        yield copy


def rpm_in(tree, *arguments):
    # Debian's rpm warns about its use on Debian; this database is the tree's own.
    return run("rpm", "--root", tree, "--force-debian", "--nodeps", *arguments)


def test_requires_only_what_every_distribution_has(rpm):
    required = run("rpm", "-qpR", rpm).splitlines()
    assert len(required) > 5
    strange = [line for line in required if not ALLOWED.fullmatch(line)]
    assert not strange, f"link them statically (EPS_STATIC_LIBS), or allow them here: {strange}"


def test_the_files_are_those_of_the_manual(rpm):
    listed = run("rpm", "-qpl", rpm).splitlines()
    for path in [*PROGRAMS, "/usr/bin/eps-configure.sh", "/usr/lib/systemd/system/eps-client.service",
                 "/usr/lib/systemd/system/eps-server.service", "/usr/share/doc/eps-conduits/examples/eps.conf",
                 "/usr/share/man/man8/eps-client.8.gz", "/usr/share/bash-completion/completions/eps",
                 "/usr/share/fish/vendor_completions.d/eps.fish", "/usr/share/zsh/site-functions/_eps"]:
        assert path in listed, path
    assert not [path for path in listed if path.startswith(("/etc", "/var", "/lib"))]
    # Directories of the distribution must not be removed with this package.
    assert not {"/usr", "/usr/bin", "/usr/sbin", "/usr/share/man/man8", "/usr/lib/systemd/system"} & set(listed)


def test_installed_run_removed(rpm, tree):
    before = contents(tree)
    rpm_in(tree, "-i", rpm)
    assert "eps:" in (tree / "etc/passwd").read_text()
    for program in PROGRAMS:
        assert re.search(r"\d+\.\d+\.\d+", run("chroot", tree, program, "--version"))
        assert "not found" not in run("chroot", tree, "ldd", program)
    installed = contents(tree)
    rpm_in(tree, "-U", "--force", rpm)
    assert contents(tree) == installed, "an upgrade is no removal"
    unit = (tree / "usr/lib/systemd/system/eps-server.service").read_text()
    assert "\nExecStart=/usr/sbin/eps-server\n" in unit
    assert run("chroot", tree, "systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/eps-server.service",
               "/usr/lib/systemd/system/eps-client.service") == ""
    rpm_in(tree, "-e", "eps-conduits")
    after = contents(tree)
    assert after == before, sorted(after.items() ^ before.items())


def test_the_units_run(rpm, tree):
    rpm_in(tree, "-i", rpm)
    with Machine(tree) as machine:
        machine.run("eps-configure.sh", "--server", "--client")
        for unit in "eps-server", "eps-client":
            assert machine.state(unit) == "active", machine.journal(unit)
        wait_until(lambda: "1 online" in machine.run("eps", "status"), "the client joins")


def test_removal_keeps_the_network(rpm, tree):
    """The members' keys are worth more than a clean disk."""
    before = contents(tree)
    rpm_in(tree, "-i", rpm)
    run("systemd-tmpfiles", f"--root={tree}", "--create", "eps-conduits.conf")
    database = tree / "var/lib/eps/server/server.db"
    database.parent.mkdir()
    database.touch()
    rpm_in(tree, "-e", "eps-conduits")
    assert database.exists() and "eps:" in (tree / "etc/passwd").read_text()
    rest = {path for path in contents(tree) if not path.startswith("/etc/")} - before.keys()
    assert rest == {"/var/lib/eps", "/var/lib/eps/server", "/var/lib/eps/server/server.db"}
