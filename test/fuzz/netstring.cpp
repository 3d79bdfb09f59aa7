// Compares `netstring` with a parser that has all bytes, and reads numbers by std::stoull().
#include <ice/limits.hpp>
#include <ice/protocols/netstring.hpp>

#include "fuzz.hpp"

namespace {

// Reads the first message: where it begins, its size, and what is wrong with it.
struct first {
    std::size_t head = 0, size = 0;
    bool whole = false;
    ice::error_code error;
};
first read(std::size_t limit, std::string_view input) {
    first found;
    const auto digits = std::min(input.find_first_not_of("0123456789"), input.size());
    if (digits > 1 && input[0] == '0') found.error = ice::errc::bad_message;
    // 19 digits fit into 64 bits; more of them are beyond any limit.
    for (std::size_t n = 1; !found.error && n <= digits; ++n) {
        found.size = std::stoull(std::string(input.substr(0, std::min<std::size_t>(n, 19))));
        if (n > 19 || found.size > std::min(limit, SIZE_MAX / 16))
            found.error = ice::errc::message_too_large;
    }
    if (found.error || digits == input.size()) return found;
    if (digits == 0 || input[digits] != ':') found.error = ice::errc::bad_message;
    found.head = digits + 1;
    if (found.error || input.size() - found.head <= found.size) return found;
    found.whole = input[found.head + found.size] == ',';
    if (!found.whole) found.error = ice::errc::bad_message;
    return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input in(bytes, size);
    static const std::size_t limits[] = {1024 * 1024, 12, ice::unlimited};
    const std::size_t limit = limits[in.choose(3)];
    ice::netstring p(limit);
    const auto seen = fuzz::same_at_every_cut(p, in);

    std::string_view rest = in.data();
    for (const std::string& found : seen.messages) {
        const first next = read(limit, rest);
        fuzz::check(next.whole && rest.substr(next.head, next.size) == found, "it is the next one");
        std::string sent;
        fuzz::check(!ice::packet(p, std::string_view(found), sent) && rest.starts_with(sent) &&
                        sent.size() == next.head + next.size + 1,
                    "a message can be sent back, as the same bytes");
        rest.remove_prefix(sent.size());
    }
    const first next = read(limit, rest);
    fuzz::check(seen.error == next.error, "the error is that of the next message");
    fuzz::check(!next.whole, "no message is left over");
    return 0;
}
