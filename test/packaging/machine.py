# SPDX-License-Identifier: MIT
"""A separate Debian 12 for tests of the packages: a tree made by debootstrap, booted by systemd-nspawn.

The tree is made once, from the mirror that this computer's apt uses, and kept under build/; each test works on a copy.
The machine has its own network with nothing in it, and /dev/net/tun.
"""

import contextlib
import fcntl
import hashlib
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ROOT / "build/packages"
KEPT = ROOT / "build/package-test"
SUITE = "bookworm"
# What the tests use, in addition to the package's dependencies.
TOOLS = ["systemd", "systemd-sysv", "iproute2", "iputils-ping", "man-db", "procps", "passwd"]

# The three of conftest.py, and the package repository that the first one serves.
NAMES = ["hub", "laptop", "desk"]
URL = "http://10.98.0.1:8043"

def run(*argv, check=True, timeout=120, **options):
    """The output, standard error included."""
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout, **options)
    assert not check or done.returncode == 0, f"{' '.join(map(str, argv))}: {done.returncode}\n{done.stdout}"
    return done.stdout


def wait_until(look, what, timeout=30):
    end = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.1)
    return found


def package(pattern):
    """The package that tools/package made last."""
    made = sorted(PACKAGES.glob(pattern), key=lambda path: path.stat().st_mtime)
    assert made, f"there is no {PACKAGES / pattern}: run tools/package"
    return made[-1]


def dependencies(deb):
    return re.findall(r"(?:^|, )([a-z0-9.+-]+)", run("dpkg-deb", "--field", deb, "Depends"))


def mirror():
    found = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", f"Codename: {SUITE}",
                "Origin: Debian", "Component: main").split()
    assert found, f"apt knows no mirror of Debian {SUITE}: run apt-get update on a Debian 12"
    return found[0]


def kept(name, make):
    """The tree of that name; made if there is none, in one step."""
    tree = KEPT / name
    KEPT.mkdir(parents=True, exist_ok=True)
    with open(KEPT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            half = KEPT / "half-made"
            shutil.rmtree(half, ignore_errors=True)
            make(half)
            half.rename(tree)
    return tree


def bootstrap(tree):
    run("debootstrap", "--variant=minbase", f"--include={','.join(TOOLS)}", SUITE, tree, mirror(), timeout=900)
    shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
    run("chroot", tree, "apt-get", "--quiet", "update", timeout=300)


def make_tree(packages):
    """A bare Debian with those packages."""
    base = kept("base-" + hashlib.sha256(" ".join(TOOLS).encode()).hexdigest()[:8], bootstrap)
    wanted = sorted(packages)

    def install(tree):
        run("cp", "--archive", "--reflink=auto", base, tree)
        run("chroot", tree, "apt-get", "--quiet", "install", "--yes", "--no-install-recommends", *wanted, timeout=600,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
    return kept("with-" + hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:8], install)


@contextlib.contextmanager
def copy_of(tree):
    """A tree that may be changed, laid over the other one."""
    with tempfile.TemporaryDirectory(dir=KEPT, prefix="copy-") as directory:
        upper, work, copy = (pathlib.Path(directory) / name for name in ("upper", "work", "tree"))
        for part in upper, work, copy:
            part.mkdir()
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={tree},upperdir={upper},workdir={work}", copy)
        try:
            yield copy
        finally:
            run("umount", copy)


def contents(tree):
    """{path: its kind} of everything that a package may change, including users."""
    passing = re.compile(r"/(?:proc|sys|dev|run|tmp|root|var/(?:cache|tmp|lib/(?:dpkg|apt|systemd|rpm)"
                         r"|log/(?:journal|private|(?:dpkg|alternatives|apt|[bw]tmp|lastlog|faillog)\S*)))(?:/|$)"
                         r"|/etc/(?:\.pwd\.lock|machine-id|resolv\.conf|(?:passwd|group|shadow|gshadow|subuid|subgid)-)$")
    found = {}
    for directory, directories, files in os.walk(tree):
        inside = "/" + os.path.relpath(directory, tree) if directory != str(tree) else ""
        directories[:] = [d for d in directories if not passing.match(f"{inside}/{d}")]
        for name in directories + files:
            path, here = pathlib.Path(directory) / name, f"{inside}/{name}"
            if path.is_symlink():
                found[here] = os.readlink(path)
            elif not passing.match(here):
                found[here] = "directory" if path.is_dir() else "file"
    for name in "passwd", "group", "shadow", "gshadow":
        for line in (tree / "etc" / name).read_text().splitlines():
            found[f"/etc/{name}: {line.split(':')[0]}"] = line
    return found


@contextlib.contextmanager
def booted(packages):
    """A Machine with those packages. A failure here is not a failure of the package."""
    with contextlib.ExitStack() as stack:
        try:
            machine = stack.enter_context(Machine(stack.enter_context(copy_of(make_tree(packages)))))
        except (AssertionError, OSError, subprocess.SubprocessError) as failure:
            if not os.environ.get("EPS_IF_POSSIBLE"):
                raise
            # Once, and not for each test.
            pytest.exit(f"the packages are not tested, no Debian can be booted here: {failure}", returncode=0)
        yield machine


class Machine:
    """Booted; ends with the with-block."""

    COUNT = itertools.count()

    def __init__(self, tree):
        self.tree = tree
        self.console = open(tree.with_name(tree.name + ".console"), "w+")
        self.name = f"eps-{os.getpid()}-{next(self.COUNT)}"
        # A separate device node, because the machine sets its mode.
        self.tun = tree.with_name(tree.name + ".tun")

    def __enter__(self):
        os.mknod(self.tun, 0o666 | 0o020000, os.makedev(10, 200))
        os.chmod(self.tun, 0o666)
        # systemd-nspawn needs cgroups; a chroot may lack them.
        cgroups = [] if os.path.ismount("/sys/fs/cgroup") else [
            "unshare", "--mount", "sh", "-c", 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"', "sh"]
        self.process = subprocess.Popen(
            [*cgroups, "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network",
             "--settings=no", "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--capability=CAP_NET_ADMIN",
             f"--bind={self.tun}:/dev/net/tun", f"--machine={self.name}", f"--directory={self.tree}"],
            stdin=subprocess.DEVNULL, stdout=self.console, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            self.leader = wait_until(self._leader, "systemd-nspawn starts", 20)
            wait_until(lambda: self.run("systemctl", "is-system-running", check=False).strip()
                       in ("running", "degraded"), "the machine boots", 60)
            self.run("ip", "link", "set", "lo", "up")
        except BaseException as failure:
            said = self.said()
            self.__exit__()
            raise AssertionError(f"{failure}\n{said}") from failure
        return self

    def _leader(self):
        assert self.process.poll() is None, "systemd-nspawn ended"
        pids = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in pids:
            if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                return pid
        return None

    def __exit__(self, *_):
        # The whole machine and systemd-nspawn end with its first process.
        if leader := getattr(self, "leader", None):
            os.kill(int(leader), signal.SIGKILL)
        else:
            self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.console.close()
        for rest in pathlib.Path(self.console.name), self.tun:
            rest.unlink()

    def said(self):
        return pathlib.Path(self.console.name).read_text()[-3000:]

    def inside(self, *argv):
        """The command line that runs it there."""
        return ["nsenter", "--target", self.leader, "--all", "--root", "--wd", "env", "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb", "LC_ALL=C.UTF-8", *map(str, argv)]

    def run(self, *argv, **options):
        return run(*self.inside(*argv), **options)

    def path(self, path):
        return self.tree / path.lstrip("/")

    def install(self, deb):
        shutil.copy(deb, self.path("/var/tmp/package.deb"))
        return self.run("dpkg", "--install", "/var/tmp/package.deb")

    # Units.

    def show(self, unit, name):
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def state(self, unit):
        return self.show(unit, "ActiveState")

    def pid(self, unit):
        return int(self.show(unit, "MainPID"))

    def journal(self, unit):
        return self.run("journalctl", "--unit", unit, "--no-pager", "--output", "cat")

    def start(self, unit):
        done = self.run("systemctl", "start", unit, check=False)
        assert self.state(unit) == "active", done + self.journal(unit)

    def add_to_unit(self, unit, text):
        directory = self.path(f"/etc/systemd/system/{unit}.service.d")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "test.conf").write_text(f"[Service]\n{text}\n")
        self.run("systemctl", "daemon-reload")

    def proc(self, pid, name):
        """A line of /proc/PID/status as seen inside the machine."""
        text = self.run("cat", f"/proc/{pid}/status")
        return re.search(rf"^{name}:\s*(.*)$", text, re.M).group(1)
