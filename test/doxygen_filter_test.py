"""The reference lacks each comment that the filter drops, without a warning."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
from doxygen_filter import filtered

HEADER = """\
// thing: what it is. What it
// never does.
#pragma once

namespace ice {

// Of its own, not `<b>` but <b>.
class [[nodiscard]] thing {
public:
    // -- life

    // Begins.
    //     thing t;
    explicit thing(int n)
        : n_(n) {
        // Why it is so.
        go(n);  // and this
    }

    int size = 1;  // how much,
                   // in bytes
    int other = 2;
};

enum class kind {
    a,  // the first
    b,
};

}  // namespace ice

template <>
struct fmt::formatter<ice::thing> {};
""".splitlines()


def test_a_header_is_shown_with_all_its_comments():
    assert [line for line in filtered(HEADER) if line] == [
        "/// @file", "/// thing: what it is. What it", "/// never does.", "#pragma once",
        "namespace ice {",
        "/// What it is. What it", "/// never does.", "/// ",
        "/// Of its own, not `<b>` but \\<b\\>.", "class [[nodiscard]] thing {", "public:",
        "    /// Begins.", "    /// @code{.cpp}", "    ///     thing t;", "    /// @endcode",
        "    explicit thing(int n)", "        : n_(n) {", "        go(n);  // and this", "    }",
        "    int size = 1;  ///< how much,", "                   ///< in bytes",
        "    int other = 2;", "};",
        "enum class kind {", "    a,  ///< the first", "    b,", "};", "}  // namespace ice"]


def test_marks_of_planted_bugs_are_not_shown():
    header = ["// thing: it goes.", "class thing {", "    void go();  // mutant: go", "};"]
    assert "    void go();" in filtered(header)
