# SPDX-License-Identifier: MIT
"""eps-configure.sh through a terminal and by its options. test_deb.py tests the units afterwards."""

import os
import pathlib
import re
import stat
import subprocess

import pexpect
import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = ROOT / "packaging/eps-configure.sh"
BIN = pathlib.Path(os.environ.get("EPS_BIN", ROOT / "build/release/src/app"))
KEY = "eps1-" + "a" * 85


@pytest.fixture
def conf(tmp_path):
    return tmp_path / "eps.conf"


def configure(conf, *options, status=0, stdin="", **environment):
    """Its output."""
    done = subprocess.run([SCRIPT, "--conf", conf, *options], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=20, env=os.environ | environment)
    assert done.returncode == status, done.stdout
    return done.stdout


def lines(conf):
    """The file without comments and blank lines."""
    return [line for line in conf.read_text().splitlines() if line and not line.startswith("#")]


class Dialogue:
    def __init__(self, conf):
        self.child = pexpect.spawn(str(SCRIPT), ["--conf", str(conf)], encoding="utf-8", timeout=20)

    def answer(self, question, text):
        """Waits for the question and answers; what stands in its brackets."""
        self.child.expect(question + r"[^\[\]:]*(?:\[([^\]]*)\])?: ")
        offered = self.child.match.group(1)
        self.child.sendline(text)
        return offered

    def end(self, status=0):
        self.child.expect(pexpect.EOF)
        self.child.close()
        assert self.child.exitstatus == status, self.child.before
        return self.child.before


def test_client_in_a_dialogue(conf):
    talk = Dialogue(conf)
    assert talk.answer("client, the server, or both", "") == "client"
    assert talk.answer("Name or IP address", "eps.example.com") is None
    assert talk.answer("TCP and UDP port", "") == "43439"
    assert talk.answer("Network key", KEY) is None
    talk.end()
    assert lines(conf) == [f"key = {KEY}", "[client]", "server = eps.example.com"]
    assert stat.S_IMODE(conf.stat().st_mode) == 0o600


def test_server_in_a_dialogue(conf):
    talk = Dialogue(conf)
    talk.answer("client, the server, or both", "s")
    assert re.fullmatch(r"(10|100)\.\d+\.\d+\.0/24", talk.answer("Network to create", "10.0.8.0/24"))
    assert talk.answer("port to listen", "12345") == "43439"
    talk.end()
    assert lines(conf) == ["[server]", "network = 10.0.8.0/24", "port = 12345"]


def test_both_in_a_dialogue(conf):
    talk = Dialogue(conf)
    talk.answer("client, the server, or both", "both")
    drawn = talk.answer("Network to create", "")
    talk.answer("port to listen", "12345")
    assert talk.answer("Name or IP address", "") == "127.0.0.1"
    talk.end()
    assert lines(conf) == ["[server]", f"network = {drawn}", "port = 12345",
                           "[client]", "server = 127.0.0.1", "port = 12345"]


def test_a_wrong_answer_is_asked_again(conf):
    talk = Dialogue(conf)
    talk.answer("client, the server, or both", "neither")
    talk.answer("client, the server, or both", "c")
    for wrong in "", "eps example!", "-x", "http://eps.example.com":
        talk.answer("Name or IP address", wrong)
    talk.answer("Name or IP address", "192.168.1.42 eps.example.com fe80::1%eth0")
    for wrong in "0", "65536", "many", "010":
        talk.answer("TCP and UDP port", wrong)
    talk.answer("TCP and UDP port", "65535")
    for wrong in "", "eps1-short", KEY[:-1] + "1":
        talk.answer("Network key", wrong)
    talk.answer("Network key", f"  {KEY} ")
    talk.end()
    assert lines(conf) == [f"key = {KEY}", "[client]", "server = 192.168.1.42 eps.example.com fe80::1%eth0",
                           "port = 65535"]


def test_the_last_answers_are_offered(conf):
    conf.write_text(f"key = {KEY}\n[client]\nserver = one\nport = 5\n")
    before = conf.read_text()
    talk = Dialogue(conf)
    talk.answer("client, the server, or both", "c")
    assert talk.answer("Name or IP address", "") == "one"
    assert talk.answer("TCP and UDP port", "") == "5"
    assert talk.answer("Network key", "") == "keep the present one"
    assert "stays as it is" in talk.end()
    assert conf.read_text() == before


def test_nothing_is_written_before_the_last_answer(conf):
    talk = Dialogue(conf)
    talk.answer("client, the server, or both", "c")
    talk.answer("Name or IP address", "one")
    talk.child.expect("port")
    talk.child.sendeof()
    assert "nothing was changed" in talk.end(status=1)
    assert not conf.exists() and not list(conf.parent.iterdir())


def test_by_options(conf):
    configure(conf, "--client", "--server", "one", f"--key={KEY}", "--name", "alice", "--port", "5")
    assert lines(conf) == [f"key = {KEY}", "[client]", "server = one", "port = 5", "name = alice"]
    configure(conf, "--client", "--server", "two")
    assert lines(conf) == [f"key = {KEY}", "[client]", "server = two", "port = 5", "name = alice"]
    configure(conf, "--server", "--network", "10.0.8.0/24", "--sequential")
    assert lines(conf)[-3:] == ["[server]", "network = 10.0.8.0/24", "sequential = true"]
    assert "stays as it is" in configure(conf, "--server")
    configure(conf, "--client", "--key", "-", stdin="eps1-" + "b" * 85 + "\n")
    assert lines(conf)[0] == "key = eps1-" + "b" * 85


def test_a_new_network_has_unused_addresses(conf, tmp_path):
    drawn = set()
    for n in range(5):
        configure(tmp_path / f"{n}.conf", "--server")
        drawn.add(next(line for line in lines(tmp_path / f"{n}.conf") if line.startswith("network = ")))
    assert len(drawn) > 1 and all(re.fullmatch(r"network = (10|100)\.\d+\.\d+\.0/24", line) for line in drawn)
    configure(tmp_path / "0.conf", "--server")
    assert lines(tmp_path / "0.conf")[1] in drawn, "it is not drawn again"
    (tmp_path / "server").mkdir()
    (tmp_path / "server/server.db").touch()
    conf.write_text(f"state = {tmp_path}\n")
    configure(conf, "--server", "--port", "77")
    assert lines(conf) == [f"state = {tmp_path}", "[server]", "port = 77"], "there is a network: the default stays"


def test_a_client_in_one_line(conf):
    configure(conf, "--client", "one", KEY)
    assert lines(conf) == [f"key = {KEY}", "[client]", "server = one"]
    configure(conf, "--client", "two", "--name", "bob")
    assert lines(conf) == [f"key = {KEY}", "[client]", "server = two", "name = bob"]


@pytest.mark.parametrize("length", [95, 140, 149])
def test_a_key_with_more_in_it(conf, length):
    """`eps keys create` adds the number of the join key, `eps lock pin` the id of the lock."""
    key = "eps1-" + "a" * length
    configure(conf, "--client", "one", key)
    assert f"key = {key}" in lines(conf)


def test_a_shortened_key_is_refused(conf):
    assert "at least 85 letters" in configure(conf, "--client", "one", KEY[:-1], status=2)
    assert not conf.exists()


def test_a_network_with_an_ip6_prefix(conf):
    configure(conf, "--server", "--network", "10.0.8.0/24,fd43::/64")
    assert "stays as it is" in configure(conf, "--server")
    assert lines(conf) == ["[server]", "network = 10.0.8.0/24,fd43::/64"]


def test_a_missing_key_is_asked_for_on_a_terminal(conf):
    child = pexpect.spawn(str(SCRIPT), ["--conf", str(conf), "--client", "one"], encoding="utf-8", timeout=20)
    child.expect("Network key.*: ")
    child.sendline(KEY)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0 and lines(conf) == [f"key = {KEY}", "[client]", "server = one"]


def test_an_invalid_configuration_is_not_written(conf):
    """KEY has the form of a key and a wrong checksum, which only `eps check` sees."""
    with_eps = {"PATH": f"{BIN}:{os.environ['PATH']}"}
    assert "The network key" in configure(conf, "--client", "one", KEY, status=2, **with_eps)
    assert not conf.exists()
    assert "loopback" in configure(conf, "--server", "--network", "127.0.8.0/24", status=2, **with_eps)
    assert not conf.exists()


def test_existing_content_stays(conf):
    text = """# mine
stats

[server]   # the one
#network = 192.168.43.0/24
network = "10.0.0.0/24"  # old
mtu = 1280

# about the client
[client]
key = {key}
server = one
server = two
name = alice"""
    conf.write_text(text.format(key=KEY))
    conf.chmod(0o644)
    configure(conf, "--client", "--server", "three", "--key", "eps1-" + "c" * 85)
    configure(conf, "--server", "--network", "10.0.9.0/24", "--port", "77")
    assert conf.read_text() == """# mine
stats

[server]   # the one
#network = 192.168.43.0/24
network = 10.0.9.0/24
mtu = 1280
port = 77

# about the client
[client]
key = eps1-{c}
server = three
name = alice
""".format(c="c" * 85)
    assert stat.S_IMODE(conf.stat().st_mode) == 0o600


def test_a_link_stays_a_link(conf, tmp_path):
    conf.symlink_to("real.conf")
    configure(conf, "--server", "--port", "77")
    assert conf.is_symlink() and "port = 77" in lines(tmp_path / "real.conf")


@pytest.mark.parametrize("options, sentence", [
    (["--client"], "the server is missing"),
    (["--client", "--server", "one"], "the network key is missing"),
    (["--client", "--server", "a;b", "--key", KEY], '"a;b" is neither a name nor an IP address'),
    (["--client", "--server", "one", "--key", "eps1-x"], "this is not a network key"),
    (["--client", "--server", "one", "--key", KEY, "--name", "a b"], '"a b" is not a valid name'),
    (["--server", "--port", "99999"], '"99999" is not a valid port'),
    (["--server", "--network", "10.0.8.0"], '"10.0.8.0" is not a network'),
    (["--server", "--network", "10.0.8.1/24"], '"10.0.8.1/24" has bits set beyond its mask'),
    (["--server", "--network", "300.0.8.0/24"], '"300.0.8.0/24" is not a network'),
    (["--server", "--network", "10.0.0.0/31"], "the mask must be from /8 to /30"),
    (["--server", "one"], "add --client"),
    (["--key", KEY], "say --client"),
    (["--prot", "5"], 'unknown option "--prot"'),
    (["--server", "--port"], "--port needs a value"),
])
def test_a_wrong_option_changes_nothing(conf, options, sentence):
    assert sentence in configure(conf, *options, status=2)
    assert not conf.exists()


def test_the_programs_accept_what_it_writes(conf, tmp_path):
    """All but the made-up key, which is read last."""
    configure(conf, "--client", "--server", "one", "--server", "--network", "10.0.8.0/24", "--key", KEY, "--name", "x")
    done = subprocess.run([BIN / "eps-client", "--conf", conf, "--state", tmp_path / "s"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=20)
    assert done.returncode == 2 and re.search(rf"{conf}:\d+: key: The network key", done.stdout), done.stdout
