// redis_server: a real redis-server on a Unix socket in a temporary folder, which a test kills and
// restarts. It stores nothing on disk, and ends with the test.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <ice/address.hpp>
#include <string>

namespace test {

class redis_server {
public:
    // Whether there is one to start: the precondition of each test that needs it.
    static boost::test_tools::assertion_result is_installed(boost::unit_test::test_unit_id) {
        boost::test_tools::assertion_result found(
            std::system("command -v redis-server >/dev/null") == 0);
        found.message() << "redis-server is not installed";
        return found;
    }

    redis_server() {
        char name[] = "/tmp/ice-redis-XXXXXX";
        BOOST_TEST_REQUIRE((mkdtemp(name) != nullptr));
        folder_ = name;
        start();
    }
    redis_server(const redis_server&) = delete;
    ~redis_server() {
        if (pid_ != 0) kill();
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    ice::address where() const {
        return ice::address(fmt::format("unix:{}/socket", folder_.string()));
    }

    // It is not ready when this returns: pools try until it is.
    void start() {
        pid_ = fork();
        if (pid_ != 0) return;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int log =
            open((folder_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        dup2(log, 1);
        dup2(log, 2);
        const std::string socket = folder_ / "socket";
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket.c_str(),
               "--save", "", "--appendonly", "no", "--dir", folder_.c_str(), nullptr);
        _exit(127);
    }

    // As a crash would: no graceful close.
    void kill() {
        ::kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }

private:
    std::filesystem::path folder_;
    pid_t pid_ = 0;
};

}  // namespace test
