// Opens and writes the three descriptors that a program has from its start.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ice/standard_streams.hpp>
#include <stdexcept>
#include <string>
#include <system_error>

namespace ice {

void open_standard_streams() noexcept {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        // F_GETFD fails with EBADF for a number that is not open, and changes nothing (fcntl(2)).
        if (::fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
        // open(2) takes the lowest free number. That is `fd`, as those below it are open.
        const int opened = ::open("/dev/null", O_RDWR);
        if (opened > STDERR_FILENO) ::close(opened);
    }
}

void print_error(std::string_view text) noexcept {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fputc('\n', stderr);
}

void flush_stdout() {
    // An earlier failure is known only to ferror(3), and a fflush(3) that succeeds leaves errno as
    // it was.
    const bool failed_before = std::ferror(stdout) != 0;
    errno = 0;
    if (std::fflush(stdout) == 0 && !failed_before) return;
    std::string what = "cannot write to stdout";
    if (errno != 0) what += ": " + std::generic_category().message(errno);
    throw std::runtime_error(what);  // a failure of an earlier call has left no errno
}

}  // namespace ice
