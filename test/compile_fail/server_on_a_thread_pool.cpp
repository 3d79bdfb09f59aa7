// expect: ice: a server runs on an asio::io_context that one thread runs
//
// Nothing in ice is locked: several threads would lose answers.
#include <asio/io_context.hpp>
#include <asio/thread_pool.hpp>
#include <ice/server.hpp>

int main() {
#ifdef RIGHT
    asio::io_context loop;
#else
    asio::thread_pool loop(4);
#endif
    ice::server srv{loop};
    srv.stop();
}
