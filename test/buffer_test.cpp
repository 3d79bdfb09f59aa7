// buffer: received bytes in one piece. Committed bytes come out, whatever happened in between.
#include <boost/test/unit_test.hpp>
#include <cstring>
#include <ice/detail/buffer.hpp>
#include <random>
#include <string>

namespace {

void feed(ice::buffer& b, std::string_view bytes) {
    const auto room = b.prepare(bytes.size());
    BOOST_TEST_REQUIRE(room.size >= bytes.size());
    if (!bytes.empty()) std::memcpy(room.data, bytes.data(), bytes.size());
    b.commit(bytes.size());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(buffer)

BOOST_AUTO_TEST_CASE(a_new_buffer_holds_nothing) {
    // 10,000 idle connections have a buffer each.
    ice::buffer b;
    BOOST_TEST(b.data() == "");
    BOOST_TEST(b.size() == 0U);
    BOOST_TEST(b.capacity() == 0U);
    b.consume(0);
    b.shrink(0);
    BOOST_TEST(b.prepare(0).size == 0U);
    BOOST_TEST(b.capacity() == 0U);
}

BOOST_AUTO_TEST_CASE(committed_bytes_come_out_in_order) {
    // Only committed bytes count, not prepared ones.
    ice::buffer b;
    feed(b, "hello ");
    const auto room = b.prepare(100);
    std::memcpy(room.data, "world!", 6);
    BOOST_TEST(b.data() == "hello ");
    b.commit(5);
    BOOST_TEST(b.data() == "hello world");
    b.consume(6);
    BOOST_TEST(b.data() == "world");
    BOOST_TEST(b.size() == 5U);
    b.consume(5);
    BOOST_TEST(b.data() == "");
}

BOOST_AUTO_TEST_CASE(a_view_is_valid_until_the_next_prepare) {
    // A message is a view: consuming it, and those behind it, must not move its bytes.
    ice::buffer b;
    feed(b, "one\ntwo\n");
    const auto first = b.data().substr(0, 3);
    b.consume(4);
    const auto second = b.data().substr(0, 3);
    b.consume(4);
    BOOST_TEST(first == "one");
    BOOST_TEST(second == "two");
}

BOOST_AUTO_TEST_CASE(prepare_offers_all_free_space) {
    // So one large read replaces many small ones.
    ice::buffer b;
    const auto all = b.prepare(1).size;
    BOOST_TEST(all == b.capacity());
    b.commit(10);
    BOOST_TEST(b.prepare(1).size == b.capacity() - 10);
}

BOOST_AUTO_TEST_CASE(free_space_in_front_is_used_before_more_is_allocated) {
    // A connection that talks for days must not grow.
    ice::buffer b;
    feed(b, std::string(400, 'x'));
    const auto before = b.capacity();
    for (int i = 0; i < 1000; ++i) {
        feed(b, std::string(100, 'y'));
        b.consume(100);
    }
    BOOST_TEST(b.capacity() == before);
    BOOST_TEST(b.data() == std::string(400, 'y'));
}

BOOST_AUTO_TEST_CASE(a_mebibyte_fed_byte_by_byte_moves_a_dozen_times) {
    // Growing by a constant instead of doubling makes a long message cost O(n * n).
    ice::buffer b;
    int moves = 0;
    for (int i = 0; i < 1024 * 1024; ++i) {
        const auto before = b.capacity();
        const auto room = b.prepare(1);
        *room.data = static_cast<char>(i);
        b.commit(1);
        moves += b.capacity() != before ? 1 : 0;
    }
    BOOST_TEST(moves <= 12);  // 512 bytes, doubled 11 times
    BOOST_TEST(b.size() == 1024U * 1024);
    BOOST_TEST(b.capacity() == 1024U * 1024);
}

BOOST_AUTO_TEST_CASE(one_byte_more_than_the_capacity_grows_it) {
    // The edge: the last byte that fits must not grow the buffer, one more must.
    ice::buffer b;
    feed(b, "x");
    const auto capacity = b.capacity();
    BOOST_TEST(b.prepare(capacity - 1).size == capacity - 1);
    BOOST_TEST(b.capacity() == capacity);
    BOOST_TEST(b.prepare(capacity).size >= capacity);
    BOOST_TEST(b.capacity() > capacity);
    BOOST_TEST(b.data() == "x");
}

BOOST_AUTO_TEST_CASE(shrinking_frees_all_but_the_given_size_and_the_content) {
    // The buffer must keep the bytes of an unfinished message.
    ice::buffer b;
    feed(b, std::string(10'000, 'x').append("tail"));
    b.consume(10'000);
    b.shrink(100);
    BOOST_TEST(b.capacity() == 100U);
    BOOST_TEST(b.data() == "tail");
    b.shrink(100);
    BOOST_TEST(b.capacity() == 100U);
    b.shrink(1000);
    BOOST_TEST(b.capacity() == 100U, "it never grows");
    b.shrink(0);
    BOOST_TEST(b.capacity() == 4U);
    BOOST_TEST(b.data() == "tail");
    b.consume(4);
    b.shrink(0);
    BOOST_TEST(b.capacity() == 0U);
    feed(b, "again");
    BOOST_TEST(b.data() == "again");
}

BOOST_AUTO_TEST_CASE(random_operations_leave_the_same_bytes_as_in_a_string) {
    // The model is a string: bytes are appended at its end and erased at its beginning.
    std::mt19937 random(42);
    const auto upto = [&](std::size_t n) { return random() % (n + 1); };
    ice::buffer b;
    std::string model;
    for (int i = 0; i < 20'000; ++i) {
        switch (random() % 4) {
            case 0:
            case 1: {
                const std::string piece(upto(300), static_cast<char>('a' + i % 26));
                feed(b, piece);
                model += piece;
                break;
            }
            case 2: {
                const auto n = upto(random() % 2 == 0 ? 50 : model.size());
                const auto some = n < model.size() ? n : model.size();
                b.consume(some);
                model.erase(0, some);
                break;
            }
            default: b.shrink(upto(2000));
        }
        BOOST_TEST_REQUIRE(b.data() == model);
        BOOST_TEST_REQUIRE(b.capacity() >= b.size());
    }
}

BOOST_AUTO_TEST_SUITE_END()
