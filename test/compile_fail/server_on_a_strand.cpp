// expect: ice: a server runs on an asio::io_context that one thread runs
//
// Nothing in ice is locked: several threads would lose answers.
#include <asio/io_context.hpp>
#include <asio/strand.hpp>
#include <ice/server.hpp>

int main() {
#ifdef RIGHT
    asio::io_context loop;
#else
    asio::io_context context;
    auto loop = asio::make_strand(context);
#endif
    ice::server srv{loop};
    srv.stop();
}
