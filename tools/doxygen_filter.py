#!/usr/bin/env python3
"""Shows Doxygen a header as it wants to see it: `doxygen_filter.py HEADER` prints it, line by line.

The comments of ice are plain: `// what it does` above a declaration or behind it. They become
`///` and `///<`, outside of function bodies; a banner that begins with a noun (`session: ..`) also
goes to the type of that name, before what is said there. Nothing is added.
"""
import pathlib
import re
import sys

COMMENT = re.compile(r"^(\s*)//(?: (.*))?$")
STRINGS = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'')
TRAILING = re.compile(r"^(\s*[^\s/].*?)\s+// (.*)$")
MUTANT = re.compile(r"\s*// mutant: \w+$")  # for test/planting.py
SECTION = re.compile(r"-- ")  # `// -- receiving` is a heading of several declarations
OPENS_SCOPE = re.compile(r"\b(?:namespace|class|struct|enum|union)\b[^;()]*$")


def marked_up(text):
    """Escapes what Doxygen takes for a command or a tag, but for `code`."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if at % 2 else re.sub(r"([\\@<>#%\"&$])", r"\\\1", part)
                   for at, part in enumerate(parts))


def documented(lines, mark):
    """A block of comment lines, whose indented ones are code."""
    code = False
    for indent, text in lines:
        is_code = text.startswith("    ") and (code or not text.strip().startswith("//"))
        if is_code != code:
            yield f"{indent}{mark} {'@code{.cpp}' if is_code else '@endcode'}"
            code = is_code
        yield f"{indent}{mark} {text if code else marked_up(text)}"
    if code:
        yield f"{lines[-1][0]}{mark} @endcode"


class Scopes:
    """Where a line is: comments within a function's body are nobody's documentation."""

    def __init__(self):
        self.opened, self.head, self.parens = [], "", 0

    def in_body(self):
        return "body" in self.opened or self.parens > 0

    def pass_line(self, line):
        if line.lstrip().startswith("#"):
            return
        for char in STRINGS.sub('""', line.partition("//")[0]) + "\n":
            if char == "{" and not self.parens:
                self.opened.append("scope" if OPENS_SCOPE.search(self.head) else "body")
                self.head = ""
            elif char == "}" and not self.parens and self.opened:
                self.opened.pop()
                self.head = ""
            elif char == ";" and not self.parens:
                self.head = ""
            else:
                self.parens += (char == "(") - (char == ")")
                self.head += char


def filtered(lines):
    banner = []
    while lines and (hit := COMMENT.match(lines[0])):
        banner.append(("", hit[2] or ""))
        lines = lines[1:]
    yield "/// @file"
    yield from documented(banner, "///")
    yield ""
    hit = re.match(r"(\w+)(?:<\w+>)?: (.*)", banner[0][1]) if banner else None
    noun, about = hit.groups() if hit else ("", "")
    own = re.compile(rf"^(?:class|struct) (?:ICE_API |\[\[\w+\]\] )*{noun}\b[^;]*$")
    scopes, block, template, trailing = Scopes(), [], [], None
    for line in lines:
        line = MUTANT.sub("", line)
        if line.startswith("}  // namespace ice"):  # what follows specialises others' templates
            yield line
            return
        hit = COMMENT.match(line)
        if hit and trailing is not None and len(hit[1]) >= trailing and not block:
            yield f"{hit[1]}///< {marked_up(hit[2] or '')}"  # goes on behind a declaration
            continue
        trailing = None
        if hit and not scopes.in_body() and not SECTION.match(hit[2] or ""):
            block.append((hit[1], hit[2] or ""))
            continue
        if hit:
            yield ""
            continue
        if line.startswith(("template", "    requires")) and not scopes.in_body():
            template.append(line)
            scopes.pass_line(line)
            continue
        if noun and own.match(line):
            about = about[0].upper() + about[1:]
            block = [("", about), *banner[1:], *([("", ""), *block] if block else [])]
        yield from documented(block, "///") if line.strip() else ()
        yield from template
        block, template = [], []
        behind = TRAILING.match(line) if not scopes.in_body() else None
        head = scopes.head
        scopes.pass_line(line)
        ends = behind and (behind[1].rstrip()[-1] in ";," or scopes.opened[-1:] == ["scope"])
        if ends and not scopes.in_body() and (head.strip() or ";" in behind[1] or
                                              "," in behind[1] or re.match(r"\s*\w+$", behind[1])):
            trailing = len(behind[1])
            yield f"{behind[1]}  ///< {marked_up(behind[2])}"
        else:
            yield line


if __name__ == "__main__":
    path = pathlib.Path(sys.argv[1])
    print("\n".join(filtered(path.read_text("utf-8").splitlines())))
