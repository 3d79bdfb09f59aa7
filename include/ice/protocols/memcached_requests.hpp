// memcached_requests: the requests that clients of memcached send to a server, in its text protocol
// (doc/protocol.txt of memcached 1.6.18). For servers; clients use memcached.
#pragma once

#include <ice/protocols/memcached.hpp>
#include <span>

namespace ice {

namespace detail {

// These functions read one request. Requires: parse() made it, or it is empty.
ICE_API std::string_view memcached_request_line(std::string_view bytes) noexcept;
ICE_API std::string_view memcached_request_word(std::string_view& line) noexcept;  // takes it off
ICE_API std::string_view memcached_request_value(std::string_view bytes) noexcept;
ICE_API bool memcached_request_is_quiet(std::string_view bytes) noexcept;
ICE_API std::optional<std::uint64_t> memcached_request_number(std::string_view word) noexcept;

}  // namespace detail

// One request: a command line, and the value behind that of set, add, replace, append, prepend, cas
// and ms. It is a memcached_request_view of bytes elsewhere, or a memcached_request with bytes of
// its own. A view that parse() returned is valid until the next parse().
template <class Bytes>
class basic_memcached_request {
public:
    using owns = std::is_same<Bytes, std::string>;  // see ice::owned

    // A forward iterator over the words. Behind the last one it stays at the end.
    class iterator {
    public:
        using value_type = std::string_view;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        std::string_view operator*() const { return word_; }
        iterator& operator++() {
            word_ = detail::memcached_request_word(rest_);
            return *this;
        }
        iterator operator++(int) {
            const auto before = *this;
            ++*this;
            return before;
        }
        bool operator==(const iterator& b) const {
            return word_.size() == b.word_.size() && rest_.size() == b.rest_.size();
        }

    private:
        friend class basic_memcached_request;
        explicit iterator(std::string_view line) : rest_(line) { ++*this; }
        std::string_view rest_;  // behind the word
        std::string_view word_;  // "" at the end
    };

    basic_memcached_request() = default;  // without words
    // Requires: `bytes` is exactly one well-formed request: memcached_request("get a b\r\n").
    explicit basic_memcached_request(Bytes bytes) : bytes_(std::move(bytes)) {}
    template <class Other>
        requires(!std::same_as<Other, Bytes>)
    basic_memcached_request(const basic_memcached_request<Other>& other) : bytes_(other.bytes()) {}

    // The words of the command line. word(0) is the command, with the case in which it was sent;
    // word(1) is mostly a key. "" beyond the last one. Each call passes over the words before: use
    // the iterators for many keys.
    std::string_view word(std::size_t at) const noexcept {
        auto found = begin();
        for (; at != 0; --at) ++found;
        return *found;
    }
    // How many words there are; as slow as word().
    std::size_t size() const noexcept {
        std::size_t count = 0;
        for (auto at = begin(); at != end(); ++at) ++count;
        return count;
    }
    iterator begin() const noexcept {
        return iterator(detail::memcached_request_line(std::string_view(bytes_)));
    }
    iterator end() const noexcept { return iterator(); }
    // A word as an unsigned number; none if it is not one.
    std::optional<std::uint64_t> number(std::size_t at) const noexcept {
        return detail::memcached_request_number(word(at));
    }
    // The value: any bytes. Empty for a command that has none.
    std::string_view value() const noexcept { return detail::memcached_request_value(bytes_); }
    // Whether the last word is noreply, of a command that has it, and no key. Then the client waits
    // for no reply, not even an error: a logic returns no answer. A meta command has the flag q
    // instead, which suppresses some replies.
    bool is_quiet() const noexcept { return detail::memcached_request_is_quiet(bytes_); }

    std::string_view bytes() const noexcept { return bytes_; }
    template <class Other>
    bool operator==(const basic_memcached_request<Other>& other) const noexcept {
        return bytes() == other.bytes();
    }

private:
    Bytes bytes_;
};

using memcached_request_view = basic_memcached_request<std::string_view>;
using memcached_request = basic_memcached_request<std::string>;

template <>
struct owned<memcached_request_view> {
    using type = memcached_request;
};

// These functions make replies that own their bytes. Constants need none of them:
// memcached_view("STORED\r\n").
// VALUE .. END, with the key, the flags and the value of each item, and `cas` for gets and gats.
ICE_API memcached_reply memcached_values(std::span<const memcached_item> items, bool with_cas);
ICE_API memcached_reply memcached_number(std::uint64_t number);
// CLIENT_ERROR and a text, in which each control character becomes a blank.
ICE_API memcached_reply memcached_client_error(std::string_view text);
ICE_API memcached_reply memcached_server_error(std::string_view text);

class ICE_API memcached_requests {
public:
    // Bytes of a command line with its line end, as in memcached. get and gets may be as long as
    // the limit of a request.
    static constexpr std::size_t line_limit = 2048;

    // A request has at most 1 MiB, as limits::message.
    memcached_requests() = default;
    // A request, and an answer, has at most `limit` bytes, lines and line ends included.
    // limits::message bounds it as well.
    explicit memcached_requests(std::size_t limit) : limit_(limit) {}

    // Returns a request. A line ends with LF or CR LF, a value with CR LF. The first word is any,
    // and its line may have too many words or too few: the logic answers ERROR to a command that it
    // does not know. parse() skips empty lines. It reserves no memory for a length that is only
    // declared, and resumes where it stopped.
    //
    // Returns errc::closed for quit alone. Returns errc::message_too_large for a request that is
    // longer than the limit, or as soon as a length that it declares would make it so, and for a
    // line beyond line_limit; errc::bad_message for a line with a control character, a command
    // whose length of the value is no number, and a value that does not end where its length says:
    // memcached would take parts of such a value for commands. Before each of these errors but
    // closed it appends an error reply that says why to `out`.
    parsed<memcached_request_view> parse(std::string_view input, std::string& out);

    // Appends an answer. Returns errc::message_too_large beyond the limit.
    error_code packet(memcached_view reply, std::string& out) {
        if (reply.bytes().size() > limit_) return make_error_code(errc::message_too_large);
        out.append(reply.bytes());
        return {};
    }

private:
    parsed<memcached_request_view> line(std::string_view input, std::string& out);
    parsed<memcached_request_view> value(std::string_view input, std::string& out);

    std::size_t limit_ = 1024 * 1024;  // limits::message
    std::size_t at_ = 0;               // the line has no LF before it; or the offset of the value
    std::size_t value_ = 0;            // bytes of the value
    bool in_value_ = false;
};

}  // namespace ice
