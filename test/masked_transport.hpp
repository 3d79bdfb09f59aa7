// masked_transport: a third transport, to prove that one can stand on sockets. Each end masks its
// bytes by exclusive or, and reads ahead of its session, as a channel that encrypts does.
#pragma once

#include <algorithm>
#include <string>

#include "../lib/transport/socket_channel.hpp"
#include "../lib/transport/socket_transport.hpp"

namespace test {

using side = ice::socket_transport::side;

// What the end of that side masks each byte with.
constexpr char mask_of(side s) { return s == side::accepted ? '\x55' : '\x2a'; }

inline std::string masked(std::string bytes, side by) {
    for (char& c : bytes) c = static_cast<char>(c ^ mask_of(by));
    return bytes;
}

class masked_channel final : public ice::socket_channel {
public:
    masked_channel(ice::transport& net, ice::poller& p, int fd, const asio::ip::tcp::endpoint& peer,
                   side s) noexcept
        : socket_channel(net, p, fd, peer), side_(s) {}

    // The kernel does not report the bytes that were read ahead.
    ice::task<ice::io_status> fill() override {
        return ahead_.empty() || cancelled_ ? socket_channel::fill() : fill_from_ahead();
    }
    bool has_no_input() noexcept override {
        return ahead_.empty() && socket_channel::has_no_input();
    }

protected:
    ssize_t receive(char* to, std::size_t n) noexcept override {
        if (ahead_.empty()) {
            char record[most];
            const ssize_t read = socket_channel::receive(record, sizeof record);
            if (read <= 0) return read;
            const side other = side_ == side::accepted ? side::connected : side::accepted;
            ahead_ = masked(std::string(record, static_cast<std::size_t>(read)), other);
        }
        n = std::min(n, ahead_.size());
        ahead_.copy(to, n);
        ahead_.erase(0, n);
        return static_cast<ssize_t>(n);
    }
    ssize_t transmit(const char* from, std::size_t n) noexcept override {
        const std::string record = masked(std::string(from, std::min(n, most)), side_);
        return socket_channel::transmit(record.data(), record.size());
    }

private:
    static constexpr std::size_t most = 16 * 1024;  // as a record of TLS

    // Yields first, as the fill() of a socket does by waiting.
    ice::task<ice::io_status> fill_from_ahead() {
        co_await net_.yield();
        if (cancelled_) co_return cancelled_;
        const auto read = read_some();
        co_return read.value_or(ice::io_status());
    }

    side side_;
    std::string ahead_;  // received and unmasked, and not in data() yet
};

class masked_transport final : public ice::socket_transport {
public:
    using socket_transport::socket_transport;

    std::unique_ptr<ice::channel> make_channel(int fd, const asio::ip::tcp::endpoint& peer,
                                               side s) override {
        return std::make_unique<masked_channel>(*this, poller_, fd, peer, s);
    }
};

}  // namespace test
