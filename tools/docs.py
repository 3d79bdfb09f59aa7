#!/usr/bin/env python3
"""Makes the documents as a site, build/docs/site/index.html: `./run docs`. Any warning ends it.

The pages are the Markdown files of the repository, wherever they lie; a link from one to a file
that is no page leads to a copy of that file. Doxygen makes the reference of the public headers.
Each type, concept and enumeration in them needs a comment that says what it is.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "docs"
PAGES = {"README.md": "index.md", "bench/README.md": "benchmarks.md",
         **{f"{name.upper()}.md": f"{name}.md"
            for name in ("contributing", "security", "changelog")},
         **{f"docs/{name}.md": f"{name}.md"
            for name in ("tutorial", "how-to", "coroutine-traps", "limits", "glossary", "reference",
                         "design", "simulation", "transport")}}
LINK = re.compile(r"(\]\(|(?:src|srcset)=\")([^)\"#:\s]+)((?:#[^)\"]*)?[)\"])")
TITLE = "# The headers of ice\n\n<a href=\"../index.html\">Back to the documents</a>\n"


def staged(source, target):
    """Where a link in the page `source` leads on the site; copies what is no page."""
    if source == "docs/reference.md" and target.startswith("api/"):
        return target
    path = (ROOT / source).parent.joinpath(target).resolve().relative_to(ROOT)
    if str(path) in PAGES:
        return PAGES[str(path)]
    if (ROOT / path).is_dir():
        files = sorted(file for file in (ROOT / path).iterdir() if file.is_file())
        listing = "".join(f"* [{file.name}]({copied(file.relative_to(ROOT))[len('files/'):]})\n"
                          for file in files)
        page = f"files/{str(path).replace('/', '-')}.md"
        (BUILD / "pages" / page).write_text(f"# {path}\n\n{listing}", "utf-8")
        return page
    if not (ROOT / path).is_file():
        sys.exit(f"{source}: there is no {target}")
    return copied(path)


def copied(path):
    """A file as the browser shows it: as text, unless it is a picture."""
    flat = str(path).replace("/", "-") + ("" if path.suffix == ".svg" else ".txt")
    place = BUILD / "pages" / "files" / flat
    shutil.copyfile(ROOT / path, place)
    return f"files/{flat}"


def stage():
    pages = BUILD / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    (pages / "files").mkdir(parents=True)
    shutil.copytree(BUILD / "doxygen" / "html", pages / "api")
    shutil.copy(ROOT / "docs" / "site.css", pages)
    for source, page in PAGES.items():
        text = (ROOT / source).read_text("utf-8")
        text = LINK.sub(lambda link: link[1] + staged(source, link[2]) + link[3], text)
        (pages / page).write_text(text, "utf-8")


def described(element):
    return any("".join(part.itertext()).strip()
               for name in ("briefdescription", "detaileddescription")
               for part in element.findall(name))


def undocumented(folder):
    """Yields the public types, concepts and enumerations of ice that say nothing."""
    for path in sorted(folder.glob("*.xml")):
        for compound in xml.parse(path).getroot().iter("compounddef"):
            name, kind = compound.findtext("compoundname"), compound.get("kind")
            if kind in ("class", "struct", "union", "concept"):
                # A member's or a specialisation's is the business of what it belongs to.
                if re.fullmatch(r"ice::(testing::)?\w+", name) and not described(compound):
                    yield f"{kind} {name}"
            if kind == "namespace":
                for member in compound.iter("memberdef"):
                    values = member.findall("enumvalue")
                    if values and not described(member) and not any(map(described, values)):
                        yield f"enum {name}::{member.findtext('name')}"


def run(*command):
    made = subprocess.run(command, cwd=ROOT, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode:
        sys.exit(f"{made.stdout}\n{command[0]} failed")


def main():
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(BUILD / "doxygen", ignore_errors=True)
    (BUILD / "main.md").write_text(TITLE, "utf-8")
    run("doxygen", "docs/Doxyfile")
    silent = list(undocumented(BUILD / "doxygen" / "xml"))
    if silent:
        sys.exit("\n".join(f"no comment says what this is: {what}" for what in silent))
    stage()
    run("mkdocs", "build", "--strict", "--config-file", "docs/mkdocs.yml")
    print(f"{BUILD.relative_to(ROOT) / 'site' / 'index.html'}")


if __name__ == "__main__":
    main()
