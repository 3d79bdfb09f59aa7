// words: what peers, logics, callers and upstreams of the torture test say to each other. Each text
// carries its number and a body that no other has, so that a byte of another, a byte too few or a
// byte in another place is noticed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace torture {

// How a listener or an upstream is spoken to. A greeting is a line protocol with a handshake.
enum class speech : std::uint8_t { raw, line, telnet, resp, greeting };
std::string_view name(speech) noexcept;

// "q17 200": question 17, whose answer has a body of 200 bytes. A request of a pool is the same.
struct question {
    std::uint64_t id = 0;
    std::size_t size = 0;
};
std::string to_text(const question&);
std::optional<question> to_question(std::string_view text);

// "a17 u5 " and the body: the answer to question 17, by the session 5. Of an upstream there is no
// session: 0. A push to one session is "p3 u5 "; "b4 u0 " is for all sessions of a listener.
struct answer {
    char kind = 'a';
    std::uint64_t id = 0;
    std::uint64_t session = 0;
    std::size_t size = 0;  // of the body
};
std::string to_text(const answer&);
std::optional<answer> to_answer(std::string_view text);  // none if it is not whole, or not well

// The bytes of a raw conversation, which is an echo: the byte at a place in it is always the same.
char raw_byte(std::uint64_t conversation, std::uint64_t place) noexcept;

// The same as bytes.
void pack_question(speech, const question&, std::string& out);
void pack_text(speech, std::string_view text, std::string& out);

// The first text in `input`, which is taken out of it; none if it is not whole. What cannot be the
// beginning of one fails the test.
std::optional<std::string> take_text(speech, std::string& input);

}  // namespace torture
