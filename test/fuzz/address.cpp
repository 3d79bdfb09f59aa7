// Texts of addresses: an accepted one can be written and parsed again, a refused one has an error.
#include <ice/address.hpp>
#include <stdexcept>

#include "fuzz.hpp"

namespace {

void check_same(const ice::address& a) {
    const auto again = ice::address::parse(a.text());
    fuzz::check(again.has_value() && *again == a, "text() is read as the same address");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    const auto parsed = ice::address::parse(text);
    if (parsed) {
        fuzz::check(parsed->is_unix() == parsed->host().empty(), "a host, or a path");
        fuzz::check(parsed->is_unix() != parsed->path().empty(), "a path, or a host");
        check_same(*parsed);
    } else {
        fuzz::check(!parsed.error().message().empty(), "a refusal says why");
    }
    try {
        fuzz::check(ice::address(text) == *parsed, "the constructor reads the same");
    } catch (const std::invalid_argument&) {
        fuzz::check(!parsed.has_value(), "the constructor refuses the same");
    }
    try {
        check_same(ice::address(std::string(text), 65535));  // a host
    } catch (const std::invalid_argument&) {}
    return 0;
}
