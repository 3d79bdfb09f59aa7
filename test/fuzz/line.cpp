// Compares `line` with lines that std::string::find() finds.
#include <ice/protocols/line.hpp>

#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input in(bytes, size);
    static const std::string delimiters[] = {"\r\n", "\n", "aab", "aa"};
    static const std::size_t limits[] = {8 * 1024, 5, 0};
    const std::string& delimiter = delimiters[in.choose(4)];
    const std::size_t limit = limits[in.choose(3)];
    const auto seen = fuzz::same_at_every_cut(ice::line(delimiter, limit), in);

    std::string_view rest = in.data();
    bool too_large = false;
    for (const std::string& found : seen.messages) {
        const std::size_t end = rest.find(delimiter);
        fuzz::check(end != rest.npos && rest.substr(0, end) == found, "it is the next line");
        fuzz::check(found.size() <= limit, "no line is beyond the limit");
        rest.remove_prefix(end + delimiter.size());

        ice::line p(delimiter, limit);
        std::string sent;
        fuzz::check(!ice::packet(p, found, sent) && sent == found + delimiter,
                    "a line can be sent back");
    }
    const std::size_t end = rest.find(delimiter);
    too_large = end != rest.npos ? end > limit : rest.size() >= limit + delimiter.size();
    fuzz::check(seen.error ==
                    (too_large ? make_error_code(ice::errc::message_too_large) : ice::error_code()),
                "the error is that of the next line");
    fuzz::check(seen.error || end == rest.npos, "no line is left over");
    return 0;
}
