// Seed defect 8: the client side fed its whole buffer to the parser at each read, which broke
// parsers with a state, and dropped what followed the first reply.
#include "../upstream.hpp"

namespace {

// Messages end with '.', and the parser counts the bytes that it is given for the first time.
struct counting {
    std::size_t* fresh_bytes;
    std::size_t known = 0;

    ice::parsed<std::string_view> parse(std::string_view input) {
        *fresh_bytes += input.size() - known;
        known = input.size();
        const std::size_t end = input.find('.');
        if (end == input.npos) return ice::need_more;
        known -= end + 1;
        return {input.substr(0, end), end + 1};
    }
    void packet(std::string_view text, std::string& out) { out.append(text).append("."); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_reply_in_pieces_is_parsed_once_and_a_second_reply_is_kept) {
    test::world w;
    test::upstream up(w);
    std::size_t fresh = 0;
    constexpr ice::pool_name<counting> name{"up"};
    auto& pool = w.srv.add(ice::tcp_client_action{up.where(), name, 1, counting{&fresh}});
    auto& conn = up.accept();
    auto talk = [&]() -> ice::task<std::string> {
        auto lease = co_await pool.acquire();
        co_await (*lease)->send("q1");
        co_await (*lease)->send("q2");
        auto first = co_await (*lease)->receive();
        std::string both(first.value());
        auto second = co_await (*lease)->receive();
        both += second.value();
        co_return both;
    };
    std::string got;
    auto keep = [&]() -> ice::task<> { got = co_await talk(); };
    const auto context =
        std::make_shared<ice::server_context>(ice::make_socket_transport(w.io.get_executor()));
    ice::spawn(context, keep(), "talk");
    BOOST_TEST(conn.read(6) == "q1.q2.");
    for (const char c : std::string("one.two.")) {
        conn.send(std::string_view(&c, 1));
        w.settle();
    }
    w.until([&] { return !got.empty(); });
    BOOST_TEST(got == "onetwo");
    BOOST_TEST(fresh == 8U);
}
