// resp_redirect: MOVED and ASK of Redis Cluster, and what resembles them.
#include <boost/test/unit_test.hpp>
#include <ice/resp_redirect.hpp>
#include <string>

namespace {

using kinds = ice::resp_redirect::kinds;

bool is(std::string_view error, kinds kind, unsigned slot, std::string_view host, unsigned port) {
    const ice::resp_value reply = ice::resp_error(error);
    const auto found = ice::redirect_of(reply);
    return found && found->kind == kind && found->slot == slot && found->host == host &&
           found->port == port;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(resp_redirect)

BOOST_AUTO_TEST_CASE(moved_and_ask_name_a_slot_and_a_node) {
    BOOST_TEST(is("MOVED 3999 127.0.0.1:6381", kinds::moved, 3999, "127.0.0.1", 6381));
    BOOST_TEST(is("ASK 0 127.0.0.1:1", kinds::ask, 0, "127.0.0.1", 1));
    BOOST_TEST(
        is("MOVED 16383 redis-2.example:65535", kinds::moved, 16383, "redis-2.example", 65535));
    // The last colon is that of the port.
    BOOST_TEST(is("MOVED 1 ::1:6381", kinds::moved, 1, "::1", 6381));
    BOOST_TEST(is("MOVED 1 2001:db8::a:6381", kinds::moved, 1, "2001:db8::a", 6381));
    BOOST_TEST(is("MOVED 1 [::1]:6381", kinds::moved, 1, "::1", 6381));
    // An empty host is the host of the node that replied (cluster-preferred-endpoint-type).
    BOOST_TEST(is("MOVED 1 :6381", kinds::moved, 1, "", 6381));
}

BOOST_AUTO_TEST_CASE(anything_else_is_no_redirection) {
    // A request must not follow an error whose author is a user's script, if it is not whole.
    for (const char* error : {"MOVED",
                              "MOVED ",
                              "MOVED 1",
                              "MOVED 1 ",
                              "MOVED 1 :",
                              "MOVED 1 host",
                              "MOVED 1 host:",
                              "MOVED 1 host:0",
                              "MOVED 1 host:65536",
                              "MOVED 1 host:-1",
                              "MOVED 1 host:6381x",
                              "MOVED 16384 host:1",
                              "MOVED -1 host:1",
                              "MOVED  1 host:1",
                              "MOVED x host:1",
                              "MOVED 1 a b:1",
                              "MOVED 1 ?:6381",
                              "MOVED:1 host:1",
                              "moved 1 host:1",
                              "ASKING 1 host:1",
                              "ERR MOVED 1 host:1",
                              "CLUSTERDOWN Hash slot not served",
                              "TRYAGAIN"})
        BOOST_TEST(!ice::redirect_of(ice::resp_error(error)).has_value(), error);
    BOOST_TEST(!ice::redirect_of(ice::resp_simple_string("MOVED 1 host:1")).has_value());
    BOOST_TEST(!ice::redirect_of(ice::resp_bulk_string("MOVED 1 host:1")).has_value());
    BOOST_TEST(!ice::redirect_of(ice::resp_view()).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
