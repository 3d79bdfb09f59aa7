// memcached_command: the bytes of each request, and the keys, flags and lines that are refused,
// because memcached would misread them.
#include <boost/test/unit_test.hpp>
#include <ice/memcached_command.hpp>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;

// The bytes of a command that can be sent; "" of another one.
std::string_view sent(const ice::memcached_command& c) {
    return c.is_encodable() ? c.bytes() : std::string_view();
}

// A command for each way in which a key, or a flag, becomes a part of a line.
std::vector<ice::memcached_command> each_with_key(std::string_view key) {
    return {ice::memcached_get(key),
            ice::memcached_gets("a", key),
            ice::memcached_gat(1s, key),
            ice::memcached_gats(1s, key, "b"),
            ice::memcached_set(key, "v"),
            ice::memcached_add(key, "v"),
            ice::memcached_replace(key, "v"),
            ice::memcached_append(key, "v"),
            ice::memcached_prepend(key, "v"),
            ice::memcached_cas(key, "v", 1),
            ice::memcached_incr(key, 1),
            ice::memcached_decr(key, 1),
            ice::memcached_delete(key),
            ice::memcached_touch(key, 1s),
            ice::memcached_mg(key, "v"),
            ice::memcached_ms(key, "v"),
            ice::memcached_md(key),
            ice::memcached_ma(key),
            ice::memcached_get(std::vector{key})};
}
std::vector<ice::memcached_command> each_with_flag(std::string_view flag) {
    return {ice::memcached_mg("k", "v", flag), ice::memcached_ms("k", "v", flag, "c"),
            ice::memcached_md("k", flag), ice::memcached_ma("k", flag)};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(memcached_command)

BOOST_AUTO_TEST_CASE(commands_are_the_lines_of_the_protocol) {
    BOOST_TEST(sent(ice::memcached_get("a")) == "get a\r\n");
    BOOST_TEST(sent(ice::memcached_get("a", std::string("b"), std::string_view("c"))) ==
               "get a b c\r\n");
    BOOST_TEST(sent(ice::memcached_gets(std::vector<std::string>{"a", "b"}, "c")) ==
               "gets a b c\r\n");
    BOOST_TEST(sent(ice::memcached_gat(10s, "a", "b")) == "gat 10 a b\r\n");
    BOOST_TEST(sent(ice::memcached_gats({}, "a")) == "gats 0 a\r\n");
    BOOST_TEST(sent(ice::memcached_set("k", "a\r\nb", 5min, 7)) == "set k 7 300 4\r\na\r\nb\r\n");
    BOOST_TEST(sent(ice::memcached_add("k", "")) == "add k 0 0 0\r\n\r\n");
    BOOST_TEST(sent(ice::memcached_replace("k", "v")) == "replace k 0 0 1\r\nv\r\n");
    BOOST_TEST(sent(ice::memcached_append("k", "v")) == "append k 0 0 1\r\nv\r\n");
    BOOST_TEST(sent(ice::memcached_prepend("k", "v")) == "prepend k 0 0 1\r\nv\r\n");
    BOOST_TEST(sent(ice::memcached_cas("k", "v", UINT64_MAX, 1s, 2)) ==
               "cas k 2 1 1 18446744073709551615\r\nv\r\n");
    BOOST_TEST(sent(ice::memcached_incr("k", UINT64_MAX)) == "incr k 18446744073709551615\r\n");
    BOOST_TEST(sent(ice::memcached_decr("k", 0)) == "decr k 0\r\n");
    BOOST_TEST(sent(ice::memcached_delete("k")) == "delete k\r\n");
    BOOST_TEST(sent(ice::memcached_touch("k", 60s)) == "touch k 60\r\n");
    BOOST_TEST(sent(ice::memcached_flush_all()) == "flush_all\r\n");
    BOOST_TEST(sent(ice::memcached_flush_all(9s)) == "flush_all 9\r\n");
    BOOST_TEST(sent(ice::memcached_version()) == "version\r\n");
    BOOST_TEST(sent(ice::memcached_mg("k")) == "mg k\r\n");
    BOOST_TEST(sent(ice::memcached_mg("k", "v", "Oabc", std::string("t"))) == "mg k v Oabc t\r\n");
    BOOST_TEST(sent(ice::memcached_ms("k", "a\r\nb", "T30", "c")) == "ms k 4 T30 c\r\na\r\nb\r\n");
    BOOST_TEST(sent(ice::memcached_md("k", "I", "T30")) == "md k I T30\r\n");
    BOOST_TEST(sent(ice::memcached_ma("k", "MD", "D10", "v")) == "ma k MD D10 v\r\n");
    BOOST_TEST(sent(ice::memcached_mn()) == "mn\r\n");
}

BOOST_AUTO_TEST_CASE(only_commands_with_a_block_of_data_have_a_value) {
    std::size_t with_value = 0;
    for (const auto& c : each_with_key("k")) with_value += c.has_value() ? 1 : 0;
    BOOST_TEST(with_value == 7U);
    BOOST_TEST(ice::memcached_set("k", "").has_value());
    BOOST_TEST(ice::memcached_ms("k", "").has_value());
    BOOST_TEST(!ice::memcached_mn().has_value());
}

BOOST_AUTO_TEST_CASE(a_key_has_1_to_250_bytes_without_blanks_and_control_characters) {
    // Other keys split a line in two, and a server could take a value for commands.
    for (const std::string& key : {std::string("k"), std::string(250, 'k'), std::string("\xc3\xa9"),
                                   std::string("!\"#~\x80\xff")}) {
        for (const auto& c : each_with_key(key)) BOOST_TEST(c.is_encodable(), c.bytes());
    }
    std::vector<std::string> wrong{"", std::string(251, 'k')};
    for (int byte = 0; byte < 256; ++byte) {
        if (byte <= ' ' || byte == 0x7f)
            wrong.push_back(std::string("a") + static_cast<char>(byte));
    }
    BOOST_TEST(wrong.size() == 36U);
    for (const std::string& key : wrong) {
        for (const auto& c : each_with_key(key)) BOOST_TEST(!c.is_encodable(), c.bytes());
    }
}

BOOST_AUTO_TEST_CASE(a_command_without_keys_is_refused) {
    // memcached replies ERROR to it.
    BOOST_TEST(!ice::memcached_get(std::vector<std::string>()).is_encodable());
    BOOST_TEST(ice::memcached_get("a", std::vector<std::string>()).is_encodable());
    BOOST_TEST(!ice::memcached_command().is_encodable());
}

BOOST_AUTO_TEST_CASE(a_meta_command_has_flags_that_the_server_cannot_misread) {
    for (const char* flag :
         {"c", "T30", "Oabc", "MS", "Lpath/", "O1234567890123456789012345678901"})
        for (const auto& c : each_with_flag(flag)) BOOST_TEST(c.is_encodable(), c.bytes());
    // A quiet command may have no reply: the next caller would get the wrong one.
    for (const char* flag : {"q", "qx", "", " ", "1", "-", "\xc3\xa9", "c\r\nflush_all", "c d",
                             "c\td", "O", "O12345678901234567890123456789012"})
        for (const auto& c : each_with_flag(flag)) BOOST_TEST(!c.is_encodable(), c.bytes());
}

BOOST_AUTO_TEST_CASE(a_meta_command_has_as_many_flags_as_memcached_reads) {
    const auto with = [](auto... flags) { return ice::memcached_ms("k", "v", flags...); };
    const char* const f = "c";
    BOOST_TEST(with(f, f, f, f, f, f, f, f, f, f, f, f, f, f, f, f).is_encodable());
    BOOST_TEST(!with(f, f, f, f, f, f, f, f, f, f, f, f, f, f, f, f, f).is_encodable());
}

BOOST_AUTO_TEST_CASE(a_line_is_no_longer_than_memcached_reads_but_for_get) {
    const std::size_t head = std::string("mg k L\r\n").size();
    const auto line = [&](std::size_t size) {
        return ice::memcached_mg("k", "L" + std::string(size - head, 'x'));
    };
    BOOST_TEST(line(2048).bytes().size() == 2048U);
    BOOST_TEST(line(2048).is_encodable());
    BOOST_TEST(!line(2049).is_encodable());
    const std::vector<std::string> keys(1000, "key");
    BOOST_TEST(ice::memcached_get(keys).is_encodable());
    BOOST_TEST(ice::memcached_gets(keys).is_encodable());
    BOOST_TEST(!ice::memcached_gat(1s, keys).is_encodable());
    BOOST_TEST(!ice::memcached_gats(1s, keys).is_encodable());
    BOOST_TEST(ice::memcached_set("k", std::string(5000, 'x')).is_encodable(),
               "a value is no line");
}

BOOST_AUTO_TEST_CASE(an_expiry_is_in_seconds_and_a_date_only_where_memcached_reads_one) {
    const auto touch = [](ice::memcached_expiry when) {
        return std::string(sent(ice::memcached_touch("k", when)));
    };
    BOOST_TEST(touch({}) == "touch k 0\r\n");
    BOOST_TEST(touch(1ms) == "touch k 1\r\n", "0 would be never");
    BOOST_TEST(touch(1001ms) == "touch k 2\r\n");
    BOOST_TEST(touch(0s) == "touch k -1\r\n", "0 would be never");
    BOOST_TEST(touch(-5s) == "touch k -1\r\n");
    BOOST_TEST(touch(24h * 30) == "touch k 2592000\r\n");
    BOOST_TEST(touch(24h * 30 + 1ms) == "", "memcached would take it for a date in 1970");
    using date = std::chrono::sys_seconds;
    BOOST_TEST(touch(date(24h * 30)) == "", "memcached would take it for 30 days from now");
    BOOST_TEST(touch(date(24h * 30 + 1s)) == "touch k 2592001\r\n");
    BOOST_TEST(touch(date(-1s)) == "");
    BOOST_TEST(touch(date(std::chrono::seconds(INT32_MAX))) == "touch k 2147483647\r\n");
    BOOST_TEST(touch(date(std::chrono::seconds(std::int64_t{INT32_MAX} + 1))) == "");
    BOOST_TEST(!ice::memcached_set("k", "v", 24h * 31).is_encodable());
    BOOST_TEST(!ice::memcached_flush_all(std::chrono::seconds(24h * 31)).is_encodable());
}

BOOST_AUTO_TEST_SUITE_END()
