// resolver: looks names up for one io_context. getaddrinfo(3) blocks, so each lookup has a thread,
// which owns all that it touches: nobody ever joins it, and the end of the process stops it.
#pragma once

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

// What needs no name server: digits, the path of a Unix socket, and localhost and what ends in it
// (RFC 6761 section 6.3), which is 127.0.0.1 and then ::1.
std::optional<addresses> resolve_locally(const address&);

// Blocks. Errors: errc::host_not_found, errc::name_resolution_failed, connect_error(..).
result<addresses> resolve_blocking(const address&);

class resolver final : private poller::client {
public:
    // Lookups that run at once in the process; further names wait for their turn. A name has one,
    // however many ask for it, so 16 names must hang before one that works has to wait; a thread
    // that waits for a name server costs little.
    static constexpr std::size_t most_lookups = 16;

    resolver(poller& p, asio::any_io_executor executor)
        : poller_(p), executor_(std::move(executor)) {}
    // Requires, at its end: no query is left.

    // One who waits for the addresses of a name.
    class query {
    public:
        query(resolver&, const address&);
        ~query();
        query(const query&) = delete;
        query& operator=(const query&) = delete;

        // Set when there is an answer.
        event done;
        // errc::connect_timeout if there is none yet.
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
    std::shared_ptr<detail::bell> bell_;  // while there are queries
    std::vector<query*> queries_;
};

}  // namespace ice
