// expect: ice: a message type says whether it owns its bytes
//
// The text of a reply would show a later reply: its connection goes back to the pool.
#include <ice/ice.hpp>
#include <string>

struct word {
#ifdef RIGHT
    using owns = std::true_type;
    std::string text;
#else
    std::string_view text;
#endif
};

struct words {
    ice::parsed<word> parse(std::string_view input) {
        const auto end = input.find(' ');
        if (end == input.npos) return ice::need_more;
        word found;
        found.text = input.substr(0, end);
        return {std::move(found), end + 1};
    }
    void packet(const word& w, std::string& out) { out.append(w.text).append(" "); }
};

constexpr ice::pool_name<words> dictionary{"dictionary"};

ice::task<std::string> ask(ice::server& srv, word what) {
    auto reply = co_await srv.get(dictionary).request(what);
    if (!reply) co_return "?";
    co_return std::string(reply->text);
}
