// apps/memcached_items: requests whose answers are views of what is kept.
#include "../apps/memcached_items.hpp"

#include <boost/test/unit_test.hpp>
#include <string>
#include <string_view>

namespace {

// Says commands to items of its own, and compares the answers; "none" is none.
struct dialogue {
    explicit dialogue(std::size_t room = 10'000) : items(bounded_map(room)) {}

    void operator()(const std::string& asked, const std::string& expected) {
        const auto said = items(ice::memcached_request_view(asked + "\r\n"));
        BOOST_TEST((said ? std::string(said->bytes()) : "none") ==
                       (expected == "none" ? expected : expected + "\r\n"),
                   asked);
    }

    memcached_items items;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(memcached_items_)

BOOST_AUTO_TEST_CASE(a_key_that_is_read_and_touched_twice_in_one_request) {
    // The danger: the second touch stores the item anew, and the answer views the first one. The
    // address sanitizer tells.
    memcached_items items{bounded_map(1000)};
    const auto answer = [&](std::string_view request) {
        const auto said = items(ice::memcached_request_view(request));
        return said ? std::string(said->bytes()) : "none";
    };
    BOOST_TEST(answer("set k 0 0 1\r\nx\r\n") == "STORED\r\n");
    BOOST_TEST(answer("gat 100 k none k\r\n") == "VALUE k 0 1\r\nx\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
    BOOST_TEST(answer("gat -1 k k\r\n") == "END\r\n");
}

BOOST_AUTO_TEST_CASE(mg_tells_what_its_flags_ask_for_in_their_order) {
    dialogue d;
    d("ms k 2 T0 F7 c\r\nhi", "HD c1");
    d("mg k", "HD");
    d("mg k v", "VA 2\r\nhi");
    d("mg k s v f k t c O123 q", "VA 2 s2 f7 kk t-1 c1 O123\r\nhi");
    d("mg k t s", "HD t-1 s2");
    d("mg k T100 t", "HD t100");
    d("mg k T0 t", "HD t-1");
    d("mg none v k O1", "EN knone O1");
    d("mg none v q k", "none");
    d("mg k T-1", "HD");
    d("mg k", "EN");
}

BOOST_AUTO_TEST_CASE(ms_has_modes_and_a_condition) {
    dialogue d;
    d("ms k 2 ME k O1\r\nab", "HD kk O1");
    d("ms k 2 ME q k O1\r\nxx", "NS kk O1");
    d("ms k 2 MA c\r\ncd", "HD c2");
    d("ms k 1 MP q F9\r\n<", "none");
    d("mg k v f", "VA 5 f0\r\n<abcd");
    d("ms k 1 MR F3 T50\r\nx", "HD");
    d("mg k v f t", "VA 1 f3 t50\r\nx");
    d("ms k 1 C9 k c\r\ny", "EX kk c0");
    d("ms k 1 C4 c\r\ny", "HD c5");
    d("ms none 1 C4 q\r\ny", "NF");
    for (const char* mode : {"MA", "MP", "MR"})
        d(std::string("ms none 1 O7 ") + mode + "\r\ny", "NS O7");
    d("mg none", "EN");
    dialogue small(300);
    small("ms k 200\r\n" + std::string(200, 'x'), "SERVER_ERROR out of memory storing object");
}

BOOST_AUTO_TEST_CASE(md_and_ma_change_an_item_if_its_version_is_the_one) {
    dialogue d;
    d("md none k O1", "NF knone O1");
    d("md none q", "NF");
    d("ms k 1\r\nx", "HD");
    d("md k C9 q O2", "EX O2");
    d("md k C1 q", "none");
    d("ma n k", "NF kn");
    d("ma n N0 J13 v t", "VA 2 t-1\r\n13");
    d("ma n N0 J13 v", "VA 2\r\n14");
    d("ma n D6 MI v T60 t k", "VA 2 t60 kn\r\n20");
    d("ma n D30 MD c", "HD c5");
    d("ma n v q", "none");
    d("ma n C5 v", "EX");
    d("ma n M- v", "VA 1\r\n0");
    d("ma new N0 q k", "HD knew");
    d("ms text 1\r\nx", "HD");
    d("ma text q", "CLIENT_ERROR cannot increment or decrement non-numeric value");
    d("mg n v", "VA 1\r\n0");
}

BOOST_AUTO_TEST_CASE(a_flag_that_is_unknown_twice_there_or_without_its_token_is_an_error) {
    // Danger: the client believes that the server has done what the flag says.
    dialogue d;
    d("ms k 1\r\nx", "HD");
    for (const char* bad : {"x", "b", "h", "l", "I", "S", "1", "N0"})
        d(std::string("mg k v ") + bad, "CLIENT_ERROR invalid flag");
    d("mg k v v", "CLIENT_ERROR duplicate flag");
    d("ms k 1 k k\r\ny", "CLIENT_ERROR duplicate flag");
    d("md k k k", "CLIENT_ERROR invalid or duplicate flag");
    d("ma k Dx", "CLIENT_ERROR invalid or duplicate flag");
    for (const char* bad : {"Tx", "T", "Cx", "C", "C-1"})
        d(std::string("ms k 1 ") + bad + "\r\ny", "CLIENT_ERROR bad token in command line format");
    for (const char* bad : {"Fx", "F", "F4294967296"})
        d(std::string("ms k 1 ") + bad + "\r\ny", "CLIENT_ERROR bad command line format");
    for (const char* bad : {"M", "Mset"})
        d(std::string("ms k 1 ") + bad + "\r\ny", "CLIENT_ERROR incorrect length for M token");
    d("ms k 1 Mx\r\ny", "CLIENT_ERROR invalid mode for ms M token");
    d("ma k Mx", "CLIENT_ERROR invalid mode for ma M token");
    d("mg k O" + std::string(31, '1'), "HD O" + std::string(31, '1'));
    for (const char* name : {"mg", "md", "ma"})
        d(std::string(name) + " none q O" + std::string(32, '1'),
          "CLIENT_ERROR opaque token too long");
    d("mg " + std::string(251, 'k'), "CLIENT_ERROR bad command line format");
    for (const char* alone : {"mg", "md", "ma"}) d(alone, "ERROR");
    d("mg k v", "VA 1\r\nx");
    d("mn", "MN");
}

BOOST_AUTO_TEST_SUITE_END()
