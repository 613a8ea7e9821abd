# SPDX-License-Identifier: MIT
"""The resources that processes and the whole computer use: CPU time and memory, from /proc."""

import os
import time

TICKS = os.sysconf("SC_CLK_TCK")


def _stat(pid):
    """The fields of /proc/PID/stat after the program's name, from the state on; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def alive(pid):
    fields = _stat(pid)
    return fields is not None and fields[0] != "Z"


def descendants(pids):
    """These processes and all their descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(entry)):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, waiting = [], list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.append(pid)
            waiting += children.get(pid, [])
    return found


def cpu_seconds(pids):
    """User and system, all threads."""
    return sum(int(fields[11]) + int(fields[12]) for fields in map(_stat, pids) if fields) / TICKS


def resident_mib(pids):
    kib = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status") as file:
                kib += sum(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))
        except OSError:
            pass
    return kib / 1024


def busy_seconds():
    """The busy time of the computer's cores since its start: user, nice, system, interrupts."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq = map(int, file.readline().split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def wait_quiet(limit, busy_below=0.1):
    """Waits until other work pauses, in short intervals; False if it does not within `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        busy, begin = busy_seconds(), time.monotonic()
        time.sleep(0.4)
        if (busy_seconds() - busy) / (time.monotonic() - begin) < busy_below:
            return True
        if time.monotonic() > end:
            return False
