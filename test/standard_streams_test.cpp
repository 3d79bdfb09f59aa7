// standard_streams: printed text never goes into a file or a connection of the program.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <ice/server.hpp>
#include <ice/standard_streams.hpp>
#include <string>

namespace {

// Puts another file in a descriptor's place, or closes it (-1).
class replaced {
public:
    replaced(int fd, int by) : fd_(fd), before_(::fcntl(fd, F_DUPFD_CLOEXEC, 10)) {
        std::fflush(nullptr);
        if (by < 0) ::close(fd);
        else ::dup2(by, fd);
    }
    ~replaced() {
        std::fflush(nullptr);
        ::dup2(before_, fd_);
        ::close(before_);
    }
    replaced(const replaced&) = delete;
    replaced& operator=(const replaced&) = delete;

private:
    int fd_, before_;
};

bool is_dev_null(int fd) {
    struct stat is {
    }, null{};
    return ::fstat(fd, &is) == 0 && ::stat("/dev/null", &null) == 0 && is.st_rdev == null.st_rdev;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(standard_streams)

BOOST_AUTO_TEST_CASE(closed_streams_become_dev_null_and_open_ones_stay) {
    bool in = false, out = false, error = false;
    const bool error_before = is_dev_null(STDERR_FILENO);
    {
        const replaced first(STDIN_FILENO, -1), second(STDOUT_FILENO, -1);
        ice::open_standard_streams();
        in = is_dev_null(STDIN_FILENO);
        out = is_dev_null(STDOUT_FILENO);
        error = is_dev_null(STDERR_FILENO);
    }
    BOOST_TEST(in);
    BOOST_TEST(out);
    BOOST_TEST(error == error_before);
}

BOOST_AUTO_TEST_CASE(a_server_opens_the_streams_before_anything_else) {
    // The danger: the epoll or a connection gets descriptor 2, and the log goes there.
    bool is_null = false;
    {
        const replaced error(STDERR_FILENO, -1);
        ice::server srv;
        is_null = is_dev_null(STDERR_FILENO);
    }
    BOOST_TEST(is_null);
}

BOOST_AUTO_TEST_CASE(a_failure_to_print_an_error_is_ignored) {
    const int full = ::open("/dev/full", O_WRONLY);
    {
        const replaced error(STDERR_FILENO, full);
        ice::print_error("nobody reads this");
    }
    ::close(full);
}

BOOST_AUTO_TEST_CASE(a_failed_write_to_stdout_throws) {
    const int full = ::open("/dev/full", O_WRONLY);
    std::string said;
    {
        const replaced out(STDOUT_FILENO, full);
        std::fputs("lost", stdout);
        try {
            ice::flush_stdout();
        } catch (const std::runtime_error& e) { said = e.what(); }
    }
    ::close(full);
    BOOST_TEST(said == "cannot write to stdout: No space left on device");
    std::clearerr(stdout);
    ice::flush_stdout();
}

BOOST_AUTO_TEST_SUITE_END()
