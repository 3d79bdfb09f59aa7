// Seed defect 2: a send that the kernel took only in part started again from the beginning.
#include "../world.hpp"

BOOST_AUTO_TEST_CASE(an_answer_larger_than_the_socket_buffer_arrives_once_and_whole) {
    test::world w;
    std::string large(4 * 1024 * 1024, '\0');
    for (std::size_t i = 0; i < large.size(); ++i)
        large[i] = static_cast<char>('a' + i / 1000 % 26);
    auto answer = [&](std::string_view) -> std::string_view { return large; };
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}.logic(answer));
    auto p = w.connect(l.endpoint());
    p.send("go");
    w.settle();  // the kernel has taken what it takes; the rest waits for us to read
    p.end();
    const std::string got = p.read_to_end();
    BOOST_TEST(got.size() == large.size());
    BOOST_TEST((got == large));
}
