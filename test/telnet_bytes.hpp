// telnet_bytes: the commands of telnet (RFC 854) as texts, for tests that compare bytes.
#pragma once

#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/protocols/telnet.hpp>
#include <string>
#include <string_view>

namespace telnet_bytes {

inline const std::string iac = "\xff", dont = "\xfe", do_ = "\xfd", wont = "\xfc", will = "\xfb",
                         sb = "\xfa", ga = "\xf9", ayt = "\xf6", ip = "\xf4", dm = "\xf2",
                         nop = "\xf1", se = "\xf0", yes = "\r\n[Yes]\r\n", nul("\0", 1);

// The numbers of options.
enum : int { binary = 0, echo = 1, sga = 3, ttype = 24, naws = 31, charset = 42 };

inline std::string option(const std::string& verb, int number) {
    return iac + verb + static_cast<char>(number);
}
inline std::string sub(int number, const std::string& data) {
    return iac + sb + static_cast<char>(number) + data + iac + se;
}

inline const std::string send_type = sub(ttype, "\1"), ask_utf8 = sub(charset, "\1;UTF-8");

inline std::string hex(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) text += fmt::format("{:02x} ", static_cast<unsigned char>(c));
    return text;
}

// n times.
inline std::string many(const std::string& text, std::size_t n) {
    std::string all;
    for (std::size_t i = 0; i < n; ++i) all += text;
    return all;
}

inline ice::telnet server_with(ice::telnet_options wanted) {
    ice::telnet p(std::move(wanted));
    p.as_server();
    return p;
}

// What p says when it is given `input`, all of it.
inline std::string say(ice::telnet& p, std::string_view input) {
    std::string out;
    for (;;) {
        const auto found = p.parse(input, out);
        BOOST_TEST(!found.failed());
        if (found.size() == 0) return out;
        input.remove_prefix(found.size());
    }
}

}  // namespace telnet_bytes
