"""Shared libraries whose functions do nothing but end the process, for the loader to find in place of CUDA's.

PyTorch's wheel on the package index is its CUDA build. The loader looks for each function that its libraries may call,
when Python loads them; the CPU engine calls none of CUDA's.

Numbers and structures are those of the ELF specification (gABI 4.2, chapters 4 and 5), with 64 bits, little-endian.
Those of versions and of the stack are the Linux Standard Base's.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

_HEADER, _PROGRAM_HEADER, _SECTION_HEADER, _SYMBOL, _ENTRY = 64, 56, 64, 24, 16
"""Bytes of ELF's structures."""

_LOAD, _DYNAMIC, _GNU_STACK = 1, 2, 0x6474E551
_EXECUTE, _WRITE, _READ = 1, 2, 4
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME = 4, 5, 6, 10, 11, 14
_VERSYM, _VERDEF, _VERDEFNUM = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD
_OF_THE_LIBRARY, _OF_ITS_FUNCTIONS = 1, 2
"""Indices of versions: of the library itself, and the first that has a name of its own."""
_SHARED_OBJECT, _X86_64 = 3, 62
_DYNAMIC_SYMBOLS = 11
_GLOBAL_FUNCTION = 0x12
_PAGE = 4096
_END = b"\x0f\x0b"
"""The instruction ud2, which ends the process."""


def wanted_functions(library: Path) -> set[str]:
    """Return the names of what a library, an ELF shared object, takes from others."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return {name.decode("ascii") for name in _undefined(data)}


def empty_library(name: str, functions: Sequence[str] = ()) -> bytes:
    """Return an ELF shared object for x86-64 whose functions end the process.

    Args:
        name: the name (``SONAME``) by which other libraries ask for it, such as ``libcublas.so.13``.
        functions: their names.
    """
    strings, places = _strings([name, *functions])
    programs = 4
    count = len(functions) + 1  # every table begins with a symbol that has no name
    symbols = _HEADER + programs * _PROGRAM_HEADER
    tables = [
        _hash_table(functions),
        _versions(name, places[0]),
        struct.pack(f"<{count}H", 0, *[_OF_ITS_FUNCTIONS] * (count - 1)),
    ]
    hashes, versions, versioned, end = accumulate([len(table) for table in tables], initial=symbols + _SYMBOL * count)
    dynamic = (end + 7) // 8 * 8
    tags = [(_SONAME, places[0]), (_HASH, hashes), (_SYMTAB, symbols), (_SYMENT, _SYMBOL)]
    tags += [(_VERSYM, versioned), (_VERDEF, versions), (_VERDEFNUM, 2), (_STRSZ, len(strings))]
    text = dynamic + (len(tags) + 2) * _ENTRY
    tags += [(_STRTAB, text), (0, 0)]
    code = (text + len(strings) + _PAGE - 1) // _PAGE * _PAGE
    headers = [
        _header(programs),
        _program(_LOAD, _READ | _WRITE, 0, text + len(strings)),  # the loader writes addresses into the dynamic section
        _program(_LOAD, _READ | _EXECUTE, code, len(_END)),
        _program(_DYNAMIC, _READ | _WRITE, dynamic, len(tags) * _ENTRY),
        _program(_GNU_STACK, _READ | _WRITE, 0, 0),
    ]
    found = [struct.pack("<IBBHQQ", place, _GLOBAL_FUNCTION, 0, 1, code, len(_END)) for place in places[1:]]
    front = b"".join([*headers, bytes(_SYMBOL), *found, *tables]).ljust(dynamic, b"\0")
    return (front + b"".join(struct.pack("<2Q", *tag) for tag in tags) + strings).ljust(code, b"\0") + _END


def _undefined(data: mmap.mmap) -> Iterator[bytes]:
    """Yield the names of the symbols that a shared object uses and does not define."""
    (sections,) = struct.unpack_from("<Q", data, 40)
    (count,) = struct.unpack_from("<H", data, 60)
    headers = [struct.unpack_from("<2I4Q2I2Q", data, sections + index * _SECTION_HEADER) for index in range(count)]
    for _, kind, _, _, offset, size, link, *_ in headers:
        if kind == _DYNAMIC_SYMBOLS:
            strings = headers[link][4]
            for place, _, _, section, _, _ in struct.iter_unpack("<IBBHQQ", data[offset : offset + size]):
                if not section:
                    start = strings + place
                    yield data[start : data.find(b"\0", start)]


def _strings(names: Sequence[str]) -> tuple[bytes, list[int]]:
    """Return a string table and where each name begins in it."""
    table = b"\0"
    places = []
    for name in names:
        places.append(len(table))
        table += name.encode("ascii") + b"\0"
    return table, places


def _hash_table(functions: Sequence[str]) -> bytes:
    """Return the table by which the loader finds the symbols, the first of which has no name."""
    buckets = max(len(functions), 1)
    first, following = [0] * buckets, [0] * (len(functions) + 1)
    for index, name in enumerate(functions, 1):
        bucket = _hash(name) % buckets
        following[index], first[bucket] = first[bucket], index
    words = [buckets, len(following), *first, *following]
    return struct.pack(f"<{len(words)}I", *words)


def _versions(name: str, place: int) -> bytes:
    """Return the definitions of two versions, both with the library's name, as CUDA's libraries have them.

    Args:
        name: the library's name.
        place: where it begins in the string table.
    """
    length = 20  # a definition's, after which its name follows
    last = [0, length + 8]
    found = b""
    for index in (_OF_THE_LIBRARY, _OF_ITS_FUNCTIONS):
        base = int(index == _OF_THE_LIBRARY)
        found += struct.pack("<4H5I", 1, base, index, 1, _hash(name), length, last.pop(), place, 0)
    return found


def _hash(name: str) -> int:
    """Return ELF's own hash of a name."""
    value = 0
    for character in name.encode("ascii"):
        value = (value << 4) + character
        high = value & 0xF0000000
        value = (value ^ (high >> 24)) & ~high
    return value


def _header(programs: int) -> bytes:
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)  # 64 bits, little-endian, version 1
    kind = struct.pack("<2HI", _SHARED_OBJECT, _X86_64, 1)
    return identity + kind + struct.pack("<3QI6H", 0, _HEADER, 0, 0, _HEADER, _PROGRAM_HEADER, programs, 0, 0, 0)


def _program(kind: int, flags: int, offset: int, size: int) -> bytes:
    alignment = _PAGE if kind == _LOAD else 8
    return struct.pack("<2I6Q", kind, flags, offset, offset, offset, size, size, alignment)
