#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the device's chapter and include/virtio_bufshare.h against each other.

Constants by name and value; enums and structs by name, order, types, sizes and
offsets (computed here with natural alignment, and again by the C compiler when one
is given); normative labels against the conformance lists; MUST and SHOULD only in
normative blocks.  --self-test changes one side at a time and wants each change
found.

usage: check_spec.py HEADER SPEC_DIR [--cc CC] [--self-test]
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile

PREFIX = "VIRTIO_BUFSHARE_"
INT_TYPES = {"u8": 1, "le16": 2, "le32": 4, "le64": 8}
STRUCT_TYPE = r"struct\s+virtio_bufshare_\w+"


class Contract:
    """What one side defines: name -> value, name -> [(enumerator, value)], name -> fields."""

    def __init__(self):
        self.constants = {}
        self.enums = {}
        self.structs = {}


def parse_number(text):
    return int(text, 0)


def parse_c(text, where):
    """The constants, enums and structs in C text.  Both sides are written in the same form;
    the header's types have two more underscores.  Anything else is an error: what the
    parser does not understand would otherwise go unchecked."""
    c = Contract()
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)

    def define(m):
        name, value = m.group(1), m.group(2).strip()
        if name in c.constants:
            raise ValueError(f"{where}: {name} is defined twice")
        c.constants[name] = parse_number(value)
        return ""

    text = re.sub(rf"^[ \t]*#define[ \t]+((?:{PREFIX}|VIRTIO_ID_)\w+)[ \t]+(\S.*)$",
                  define, text, flags=re.M)

    def enum(m):
        name, items = m.group(1), []
        for item in filter(None, (i.strip() for i in m.group(2).split(","))):
            key, sep, value = item.partition("=")
            if not sep:
                raise ValueError(f"{where}: enumerator {item!r} of {name} has no value")
            items.append((key.strip(), parse_number(value.strip())))
        if name in c.enums:
            raise ValueError(f"{where}: enum {name} is defined twice")
        c.enums[name] = items
        return ""

    text = re.sub(r"enum\s+(virtio_bufshare_\w+)\s*\{([^}]*)\}\s*;", enum, text)

    def struct(m):
        name, fields = m.group(1), []
        for field in filter(None, (f.strip() for f in m.group(2).split(";"))):
            f = re.fullmatch(rf"({STRUCT_TYPE}|(?:__)?(?:u8|le16|le32|le64))\s+(\w+)"
                             r"(?:\[(\w+)\])?", field)
            if not f:
                raise ValueError(f"{where}: cannot read field {field!r} of {name}")
            kind = " ".join(f.group(1).split())
            fields.append((f.group(2), kind.removeprefix("__"), f.group(3)))
        if name in c.structs:
            raise ValueError(f"{where}: struct {name} is defined twice")
        c.structs[name] = fields
        return ""

    text = re.sub(r"struct\s+(virtio_bufshare_\w+)\s*\{([^}]*)\}\s*;", struct, text)
    rest = re.sub(r"^\s*#\s*(?:ifndef|define|endif|include)\b.*$", "", text, flags=re.M).strip()
    if rest:
        raise ValueError(f"{where}: not understood: {rest.splitlines()[0]!r}")
    return c


def parse_chapter(tex):
    listings = re.findall(r"\\begin\{lstlisting\}(.*?)\\end\{lstlisting\}", tex, flags=re.S)
    c = parse_c("\n".join(listings), "chapter")
    m = re.search(r"\\subsection\{Device ID\}\\label\{[^}]*\}\s*(\d+)", tex)
    if not m:
        raise ValueError("chapter: no device ID")
    c.constants["VIRTIO_ID_BUFSHARE"] = int(m.group(1))
    return c


def parse_header(text):
    # The include guard has no value; it is not a constant.
    return parse_c(text, "header")


def layout(c, name):
    """(size, alignment, [(field, offset, size)]) with natural alignment."""
    offset, align, out = 0, 1, []
    for field, kind, count in c.structs[name]:
        if kind in INT_TYPES:
            size = unit = INT_TYPES[kind]
        else:
            size, unit, _ = layout(c, kind.split()[1])
        if count is not None:
            size *= c.constants[count] if count in c.constants else parse_number(count)
        offset = (offset + unit - 1) // unit * unit
        out.append((field, offset, size))
        offset += size
        align = max(align, unit)
    return (offset + align - 1) // align * align, align, out


def compare_maps(kind, a, b, errors):
    for name in sorted(a.keys() | b.keys()):
        if name not in a:
            errors.append(f"{kind} {name} is not in the chapter")
        elif name not in b:
            errors.append(f"{kind} {name} is not in the header")
        elif a[name] != b[name]:
            errors.append(f"{kind} {name}: chapter has {a[name]}, header has {b[name]}")


def check_contract(chapter, header, errors):
    compare_maps("constant", chapter.constants, header.constants, errors)
    compare_maps("enum", chapter.enums, header.enums, errors)
    compare_maps("struct", chapter.structs, header.structs, errors)
    layouts = []
    for side in (chapter, header):
        try:
            layouts.append({name: layout(side, name) for name in side.structs})
        except KeyError as e:
            errors.append(f"layout: {e} is used and not defined")
            return
    compare_maps("layout of", layouts[0], layouts[1], errors)
    for name, (size, _, fields) in layouts[0].items():
        if sum(f[2] for f in fields) != size:
            errors.append(f"struct {name} has padding")


def check_values_unique(c, errors):
    for name, items in c.enums.items():
        values = [v for _, v in items]
        if len(set(values)) != len(values):
            errors.append(f"enum {name} has two names for one value")


def check_feature_bits(tex, c, errors):
    """The descriptive list of the feature bits repeats their numbers."""
    listed = {n: int(v) for n, v in
              re.findall(rf"\\item\[({PREFIX}F_\w+) \((\d+)\)\]", tex)}
    defined = {n: v for n, v in c.constants.items() if n.startswith(PREFIX + "F_")}
    if listed != defined:
        errors.append(f"feature bits: described {listed}, defined {defined}")


def check_names(tex, c, errors):
    """Every name that the text uses is defined, and everything defined is described."""
    known = set(c.constants) | {n for items in c.enums.values() for n, _ in items}
    prose = re.sub(r"\\begin\{lstlisting\}.*?\\end\{lstlisting\}", " ", tex, flags=re.S)
    for name in sorted(set(re.findall(rf"\b{PREFIX}\w+", prose))):
        if name not in known and not any(k.startswith(name) for k in known):
            errors.append(f"the text uses {name}, which is not defined")
    for name in sorted(set(re.findall(r"\bvirtio_bufshare_\w+", prose))):
        if name not in c.structs and name not in c.enums:
            errors.append(f"the text uses {name}, which is not defined")
    kinds = ("REQ_", "EVENT_", "S_", "BUFFER_")
    for name in sorted(n for n in known if n.startswith(tuple(PREFIX + k for k in kinds))):
        if name not in prose and not name.endswith("EVENT_SPACE"):
            errors.append(f"{name} is defined and not described")


def check_labels(tex, conformance, errors):
    labels = re.findall(r"\\label\{([^}]*)\}", tex)
    for side in ("device", "driver"):
        made = re.findall(rf"\\{side}normative\{{[^}}]*\}}\{{[^}}]*\}}\{{([^}}]*)\}}", tex)
        labels += [f"{side}normative:{m}" for m in made]
        listed = re.findall(r"\\ref\{([^}]*)\}", conformance[side])
        want = [f"{side}normative:{m}" for m in made]
        for l in want:
            if listed.count(l) != 1:
                errors.append(f"{side}-conformance.tex lists {l} {listed.count(l)} times")
        for l in listed:
            if l not in want:
                errors.append(f"{side}-conformance.tex lists {l}, which the chapter lacks")
    for l in sorted(set(labels)):
        if labels.count(l) > 1:
            errors.append(f"label {l} is defined twice")
    for r in re.findall(r"\\ref\{([^}]*)\}", tex):
        if r not in labels:
            errors.append(f"reference to {r}, which the chapter lacks")


def check_keywords(tex, errors):
    """RFC 2119 words stand in normative blocks only, and each block has one."""
    normative, found, head = False, True, ""
    for number, line in enumerate(tex.splitlines(), 1):
        m = re.match(r"\\(device|driver)normative\{", line)
        plain = re.match(r"\\(sub)*(section|paragraph)\{", line)
        if m or plain:
            if not found:
                errors.append(f"no requirement in block {head}")
            normative, found, head = bool(m), not m, line
        if re.search(r"\b(MUST|SHOULD|MAY|SHALL|REQUIRED|RECOMMENDED)\b", line):
            if not normative:
                errors.append(f"description.tex:{number}: requirement outside a normative block")
            found = True
    if not found:
        errors.append(f"no requirement in block {head}")


def check_compiler(cc, header_path, c, errors):
    """The compiler's own view of the header."""
    asserts = [f'#include "{os.path.abspath(header_path)}"', "#include <stddef.h>"]
    for name in c.structs:
        size, _, fields = layout(c, name)
        asserts.append(f'_Static_assert(sizeof(struct {name}) == {size}, "size of {name}");')
        for field, offset, fsize in fields:
            asserts.append(f"_Static_assert(offsetof(struct {name}, {field}) == {offset} && "
                           f"sizeof(((struct {name} *)0)->{field}) == {fsize}, "
                           f'"{name}.{field}");')
    for key, value in [*c.constants.items(), *(i for e in c.enums.values() for i in e)]:
        asserts.append(f'_Static_assert({key} == {value}, "{key}");')
    with tempfile.NamedTemporaryFile("w", suffix=".c") as f:
        f.write("\n".join(asserts) + "\n")
        f.flush()
        r = subprocess.run([*shlex.split(cc), "-std=c11", "-fsyntax-only", f.name],
                           capture_output=True, text=True, check=False)
    if r.returncode:
        errors.append(f"the compiler does not agree:\n{r.stderr}")


def check_all(tex, conformance, header_text):
    errors = []
    try:
        chapter, header = parse_chapter(tex), parse_header(header_text)
    except ValueError as e:
        return [str(e)], None
    check_contract(chapter, header, errors)
    check_values_unique(header, errors)
    check_feature_bits(tex, chapter, errors)
    check_names(tex, chapter, errors)
    check_labels(tex, conformance, errors)
    check_keywords(tex, errors)
    return errors, chapter


# (which side, what to look for, what to put there): each must be found.
MUTATIONS = [
    ("header", "S_BUSY = 11", "S_BUSY = 12"),
    ("chapter", "S_BUSY = 11", "S_BUSY = 12"),
    ("header", "MAX_USER_LEN 1024", "MAX_USER_LEN 2048"),
    ("chapter", "\n37\n", "\n38\n"),
    ("header", "VIRTIO_ID_BUFSHARE 37", "VIRTIO_ID_BUFSHARE 38"),
    ("header", "__le64 sequence;", "__le32 sequence;"),
    ("chapter", "    le64 sequence;\n    le64 timestamp;", "    le64 timestamp;\n    le64 sequence;"),
    ("header", "\t__le32 listeners;\n\t__le32 num_frames;", "\t__le32 num_frames;\n\t__le32 listeners;"),
    ("chapter", "    le32 in_flight;\n", ""),
    ("header", "__u8 reserved[32];", "__u8 reserved[40];"),
    ("chapter", "[VIRTIO_BUFSHARE_MAX_PLANES]", "[VIRTIO_BUFSHARE_UUID_SIZE]"),
    ("header", "struct virtio_bufshare_stream_ref {", "struct virtio_bufshare_stream_id {"),
    ("header", "VIRTIO_BUFSHARE_REQ_STREAM_QUERY = 0x0303,", ""),
    ("chapter", "VIRTIO_BUFSHARE_F_STREAM (0)", "VIRTIO_BUFSHARE_F_STREAM (1)"),
    ("chapter", "VIRTIO_BUFSHARE_S_UNSUPPORTED and", "VIRTIO_BUFSHARE_S_UNKNOWN and"),
    ("chapter", "\\devicenormative{\\paragraph}{Start}", "\\drivernormative{\\paragraph}{Start}"),
    ("device", "\\item \\ref{devicenormative:Device Types / Buffer Sharing Device / Device Operation / Buffers}\n", ""),
    ("driver", "/ Device Initialization}\n", "/ Device Initialisation}\n"),
    ("chapter", "The device writes one", "The device MUST write one"),
    ("header", "#endif", "typedef int virtio_bufshare_int;\n#endif"),
]


def self_test(tex, conformance, header_text):
    missed = 0
    for side, old, new in MUTATIONS:
        parts = {"chapter": tex, "header": header_text, **conformance}
        if old not in parts[side]:
            print(f"not ok - {side}: {old!r} is not there to be changed")
            missed += 1
            continue
        parts[side] = parts[side].replace(old, new, 1)
        errors, _ = check_all(parts["chapter"],
                              {k: parts[k] for k in ("device", "driver")}, parts["header"])
        if not errors:
            print(f"not ok - {side}: {old!r} -> {new!r} was not found")
            missed += 1
    print(f"{len(MUTATIONS) - missed} of {len(MUTATIONS)} changes found")
    return missed


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("header")
    ap.add_argument("spec_dir")
    ap.add_argument("--cc", help="also let this C compiler check the header")
    ap.add_argument("--self-test", action="store_true")
    args = ap.parse_args()

    def read(path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    tex = read(os.path.join(args.spec_dir, "description.tex"))
    conformance = {side: read(os.path.join(args.spec_dir, f"{side}-conformance.tex"))
                   for side in ("device", "driver")}
    header_text = read(args.header)

    if args.self_test:
        return 1 if self_test(tex, conformance, header_text) else 0

    errors, chapter = check_all(tex, conformance, header_text)
    if args.cc and not errors:
        check_compiler(args.cc, args.header, chapter, errors)
    for e in errors:
        print(f"error: {e}")
    if not errors:
        print(f"{len(chapter.constants)} constants, {len(chapter.enums)} enums, "
              f"{len(chapter.structs)} structs, "
              f"{len(re.findall('(?:device|driver)normative{', tex))} normative blocks agree")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
