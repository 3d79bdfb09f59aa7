// nats_info: the JSON of an INFO, of nats-server and malformed.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/nats_info.hpp>
#include <string>
#include <vector>

namespace {

using namespace std::string_literals;
using ice::read_nats_info;

// The value of a string in JSON, by the one member that takes any text.
std::optional<std::string> text(std::string_view json) {
    auto info = read_nats_info(fmt::format("{{\"server_name\":{}}}", json));
    if (!info) return std::nullopt;
    return info->server_name;
}
// Whether a member that is not used is skipped, and the one behind it is read.
bool skips(std::string_view json) {
    const auto info = read_nats_info(fmt::format("{{\"other\":{},\"headers\":true}}", json));
    return info && info->headers;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nats_info)

BOOST_AUTO_TEST_CASE(an_info_of_nats_server_is_read) {
    const auto info = read_nats_info(
        R"({"server_id":"NAPZ","server_name":"one","version":"2.9.10","proto":1,"go":"go1.19.8",)"
        R"("host":"127.0.0.1","port":4222,"headers":true,"auth_required":true,)"
        R"("max_payload":65536,"jetstream":false,"client_id":4,"client_ip":"127.0.0.1",)"
        R"("nonce":"J1xdD2bW","ldm":true,"tls_required":true,)"
        R"("connect_urls":["10.0.0.1:4222","[::1]:4222"]} )");
    BOOST_TEST_REQUIRE(info.has_value());
    const ice::nats_info expected{"NAPZ", "one", "2.9.10", {"10.0.0.1:4222", "[::1]:4222"},
                                  65536,  4,     true,     true,
                                  true,   true,  true};
    BOOST_TEST((*info == expected));
}

BOOST_AUTO_TEST_CASE(members_that_are_absent_have_defaults) {
    const auto info = read_nats_info(" {} ");
    BOOST_TEST_REQUIRE(info.has_value());
    BOOST_TEST((*info == ice::nats_info{}));
    BOOST_TEST(info->max_payload == 1024U * 1024);
    BOOST_TEST(!read_nats_info(R"({"nonce":""})")->has_nonce);
    BOOST_TEST(read_nats_info(R"({"connect_urls":[]})")->connect_urls.empty());
    BOOST_TEST(read_nats_info(R"({"client_id":1,"client_id":2})")->client_id == 2U);
}

BOOST_AUTO_TEST_CASE(at_most_64_servers_are_kept) {
    const auto urls = [](std::size_t n) {
        std::string all = "\"a:0\"";
        for (std::size_t i = 1; i < n; ++i) all += fmt::format(",\"a:{}\"", i);
        return read_nats_info(fmt::format("{{\"connect_urls\":[{}],\"ldm\":true}}", all));
    };
    for (const std::size_t n : {63U, 64U}) BOOST_TEST(urls(n)->connect_urls.size() == n);
    BOOST_TEST_REQUIRE(urls(65).has_value());
    BOOST_TEST(urls(65)->connect_urls.size() == 64U);
    BOOST_TEST(urls(65)->connect_urls.back() == "a:63");
    BOOST_TEST(urls(65)->lame_duck);
}

BOOST_AUTO_TEST_CASE(strings_have_escapes) {
    BOOST_TEST((text(R"("")") == ""));
    BOOST_TEST((text(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t"));
    BOOST_TEST(
        (text(R"("\u0041\u00e9\u20aC\ud83d\ude00")") == "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
    BOOST_TEST((text(R"("\u0000")") == "\0"s));
    BOOST_TEST((text("\"\xc3\xa9\"") == "\xc3\xa9"));
    for (const char* bad :
         {R"("\x")", R"("\)", R"("\u12")", R"("\u12g4")", R"("\u+123")", R"("\ud800")",
          R"("\ud800\u0041")", R"("\udc00")", R"("\ud800x")", "\"\n\"", "\"", "x", "1", "null"})
        BOOST_TEST(!text(bad), bad);
}

BOOST_AUTO_TEST_CASE(json_of_any_text_is_read_back) {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    std::string json;
    ice::append_json_string(all, json);
    BOOST_TEST((text(json) == all));
    json.clear();
    ice::append_json_string("a\"b\\\x1f\x7f", json);
    BOOST_TEST(json == R"("a\"b\\\u001f)"
                       "\x7f\"");
}

BOOST_AUTO_TEST_CASE(numbers_have_64_bits) {
    BOOST_TEST(read_nats_info(R"({"client_id":18446744073709551615})")->client_id == UINT64_MAX);
    BOOST_TEST(read_nats_info(R"({"client_id": 0 })")->client_id == 0U);
    for (const char* bad : {"18446744073709551616", "-1", "1.5", "1e3", "01", "\"1\"", "true", ""})
        BOOST_TEST(!read_nats_info(fmt::format("{{\"client_id\":{}}}", bad)), bad);
}

BOOST_AUTO_TEST_CASE(other_members_of_any_type_are_skipped) {
    for (const char* value :
         {"null", "true", "false", "0", "-0.5e+10", "1E-2", "12", "\"\\u00e9\"", "[]", "{}",
          "[1, [ ] ,{\"a\": {\"b\":null}}]", "{\"a\":1 , \"b\":[2]}"})
        BOOST_TEST(skips(value), value);
    for (const char* bad :
         {"",          "nul",   "tru",     "True",     "+1",    "-",     ".5",
          "1.",        "1e",    "1e+",     "01",       "[",     "[1",    "[1,]",
          "[,1]",      "[1 2]", "{\"a\"}", "{\"a\":}", "{a:1}", "{1:1}", "{\"a\":1,}",
          "{\"a\":1]", "'a'",   "1 1",     "\"\\q\""})
        BOOST_TEST(!skips(bad), bad);
}

BOOST_AUTO_TEST_CASE(values_are_nested_at_most_16_deep) {
    // The object of the INFO is the first level.
    const auto nested = [](std::size_t n) { return std::string(n, '[') + std::string(n, ']'); };
    BOOST_TEST(skips(nested(15)));
    BOOST_TEST(!skips(nested(16)));
    BOOST_TEST(!skips(std::string(100'000, '[')));
    std::string objects = "1";
    for (int i = 0; i < 15; ++i) objects = "{\"a\":" + objects + "}";
    BOOST_TEST(!skips(objects), "the number is a level as well");
}

BOOST_AUTO_TEST_CASE(what_is_no_object_or_has_another_type_is_refused) {
    for (const char* bad : {"",
                            " ",
                            "[]",
                            "1",
                            "\"a\"",
                            "{",
                            "{\"a\"",
                            "{\"a\":1",
                            "{}x",
                            "{}{}",
                            "{,}",
                            R"({"headers":1})",
                            R"({"headers":"true"})",
                            R"({"server_id":1})",
                            R"({"nonce":1})",
                            R"({"connect_urls":"a"})",
                            R"({"connect_urls":[1]})",
                            R"({"connect_urls":["a",]})",
                            R"({"connect_urls":["a")",
                            R"({"ldm":null})",
                            R"({"headers":true "ldm":true})"})
        BOOST_TEST(!read_nats_info(bad), bad);
}

BOOST_AUTO_TEST_SUITE_END()
