// words: the texts of the torture test. Each has its number and a body that no other text has, so
// that a byte of another text, a missing byte or a byte at another place is detected.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace torture {

// The protocol of a listener or an upstream. A greeting is a line protocol with a handshake.
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

// The bytes of a raw session, which is an echo: the byte at each place is known.
char raw_byte(std::uint64_t conversation, std::uint64_t place) noexcept;

// The same as bytes.
void pack_question(speech, const question&, std::string& out);
void pack_text(speech, std::string_view text, std::string& out);

// Takes the first text out of `input`; none if it is not whole. Bytes that cannot begin a text fail
// the test.
std::optional<std::string> take_text(speech, std::string& input);

}  // namespace torture
