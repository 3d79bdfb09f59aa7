"""docs/limits.md lists each limit and timeout of limits.hpp, and of the options of clients of NATS,
buses and subscribers of Redis, with the default that it has there."""
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
HEADER = (ROOT / "include/ice/limits.hpp").read_text("utf-8")
NO_LIMIT = r"    (std::string \w+ = |\w+ \w+\{)"  # names, and members that are structures


def options(header, structure):
    text = (ROOT / f"include/ice/{header}.hpp").read_text("utf-8")
    body = re.search(rf"^struct {structure} \{{$.*?^\}};$", text, re.M | re.S)[0]
    return "".join(line for line in body.splitlines(True) if not re.match(NO_LIMIT, line)) + "\n"


OPTIONS = (options("nats_client", "nats_client_options") + options("bus", "bus_options")
           + options("redis_subscriber", "redis_subscriber_options"))
TABLES = (ROOT / "docs/limits.md").read_text("utf-8")


def declared():
    for name, body in re.findall(r"^struct (\w+) \{$(.*?)^\};$", HEADER + OPTIONS, re.M | re.S):
        for field, default in re.findall(r"^    [\w:<>]+(?: \w+)? (\w+) = (.+);$", body, re.M):
            yield f"{name}::{field}", default


def listed():
    for section in re.split(r"^## ", TABLES, flags=re.M)[1:]:
        structures = re.findall(r"`ice::(\w+)`", section.splitlines()[0])
        for field, default in re.findall(r"^\| `([\w:]+)` \| `([^`]+)` \|", section, re.M):
            yield field if "::" in field else f"{structures[0]}::{field}", default


def test_the_tables_have_all_limits_with_their_defaults():
    # Danger: a default changes, or a limit is added, and the table goes on telling the old one.
    assert list(listed()) == list(declared())


def test_no_member_of_the_structures_is_overlooked():
    # Danger: a member whose type the expression above does not know would be missing in both.
    limits = HEADER[:HEADER.index("constexpr std::size_t conn")]
    members = re.findall(r"^    (?!//)\S.*;$", limits + OPTIONS, re.M)
    assert len(members) == len(list(declared()))
