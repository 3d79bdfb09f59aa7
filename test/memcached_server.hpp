// memcached_server: a real memcached on a Unix socket in a temporary folder, which a test kills,
// stops and restarts. It ends with the test.
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

class memcached_server {
public:
    // Whether there is one to start: the precondition of each test that needs it.
    static boost::test_tools::assertion_result is_installed(boost::unit_test::test_unit_id) {
        boost::test_tools::assertion_result found(std::system("command -v memcached >/dev/null") ==
                                                  0);
        found.message() << "memcached is not installed";
        return found;
    }

    // `largest_item` as memcached's -I takes it: "8m".
    explicit memcached_server(const char* largest_item = "1m") : largest_item_(largest_item) {
        char name[] = "/tmp/ice-memcached-XXXXXX";
        BOOST_TEST_REQUIRE((mkdtemp(name) != nullptr));
        folder_ = name;
        start();
    }
    memcached_server(const memcached_server&) = delete;
    ~memcached_server() {
        if (pid_ != 0) kill();
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    ice::address where() const { return ice::address("unix:" + socket()); }

    // It is not ready when this returns: pools try until it is.
    void start() {
        std::error_code ignored;
        std::filesystem::remove(socket(), ignored);
        pid_ = fork();
        if (pid_ != 0) return;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        const int log =
            open((folder_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        dup2(log, 1);
        dup2(log, 2);
        // root is used only by root; any other user would clear the signal above. One thread: more
        // of them only take longer to start.
        execlp("memcached", "memcached", "-u", "root", "-s", socket().c_str(), "-I", largest_item_,
               "-m", "64", "-t", "1", nullptr);
        _exit(127);
    }

    // As a crash would: no graceful close.
    void kill() {
        ::kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }
    // As a machine that swaps would: connections stay, and nothing is read.
    void stop() {
        ::kill(pid_, SIGSTOP);
        waitpid(pid_, nullptr, WUNTRACED);  // until it has stopped
    }
    void resume() { ::kill(pid_, SIGCONT); }

private:
    std::string socket() const { return (folder_ / "socket").string(); }

    std::filesystem::path folder_;
    const char* largest_item_;
    pid_t pid_ = 0;
};

}  // namespace test
