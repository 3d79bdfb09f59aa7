// unix_file: the file of a listening Unix socket: whose it is, and who may replace it.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

namespace ice {

// A descriptor that is closed unless it is released.
class unique_fd {
public:
    explicit unique_fd(int fd) noexcept : fd_(fd) {}
    unique_fd(unique_fd&& other) noexcept : fd_(other.release()) {}
    unique_fd& operator=(unique_fd&&) = delete;
    ~unique_fd() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }

private:
    int fd_;
};

// Which file a path names. The inode of a bound socket is not used again while it is open.
struct file_id {
    dev_t device = 0;
    ino_t inode = 0;  // 0: there is none
    bool operator==(const file_id&) const = default;
};
inline file_id id_of(const std::string& path) noexcept {
    struct stat file {};
    if (::lstat(path.c_str(), &file) != 0) return {};
    return {file.st_dev, file.st_ino};
}

// One start at a time decides about the files of a directory, from the look at what is there until
// its own socket listens. flock(2) on the directory leaves no file behind. Waits for at most a
// second: whoever holds it for longer is no server that starts.
inline unique_fd locked_directory(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string directory = slash == path.npos ? "." : path.substr(0, slash + 1);
    unique_fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < 100 && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++i) {
        if (errno != EWOULDBLOCK) break;  // no locks there
        ::usleep(10'000);
    }
    return fd;
}

}  // namespace ice
