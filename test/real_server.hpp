// real_server: a server that others wrote, on a Unix socket in a temporary folder, which a test
// kills, stops and restarts. It ends with the test. redis_server, memcached_server and
// nats_server are such.
#pragma once

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <ice/address.hpp>
#include <string>
#include <vector>

namespace test {

class real_server {
public:
    real_server(const real_server&) = delete;
    ~real_server() {
        if (pid_ != 0) kill();
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }

    ice::address where() const { return ice::address("unix:" + socket()); }

    // It is not ready when this returns: pools try until it is.
    void start() {
        std::error_code ignored;
        std::filesystem::remove(socket(), ignored);
        std::vector<char*> words;
        for (std::string& word : command_) words.push_back(word.data());
        words.push_back(nullptr);
        pid_ = fork();
        if (pid_ != 0) return;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (input_ != -1) dup2(input_, 0);
        const int log =
            open((folder_ / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        dup2(log, 1);
        dup2(log, 2);
        execvp(words[0], words.data());
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
    void signal(int number) { ::kill(pid_, number); }

protected:
    real_server() {
        char name[] = "/tmp/ice-server-XXXXXX";
        BOOST_TEST_REQUIRE((mkdtemp(name) != nullptr));
        folder_ = name;
    }
    // `input`, if it is given, becomes its standard input.
    void start(std::vector<std::string> command, int input = -1) {
        command_ = std::move(command);
        input_ = input;
        start();
    }
    // Whether there is such a program: the precondition of each test that needs it.
    static boost::test_tools::assertion_result is_there(const std::string& program) {
        boost::test_tools::assertion_result found(
            std::system(("command -v " + program + " >/dev/null").c_str()) == 0);
        found.message() << program << " is not installed";
        return found;
    }

    std::string folder() const { return folder_.string(); }
    std::string socket() const { return (folder_ / "socket").string(); }

private:
    std::filesystem::path folder_;
    std::vector<std::string> command_;
    int input_ = -1;
    pid_t pid_ = 0;
};

}  // namespace test
