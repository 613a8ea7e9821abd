# SPDX-License-Identifier: MIT
"""The layer table of docs/architecture.md, and every exception to it with its reason."""

# Lowest row first. A room may include its own headers and those of lower rows.
ROWS = [
    {"base"},
    {"model"},
    {"crypto", "wire", "l2", "policy", "ports"},
    {"noise", "registry"},
    {"session", "control", "mesh"},
    {"dataplane", "report"},
    {"node"},
    {"os", "ops"},
    {"runtime"},
    {"app"},
]

# Rooms that may include less than their row would allow.
ONLY = {
    "os": {"ports", "model", "base"},  # Linux behind the interfaces; how they are used does not concern it
    "ops": {"os", "model", "base"},  # log files and the status socket, which carry text
}

# Pairs of one row where the first may include the second.
SIBLINGS = {
    ("l2", "wire"): "the inner packet's form on the wire decides what l2 may leave out",
    ("l2", "ports"): "frames carry the offload hints of the TAP port",
}

# Rooms without I/O, system headers or Boost.
CORE = set.union(*ROWS[:7])

# C++ standard headers that the core does without: they read the clock, do I/O, start threads or draw randomness.
NOT_IN_CORE = {
    "condition_variable", "csignal", "cstdio", "cstdlib", "ctime", "filesystem", "fstream", "future", "iostream",
    "random", "semaphore", "stop_token", "thread",
}

# (path, header) -> reason. A path that ends in "/" stands for the whole room.
HEADER_EXCEPTIONS = {
    ("src/base/result.h", "boost/system/result.hpp"): "Result<T>: std::expected is C++23",
    ("src/base/types.cc", "arpa/inet.h"): "inet_pton and inet_ntop: text forms only",
    ("src/base/check.cc", "cstdio"): "a failed check says where before it aborts",
    ("src/base/check.cc", "cstdlib"): "a failed check aborts",
    ("src/crypto/", "openssl/"): "the one room that sees a crypto library",
    ("src/crypto/", "intel-ipsec-mb.h"): "the one room that sees a crypto library",
    ("src/crypto/", "sys/auxv.h"): "which instructions the CPU has",
    ("src/report/", "nlohmann/"): "the status as JSON",
}

# A step of node/ returns its effects as a value (dataplane/commit.h): only these hold a port or publish directly.
STEP_EXCEPTIONS = {
    "src/node/server_node.h": "the server publishes and answers binds itself",
    "src/node/server_node.cc": "the server publishes and answers binds itself",
}

# Rooms that may read the clock; the others get the time as an argument.
CLOCK_ROOMS = {"os", "runtime"}


def row(room):
    return next(i for i, rooms in enumerate(ROWS) if room in rooms)


def may_include(room, other):
    if room == other:
        return True
    if room in ONLY:
        return other in ONLY[room]
    return row(other) < row(room) or (room, other) in SIBLINGS


STANDARD = set("""
algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes climits
clocale cmath compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint cstdio
cstdlib cstring ctime cuchar cwchar cwctype deque exception execution filesystem format forward_list fstream functional
future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale map memory
memory_resource mutex new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator semaphore
set shared_mutex source_location span sstream stack stdexcept stop_token streambuf string string_view syncstream
system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility valarray variant vector
version
""".split())
