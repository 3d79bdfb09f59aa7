// Compares `memcached_requests` with a parser that splits a line into words with a stream.
#include <ice/protocols/memcached_requests.hpp>
#include <sstream>

#include "fuzz.hpp"

namespace {

constexpr std::size_t none = std::string_view::npos;  // no whole request, or none at all

// How many bytes the request at the beginning takes.
std::size_t plain_size(std::string_view in) {
    const std::size_t lf = in.find('\n');
    if (lf == none) return none;
    std::istringstream line{std::string(in.substr(0, lf))};
    std::vector<std::string> words;
    for (std::string word; line >> word;) words.push_back(word);
    if (words.empty()) return none;
    std::size_t at = 0;
    for (const char* name : {"set", "add", "replace", "append", "prepend", "cas"}) {
        if (words[0] == name) at = 4;
    }
    if (words[0] == "ms") at = 2;
    if (at == 0) return lf + 1;
    if (words.size() <= at) return none;
    const std::size_t zeros = std::min(words[at].find_first_not_of('0'), words[at].size());
    if (words[at].size() - zeros > 18) return none;  // it would overflow
    std::size_t size = 0;
    for (const char c : words[at]) {
        if (c < '0' || c > '9') return none;
        size = 10 * size + static_cast<std::size_t>(c - '0');
    }
    const std::size_t end = lf + 1 + size;
    return in.size() >= end + 2 && in.substr(end, 2) == "\r\n" ? end + 2 : none;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input in(bytes, size);
    static const std::size_t limits[] = {1024 * 1024, 40};
    const std::size_t limit = limits[in.choose(2)];
    const auto seen = fuzz::same_at_every_cut(ice::memcached_requests(limit), in, 64);

    std::string_view rest = in.data();
    for (const ice::memcached_request& request : seen.messages) {
        while (!rest.starts_with(request.bytes()) || plain_size(rest) == none) {
            fuzz::check(rest.find_first_not_of(" \r\n") != 0, "only empty lines are skipped");
            rest.remove_prefix(rest.find('\n') + 1);
        }
        fuzz::check(request.bytes().size() <= limit, "no request is beyond the limit");
        fuzz::check(plain_size(rest) == request.bytes().size(), "it has the right size");
        std::size_t words = 0;
        for (const std::string_view word : request) {
            fuzz::check(!word.empty() && word == request.word(words++), "words are not empty");
        }
        fuzz::check(words != 0 && words == request.size(), "there is a command");
        fuzz::check(request.value().size() < request.bytes().size(), "a value is in its request");
        fuzz::check(!request.is_quiet() || request.word(words - 1) == "noreply", "noreply is last");
        rest.remove_prefix(request.bytes().size());
    }
    return 0;
}
