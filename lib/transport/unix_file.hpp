// unix_file: the file of a listening Unix socket: which socket it belongs to, and which server may
// replace it.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

namespace ice {

// Owns a descriptor. The destructor closes it, unless release() was called; -1 is none.
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

// Identifies the file of a path. The kernel does not reuse the inode of a bound socket while the
// socket is open.
struct file_id {
    dev_t device = 0;
    ino_t inode = 0;  // 0: there is no file
    bool operator==(const file_id&) const = default;
};
inline file_id id_of(const std::string& path) noexcept {
    struct stat file {};
    if (::lstat(path.c_str(), &file) != 0) return {};
    return {file.st_dev, file.st_ino};
}

// Locks the directory of a path, so that only one server at a time checks for the file of a dead
// server, removes it and binds its own. flock(2) on the directory leaves no lock file behind. Waits
// for at most a second, as a server that starts holds the lock for less; after that it goes on
// without the lock.
inline unique_fd locked_directory(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    const std::string directory = slash == path.npos ? "." : path.substr(0, slash + 1);
    unique_fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < 100 && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++i) {
        if (errno != EWOULDBLOCK) break;  // the file system has no locks
        ::usleep(10'000);
    }
    return fd;
}

}  // namespace ice
