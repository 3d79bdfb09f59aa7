"""The walks of CONTRIBUTING.md name each file that a new protocol, pool option or transport needs.
Each row of a walk is checked for each protocol, option and transport that ice has, so a step that
was left out fails here, with its file. The last tests leave out each step once."""
import functools
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
GUIDE = "CONTRIBUTING.md"
CONTRACT = "docs/transport.md"
LIMITS = "include/ice/limits.hpp"
STATE = "include/ice/pool_state.hpp"

WALKS = {  # heading in CONTRIBUTING.md: the files that it must name
    "Add a protocol": [
        "include/ice/protocols/NAME.hpp", "CMakeLists.txt", "lib/protocols/NAME.cpp",
        "include/ice/ice.hpp", "test/NAME_test.cpp", "test/fuzz/NAME.cpp",
        "test/fuzz/seeds/NAME.txt", "docs/reference.md", "docs/tutorial.md", "README.md",
        "CHANGELOG.md"],
    "Add a pool option": [
        LIMITS, STATE, "lib/pool/*.cpp", "include/ice/detail/*.hpp", "include/ice/pool.hpp",
        "test/pool_bounds_test.cpp", "test/timeouts_test.cpp", "docs/limits.md", "CHANGELOG.md"],
    "Add a transport": [
        "FILE", "SOURCE", "CMakeLists.txt", "HEADER", "test/parity_test.cpp", CONTRACT,
        "CHANGELOG.md"]}


@functools.cache
def read(path):
    return (ROOT / path).read_text("utf-8") if (ROOT / path).is_file() else None


@functools.cache
def find(pattern):
    """The paths that are meant: those that match a pattern, or the one that is named."""
    if "*" not in pattern:
        return [pattern]
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))


class Tree:
    """The files of the repository; `changed` has what differs, None for a missing file."""

    def __init__(self, changed=()):
        self.changed = dict(changed)

    def text(self, path):
        return self.changed[path] if path in self.changed else read(path)


def codes(cell):
    return [code.strip() for _, code in re.findall(r"(`+)(.+?)\1(?!`)", cell)]


def table(text, heading):
    """The rows of the first table below a heading, as lists of cells."""
    section = re.split(rf"^#+ {heading}$", text, maxsplit=1, flags=re.M)
    assert len(section) == 2, f"no heading `{heading}`"
    lines = re.search(r"(?:^\|.*\n)+", section[1], re.M)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def protocols(_):
    for path in find("include/ice/protocols/*.hpp"):
        yield {"NAME": pathlib.Path(path).stem}


def counter(comment):
    """What a comment names as the counter: `(waited)`, or `Counted: connects, ..`."""
    said = re.search(r"Counted: (\w+)|\((?!slowloris)([a-z_]+)\)", re.sub(r"\s*//", "", comment))
    return (said[1] or said[2]) if said else "no counter"


def options(tree):
    """The members of the pools' structures, each with the counter that its comment names."""
    for above, struct, body in re.findall(
            r"((?:^//.*\n)*)^struct ((?:pool|backoff|breaker)_\w+) \{$([\s\S]*?)^\};$",
            tree.text(LIMITS), re.M):
        for comment, option in re.findall(r"((?:^    //.*\n)*)^    (?!//)\S.*? (\w+) = .+;$",
                                          body, re.M):
            yield {"OPTION": option, "STRUCT": struct, "COUNTER": counter(comment + above)}


def transports(tree):
    names = "TRANSPORT", "FILE", "SOURCE", "PLACE", "FUNCTION", "HEADER"
    for row in table(tree.text(CONTRACT), "The transports"):
        yield dict(zip(names, [codes(cell)[0] for cell in row[1:]]))


INSTANCES = {"Add a protocol": protocols, "Add a pool option": options,
             "Add a transport": transports}


def filled(text, values):
    return re.sub("|".join(values), lambda hit: values[hit[0]], text)


def has(text, code):
    """Whether a text has some code, and not only as a part of a longer name."""
    edges = [r"\b" if end.isalnum() else "" for end in (code[0], code[-1])]
    return code in text and re.search(re.escape(code).join(edges), text)


def steps(tree, walk):
    """Each step of a walk for each instance: paths, texts of which one or all must be there."""
    for values in INSTANCES[walk](tree):
        for what, where, contains in table(tree.text(GUIDE), walk):
            optional = "(optional)" in what
            paths = [path for pattern in codes(where)
                     for path in find(filled(pattern, values))]
            wanted = [filled(code, values) for code in codes(contains)]
            if optional and tree.text(wanted[0]) is None:
                continue
            thing = " of ".join(list(values.values())[:2])
            yield f"{walk}, {thing}: {what}", paths, wanted, any if " or " in contains else all


def missing(tree, walk):
    for step, paths, wanted, needed in steps(tree, walk):
        text = "\n".join(tree.text(path) or "" for path in paths)
        if not text.strip() or not needed(has(text, code) for code in wanted or [text.strip()[:1]]):
            yield f"{step}: {' or '.join(paths)} does not have {wanted}"


@pytest.mark.parametrize("walk", WALKS)
def test_ice_itself_has_made_each_step(walk):
    # Danger: a protocol that nobody fuzzes, an option without a counter, a transport that no test
    # compares with the sockets.
    assert len(list(INSTANCES[walk](Tree()))) >= {"Add a pool option": 19}.get(walk, 2)
    assert not list(missing(Tree(), walk))


@pytest.mark.parametrize("walk", WALKS)
def test_each_walk_has_all_steps(walk):
    # Danger: a row is removed, or its file is renamed, and nothing checks that step any more.
    named = {code for row in table(Tree().text(GUIDE), walk) for cell in row[1:]
             for code in codes(cell)}
    assert set(WALKS[walk]) <= named


def test_each_transport_of_the_library_is_in_the_table():
    # Danger: a third transport without a row is checked by nothing.
    found = {name for folder in ("lib", "include") for path in (ROOT / folder).rglob("*.?pp")
             for name in re.findall(r"^class (?:ICE_API )?(\w+)(?: final)? : public \w*transport\b",
                                    path.read_text("utf-8"), re.M)}
    assert found == {row["TRANSPORT"] for row in transports(Tree())}


def test_the_contract_names_each_function_that_a_transport_implements():
    # Danger: a new virtual function that somebody who writes a transport does not learn of.
    text = Tree().text(CONTRACT)
    for header in ("include/ice/channel.hpp", "include/ice/transport.hpp"):
        functions = re.findall(r"virtual [^;{]*?(\w+)\([^;{]*?\)[^;{]*= 0;",
                               Tree().text(header))
        assert functions
        assert [name for name in functions if f"`{name}(" not in text] == []


def lacking(paths, wanted):
    """The tree without what one step added."""
    changed = {}
    for path in paths:
        text = Tree().text(path) or ""
        for code in wanted or [text]:
            text = text.replace(code, "-")
        changed[path] = text if wanted else None
    return Tree(changed)


@pytest.mark.parametrize("walk", WALKS)
def test_a_step_that_is_left_out_is_found(walk):
    # Danger: a check that cannot fail. Each step is left out once, for each protocol, option and
    # transport.
    made = list(steps(Tree(), walk))
    for step, paths, wanted, _ in made:
        if LIMITS not in paths and CONTRACT not in paths:  # these say what there is
            tree = lacking(paths, wanted)
            assert any(found.startswith(step) for found in missing(tree, walk)), step


def test_an_option_without_a_counter_is_found():
    # Danger: a comment loses the name of its counter, and the option still passes.
    text = Tree().text(LIMITS)
    for values in options(Tree()):
        cut = Tree({LIMITS: text.replace(f"({values['COUNTER']})", "")
                    .replace("Counted: ", "Seen: ")})
        assert any("no counter" in found for found in missing(cut, "Add a pool option")), values
