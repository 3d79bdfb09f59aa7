"""test/readme.py finds each way in which a block can differ from its program, and each way in which
a step of the tutorial can be too large."""
import subprocess
import sys

import pytest
import readme

STEPS = {
    1: ["#include <ice/ice.hpp>", "", "// [main]", "int main() {", "    // [run]",
        "    ice::server srv;", "", "    // [inner]", "    srv.add(action{});", "    // [inner]",
        "    srv.run();", "    // [run]", "}", "// [main]"],
    2: ["#include <ice/ice.hpp>", "int main() {", "ice::server srv;", "srv.add(action{}.logic(f));",
        "srv.run();", "}"]}
STEPS |= {step: [*STEPS[2][:-1], *[f"more({i});" for i in range(3, step + 1)], "}"]
          for step in (3, 4, 5)}
FIRST, SECOND, THIRD = readme.STEPS[:3]

WHOLE = ("#include <ice/ice.hpp>\n\nint main() {\n    ice::server srv;\n\n    srv.add(action{});\n"
         "    srv.run();\n}\n")
RUN = "ice::server srv;\n\nsrv.add(action{});\nsrv.run();\n"


def block(source, code):
    return f"Some words.\n\n<!-- {source} -->\n```cpp\n{code}```\n"


README = "# ice\n\n<!-- a remark -->\n" + "".join([
    block(FIRST, WHOLE),
    block(f"{FIRST} [run]", RUN),
    block(f"{FIRST} [inner]", "srv.add(action{});\n"),
    block(SECOND, "\n".join(STEPS[2]) + "\n"),
    block(THIRD, "\n".join(STEPS[3]) + "\n")]) + "```sh\nmake\n```\n"


@pytest.fixture
def tree(tmp_path):
    """A project whose README and steps are right."""
    (tmp_path / "apps/tutorial").mkdir(parents=True)
    for step, name in enumerate(readme.STEPS, 1):
        (tmp_path / name).write_text("\n".join(STEPS[step]) + "\n")
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def edit(file, old, new, count=-1):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, count))


def check(tree, capsys, *options):
    """What readme.py prints, and whether it failed."""
    failed = readme.main([str(tree), *options])
    return capsys.readouterr().out, failed


def test_blocks_that_equal_their_files_pass(tree, capsys):
    assert not check(tree, capsys)[1]


def test_an_edited_block_is_shown_with_its_line_and_its_difference(tree, capsys):
    edit(tree / "README.md", "ice::server srv;\n\nsrv.add", "ice::server s;\n\nsrv.add")
    out, failed = check(tree, capsys)
    assert failed
    assert f"README.md:{README[:README.index('[run]')].count(chr(10)) + 1}: the block diff" in out
    assert "\n-ice::server s;\n" in out and "\n+ice::server srv;\n" in out
    assert f"+++ {FIRST} [run]" in out


def test_an_edited_program_is_shown_in_every_block_cut_from_it(tree, capsys):
    edit(tree / FIRST, "srv.run();", "srv.run(1);")
    out, failed = check(tree, capsys)
    assert failed and out.count("the block differs") == 2


def test_a_blank_line_lost_is_a_difference(tree, capsys):
    edit(tree / "README.md", "srv;\n\nsrv.add", "srv;\nsrv.add")
    assert check(tree, capsys)[1]


def test_indentation_lost_within_a_block_is_a_difference(tree, capsys):
    edit(tree / "README.md", "    srv.run();", "srv.run();")
    assert check(tree, capsys)[1]


@pytest.mark.parametrize("old, new, count, words", [
    ("// [inner]\n", "", -1, "has 0 lines `// [inner]`"),
    ("    // [inner]\n", "", 1, "has 1 lines `// [inner]`"),
    ("srv.run();\n", "srv.run();\n// [inner]\n", 1, "has 3 lines `// [inner]`")])
def test_a_tag_that_is_not_a_pair_is_missing(tree, capsys, old, new, count, words):
    edit(tree / FIRST, old, new, count)
    out, failed = check(tree, capsys)
    assert failed and words in out


def test_a_block_of_no_file_is_a_fault(tree, capsys):
    edit(tree / "README.md", f"{FIRST} [run]", "apps/gone.cpp [run]")
    out, failed = check(tree, capsys)
    assert failed and "apps/gone.cpp does not exist" in out


def test_a_comment_without_its_block_is_a_fault(tree, capsys):
    edit(tree / "README.md", f"<!-- {THIRD} -->\n", f"<!-- {THIRD} -->\nWords between.\n")
    out, failed = check(tree, capsys)
    assert failed and f"no code block follows the comment for {THIRD}" in out


def test_a_readme_with_four_blocks_is_a_fault(tree, capsys):
    edit(tree / "README.md", f"<!-- {THIRD} -->\n", "")
    out, failed = check(tree, capsys)
    assert failed and "4 code blocks name their file, at least 5" in out


def test_no_readme_is_a_fault(tree, capsys):
    (tree / "README.md").unlink()
    out, failed = check(tree, capsys)
    assert failed and "README.md does not exist" in out


def test_fix_rewrites_the_blocks_and_nothing_else(tree, capsys):
    edit(tree / "README.md", "srv.run();", "drifted(\\1);")
    out, failed = check(tree, capsys, "--fix")
    assert not failed and "rewritten" in out
    assert (tree / "README.md").read_text() == README


def test_fix_does_not_hide_a_missing_tag(tree, capsys):
    edit(tree / FIRST, "    // [inner]\n", "")
    edit(tree / "README.md", "int main() {", "int start() {")
    out, failed = check(tree, capsys, "--fix")
    assert failed and "has 0 lines `// [inner]`" in out
    assert (tree / "README.md").read_text() == README


def test_a_step_that_changes_three_lines_is_shown_with_them(tree, capsys):
    edit(tree / SECOND, "srv.run();", "srv.go();")
    edit(tree / SECOND, "ice::server srv;", "ice::server srv{1};")
    out, failed = check(tree, capsys)
    assert failed and f"{SECOND}: changes 3 lines of {FIRST}, at most 2:" in out
    for line in ("ice::server srv;", "srv.add(action{});", "srv.run();"):
        assert f"\n    - {line}" in out


def test_a_step_that_changes_two_lines_passes(tree, capsys):
    edit(tree / SECOND, "srv.run();", "srv.go();")
    assert "changes" not in check(tree, capsys)[0]


def test_a_step_that_removes_three_lines_is_a_fault(tree, capsys):
    edit(tree / THIRD, "#include <ice/ice.hpp>\n", "")
    edit(tree / THIRD, "srv.run();\n", "")
    edit(tree / THIRD, "ice::server srv;\n", "")
    assert f"{THIRD}: changes 3 lines of {SECOND}" in check(tree, capsys)[0]


def test_comments_blank_lines_and_indentation_are_no_changes(tree, capsys):
    edit(tree / SECOND, "ice::server srv;\n", "\n    // A remark.\n    ice::server srv;\n\n")
    assert "changes" not in check(tree, capsys)[0]


def test_a_missing_step_is_a_fault(tree, capsys):
    (tree / readme.STEPS[4]).unlink()
    out, failed = check(tree, capsys)
    assert failed and f"{readme.STEPS[4]} does not exist" in out


def test_the_exit_status_is_the_verdict(tree):
    command = [sys.executable, readme.__file__, tree]
    assert subprocess.run(command, capture_output=True).returncode == 0
    edit(tree / "README.md", "srv.run();", "srv.go();")
    assert subprocess.run(command, capture_output=True).returncode == 1
