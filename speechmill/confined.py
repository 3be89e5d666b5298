"""Becomes a program that can call nobody and open no secret: ``python -I -S confined.py HIDDEN PROGRAM ARGUMENT…``

For machines that give nobody an empty network, as most containers. The system call that makes sockets is refused to the
program and to all that it starts (seccomp). What lies at ``HIDDEN`` cannot be opened, nor can other processes be looked
into or ended (Landlock, where the kernel has it: 5.13 or later). Both need no rights, and hold until the program ends.

It is started for every program and costs about 17 ms of a processor, so it imports little, and nothing of ours.
"""

import contextlib
import ctypes
import os
import struct
import sys

_libc = ctypes.CDLL(None, use_errno=True)

SET_NO_NEW_PRIVS, SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Of each kind of machine how Linux names it (linux/audit.h), and the number of ``socket``."""
IO_URING_SETUP = 425  # on all machines; by its rings sockets could be made without the call
X32 = 0x40000000  # from here on x86-64's calls have a second number each
LOAD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | 13  # linux/seccomp.h; with EACCES

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls, on all machines
VERSION = 1 << 0  # linux/landlock.h, as all that follows
PATH_BENEATH = 1
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights on files each version of Landlock knows; later ones 16
SIGNALS = 1 << 1
ON_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # execute, write, read, truncate, ioctl: what a file can have


def refuse_sockets() -> None:
    """Refuse to make sockets, from now on and for good."""
    machine, socket = MACHINES[os.uname().machine]
    rules = [
        (LOAD, 0, 0, 4),  # the kind of machine that the call is for
        (JUMP_IF_EQUAL, 0, 4, machine),
        (LOAD, 0, 0, 0),  # its number
        (JUMP_IF_AT_LEAST, 2, 0, X32),
        (JUMP_IF_EQUAL, 1, 0, socket),
        (JUMP_IF_EQUAL, 0, 1, IO_URING_SETUP),
        (RETURN, 0, 0, REFUSE),
        (RETURN, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in rules))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(rules), ctypes.addressof(code)))
    _must(_libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _must(_libc.prctl(SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0))


def hide(hidden: str) -> None:
    """Let nothing at a path be opened, from now on and for good; the rest stays as it is. Nothing happens where the
    kernel cannot do that."""
    version = _libc.syscall(CREATE_RULESET, None, 0, VERSION)
    if version < 1:
        return
    rights = (1 << RIGHTS.get(version, 16)) - 1
    attributes = struct.pack("=QQQ", rights, 0, SIGNALS)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _must(_libc.syscall(CREATE_RULESET, attributes, len(attributes), 0))
    for found in beside(hidden):
        allow(ruleset, found, rights)
    _must(_libc.syscall(RESTRICT_SELF, ruleset, 0))


def beside(hidden: str) -> list[os.DirEntry[str]]:
    """All that lies beside a path or a folder above it: everything but the path itself, in as few parts as can be."""
    found = []
    while hidden:
        folder, _, name = hidden.rpartition("/")
        with contextlib.suppress(OSError):  # there is no such folder, or it may not be looked into
            found += [each for each in os.scandir(folder or "/") if each.name != name and not each.is_symlink()]
        hidden = folder
    return found


def allow(ruleset: int, entry: os.DirEntry[str], rights: int) -> None:
    with contextlib.suppress(OSError):  # it is gone
        opened = os.open(entry.path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        given = rights if entry.is_dir() else rights & ON_FILES
        _libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", given, opened), 0)
        os.close(opened)


def _must(returned: int) -> int:
    if returned < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return returned


def main(hidden: str, *argv: str) -> None:
    try:
        _must(_libc.prctl(SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        hide(hidden)
        refuse_sockets()
        os.execv(argv[0], argv)
    except (OSError, KeyError) as error:
        sys.exit(f"confined: {argv[0]}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
