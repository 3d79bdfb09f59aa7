// memcached_server: a real memcached.
#pragma once

#include "real_server.hpp"

namespace test {

class memcached_server : public real_server {
public:
    static boost::test_tools::assertion_result is_installed(boost::unit_test::test_unit_id) {
        return is_there("memcached");
    }

    // `largest_item` as memcached's -I takes it: "8m".
    explicit memcached_server(const std::string& largest_item = "1m") {
        // root is used only by root; any other user would clear the signal that ends it with the
        // test. One thread: more of them only take longer to start.
        start(
            {"memcached", "-u", "root", "-s", socket(), "-I", largest_item, "-m", "64", "-t", "1"});
    }
};

}  // namespace test
