# SPDX-License-Identifier: MIT
"""Each rule of lint.py must detect its violations: a bad tree is refused, a good one passes."""

import os
import sys

import pytest

sys.dont_write_bytecode = True
import lint


def licensed(path, text):
    if not path.endswith((".h", ".cc", ".sh", ".py", ".txt")):
        return text
    line = ("//" if path.endswith((".h", ".cc")) else "#") + " SPDX-License-" "Identifier: MIT\n"
    head, newline, rest = text.partition("\n") if text.startswith("#!") else ("", "", text)
    return head + newline + line + rest


GOOD = {
    "src/base/types.h": "#pragma once\n#include <cstdint>\n",
    "src/model/member.h": '#pragma once\n#include "base/types.h"\n',
    "src/model/member.cc": '#include "model/member.h"\n\n#include <vector>\n',
    "src/model/member_test.cc": '#include "model/member.h"\n\n#include <gtest/gtest.h>\n\n#include <fstream>\n',
    "src/model/CMakeLists.txt": "eps_room(model SOURCES member.cc USES base TESTS member_test.cc)\n",
    "src/os/clock.cc": "auto t = std::chrono::steady_clock::now();\n",
    "src/wire/message.cc": '#include "control.pb.h"\n',
    "run.sh": "#!/bin/bash\necho hello\n",
    "run.py": "import sys\n\nprint(sys.argv)\n",
    "README.md": "# Top\n\n[page](docs/page.md#a-part-of-it) and `[no](link)`\n\n    [code](gone.md)\n",
    "docs/page.md": "# Page\n\n## A part of it\n\n![picture](picture.svg), [above](#page), <https://example.org>\n",
    "docs/picture.svg": "<svg/>\n",
    "mkdocs.yml": "nav:\n  - Page: page.md\n",
}

GOOD = {path: licensed(path, text) for path, text in GOOD.items()}

# rule, path, text: what each rule must refuse.
BAD = [
    ("layers", "src/model/up.cc", '#include "session/session.h"\n'),
    ("layers", "src/os/up.cc", '#include "registry/registry.h"\n'),
    ("layers", "src/ops/up.cc", '#include "report/text.h"\n'),
    ("layers", "src/mesh/beside.cc", '#include "session/session.h"\n'),
    ("layers", "src/attic/new.cc", "int x;\n"),
    ("layers", "src/loose.cc", "int x;\n"),
    ("uses", "src/model/CMakeLists.txt", "eps_room(model SOURCES member.cc USES base registry)\n"),
    ("uses", "src/model/CMakeLists.txt", "eps_room(model SOURCES member.cc)\n"),
    ("headers", "src/mesh/io.cc", "#include <sys/socket.h>\n"),
    ("headers", "src/mesh/io.cc", "#include <boost/asio.hpp>\n"),
    ("headers", "src/mesh/io.cc", "#include <fstream>\n"),
    ("headers", "src/session/aead.cc", "#include <openssl/evp.h>\n"),
    ("headers", "src/mesh/near.cc", '#include "near.h"\n'),
    ("clock", "src/mesh/now.cc", "auto t = std::chrono::steady_clock::now();\n"),
    ("clock", "src/ops/now.cc", "auto t = std::time(nullptr);\n"),
    ("clock", "src/session/now.cc", "  clock_gettime(CLOCK_MONOTONIC, &ts);\n"),
    ("steps", "src/node/out.cc", "void f(ports::UdpPort& udp);\n"),
    ("steps", "src/node/out.h", "#pragma once\ndataplane::PublishedPeers& published_;\n"),
    ("protobuf", "src/control/leak.cc", '#include "control.pb.h"\n'),
    ("protobuf", "src/wire/leak.h", "#pragma once\n#include <google/protobuf/message.h>\n"),
    ("cycles", "src/base/types.h", '#pragma once\n#include "model/member.h"\n'),
    ("shape", "src/base/bare.h", "int x;\n"),
    ("shape", "src/model/member.cc", '#include <vector>\n#include "model/member.h"\n'),
    ("shape", "src/base/long.cc", "int x;\n" * 601),
    ("shape", "src/base/wide.h", "#pragma once\n// " + "x" * 118 + "\n"),
    ("licence", "src/base/free.h", "#pragma once\n"),
    ("licence", "tool", "#!/usr/bin/env python3\nprint(1)\n"),
    ("licence", "src/CMakeLists.txt", "# one\n# two\n# three\n# SPDX-License-" "Identifier: MIT\n"),
    ("words", "src/base/later.h", "#pragma once\n// TO" "DO: finish\n"),
    ("words", "docs/here.md", "see /wor" "k/main/docs\n"),
    ("hosts", "fetch.txt", "https://deb.deb" "ian.org/debian\n"),
    ("links", "README.md", "[page](docs/gone.md)\n"),
    ("links", "README.md", "[page](docs/page.md#no-part-of-it)\n"),
    ("links", "docs/page.md", "out of the site: [readme](../README.md)\n"),
    ("links", "docs/page.md", "# Two - dashes\n\ndiffers on the site: [here](#two---dashes)\n"),
    ("links", "docs/new.md", "in no nav\n"),
    ("links", "mkdocs.yml", "nav:\n  - Page: page.md\n  - Gone: gone.md\n"),
    ("format", "src/base/ugly.cc", "int   x ;\n"),
    ("shell", "run.sh", "#!/bin/bash\necho $1 `date`\n"),
    ("python", "run.py", "import os\nimport sys\n\nprint(sys.argv)\n"),
    ("python", "run", "#!/usr/bin/env python3\nprint(gone)\n"),
]


def broken(tmp_path, rule, files):
    for path, text in files.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return list(lint.RULES[rule](lint.Tree(tmp_path)))


@pytest.mark.parametrize("rule", sorted(lint.RULES))
def test_good_tree_passes(tmp_path, rule):
    assert broken(tmp_path, rule, GOOD) == []


@pytest.mark.parametrize("rule, path, text", BAD)
def test_bad_file_is_refused(tmp_path, rule, path, text):
    assert broken(tmp_path, rule, GOOD | {path: text})


def test_ruff_is_asked_where_it_is_installed(tmp_path, monkeypatch):
    ruff = tmp_path / "bin/ruff"
    ruff.parent.mkdir()
    ruff.write_text("#!/bin/sh\necho $*\nexit 1\n")
    ruff.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ruff.parent}:{os.environ['PATH']}")
    assert broken(tmp_path / "tree", "python", GOOD) == ["check --quiet --no-cache run.py"]


def test_every_rule_is_tested():
    assert {rule for rule, _, _ in BAD} == set(lint.RULES)


@pytest.mark.parametrize("text", [
    "// time(nullptr) is not asked here\n",
    "/* steady_clock::now() */\n",
    "Instant next_deadline(); auto x = on_time(now);\n",
    "auto a = packet.time(3);\n",
])
def test_clock_rule_ignores_innocent_text(tmp_path, text):
    assert broken(tmp_path, "clock", {"src/mesh/a.cc": text}) == []
