// redis_server: a real redis-server, which stores nothing on disk.
#pragma once

#include "real_server.hpp"

namespace test {

class redis_server : public real_server {
public:
    static boost::test_tools::assertion_result is_installed(boost::unit_test::test_unit_id) {
        return is_there("redis-server");
    }

    // `more` are further arguments, such as "--requirepass".
    explicit redis_server(const std::vector<std::string>& more = {}) {
        std::vector<std::string> command{"redis-server", "--port", "0",     "--unixsocket",
                                         socket(),       "--save", "",      "--appendonly",
                                         "no",           "--dir",  folder()};
        command.insert(command.end(), more.begin(), more.end());
        start(std::move(command));
    }
};

}  // namespace test
