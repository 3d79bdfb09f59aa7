// resolver: looks host names up for one io_context. getaddrinfo(3) blocks, so each lookup has a
// thread. The thread owns all that it uses, so no one joins it, and the process may end before it.
#pragma once

#include <cassert>
#include <ice/address.hpp>
#include <ice/event.hpp>
#include <ice/result.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "poller.hpp"

namespace ice {

namespace detail {
struct bell;
struct lookup;
}  // namespace detail

using addresses = std::vector<address>;

// Resolves what needs no name server: numeric addresses, Unix sockets, and localhost with names
// that end in .localhost (RFC 6761, 6.3), which are 127.0.0.1 and then ::1. Otherwise empty.
std::optional<addresses> resolve_locally(const address&);

// Blocks until the answer. Errors: errc::host_not_found, errc::name_resolution_failed,
// connect_error(..).
result<addresses> resolve_blocking(const address&);

class resolver final : private poller::client {
public:
    // Lookups that run at once in the process; further names are queued. A name has one lookup,
    // however many queries it has, so 16 names must hang before one that works is delayed. A thread
    // that waits for a name server costs little.
    static constexpr std::size_t most_lookups = 16;

    resolver(poller& p, asio::any_io_executor executor)
        : poller_(p), executor_(std::move(executor)) {}
    // Requires: no query is left.
    ~resolver() override { assert(queries_.empty()); }

    // The wait for the addresses of one host. All calls are for the loop's thread.
    class query {
    public:
        // Begins the lookup, or joins one that is in flight. Throws std::system_error if there is
        // no descriptor.
        query(resolver&, const address&);
        // The lookup may go on, but `done` is not set any more.
        ~query();
        query(const query&) = delete;
        query& operator=(const query&) = delete;

        // Set when there is an answer.
        event done;
        // The addresses with the port, or the error; errc::connect_timeout if there is no answer
        // yet.
        result<addresses> answer() const;

    private:
        friend class resolver;
        resolver& resolver_;
        address name_;
        std::shared_ptr<detail::lookup> lookup_;
    };

private:
    bool ready(std::uint32_t events) override;
    void abandon() noexcept override {}
    void leave_to_parent() override;
    void watch();
    void leave(query&) noexcept;

    poller& poller_;
    asio::any_io_executor executor_;
    std::shared_ptr<detail::bell> bell_;  // null while there are no queries
    std::vector<query*> queries_;
};

}  // namespace ice
