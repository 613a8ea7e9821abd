# SPDX-License-Identifier: MIT
"""Runs a program as on a kernel that lacks something: kernel_without.py WHAT PROGRAM [ARGUMENT]...

WHAT is a list of csum, tso, uso, gso, gro and ipv6. A seccomp filter answers like such kernels: EINVAL if the
interface is given the bits of an unknown offload, ENOPROTOOPT for the options of the UDP socket,
EAFNOSUPPORT for a socket of IPv6.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

TUNSETOFFLOAD, SOL_UDP = 0x400454d0, 17
TUN_BITS = {"csum": 0x01, "tso": 0x02 | 0x04 | 0x08, "uso": 0x20 | 0x40}
UDP_OPTIONS = {"gso": 103, "gro": 104}
IOCTL, SETSOCKOPT, SOCKET = {"x86_64": (16, 54, 41), "aarch64": (29, 208, 198)}[platform.machine()]
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, EQUALS, ANY_OF, RETURN = 0x20, 0x15, 0x45, 0x06  # BPF_LD | W | ABS, BPF_JMP | JEQ | K, JSET | K, BPF_RET | K
ALLOW, REFUSE = 0x7fff0000, 0x00050000


def argument(n):
    return 16 + 8 * n  # the low half, in seccomp_data of a little-endian machine


def refuse(call, first, test, value, error):
    """If the call's argument 1 is `first` and its argument 2 passes the test, it fails."""
    return [(LOAD, 0, 0, 0), (EQUALS, 0, 5, call), (LOAD, 0, 0, argument(1)), (EQUALS, 0, 3, first),
            (LOAD, 0, 0, argument(2)), (test, 0, 1, value), (RETURN, 0, 0, REFUSE | error)]


def program(names):
    code = []
    for name in names:
        if name == "ipv6":
            code += [(LOAD, 0, 0, 0), (EQUALS, 0, 3, SOCKET), (LOAD, 0, 0, argument(0)),
                     (EQUALS, 0, 1, socket.AF_INET6), (RETURN, 0, 0, REFUSE | errno.EAFNOSUPPORT)]
        elif name in TUN_BITS:
            code += refuse(IOCTL, TUNSETOFFLOAD, ANY_OF, TUN_BITS[name], errno.EINVAL)
        else:
            code += refuse(SETSOCKOPT, SOL_UDP, EQUALS, UDP_OPTIONS[name], errno.ENOPROTOOPT)
    return b"".join(struct.pack("HBBI", *instruction) for instruction in [*code, (RETURN, 0, 0, ALLOW)])


def main(names, command):
    code = ctypes.create_string_buffer(program(names.split(",")))

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    wanted = Filter(len(code) // 8, ctypes.addressof(code))
    for arguments in (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(wanted)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
