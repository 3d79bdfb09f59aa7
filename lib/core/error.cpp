// The texts of errc, and which errors mean condition::not_executed.
#include <ice/error.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace ice {
namespace {

const char* text(errc e) noexcept {
    // Without a default, so that -Wswitch names an errc that has no text.
    switch (e) {
        case errc::closed: return "closed by the peer";
        case errc::truncated: return "closed by the peer in the middle of a message";
        case errc::bad_message: return "malformed message";
        case errc::message_too_large: return "message too large";
        case errc::unencodable: return "the protocol cannot express this message";
        case errc::outbox_full: return "the message does not fit into the outbox";
        case errc::handshake_timeout: return "handshake not finished in time";
        case errc::message_timeout: return "message not finished in time";
        case errc::idle_timeout: return "idle for too long";
        case errc::write_timeout: return "the peer took no bytes in time";
        case errc::logic_timeout: return "no answer from the logic in time";
        case errc::handshake_failed: return "handshake refused";
        case errc::draining: return "draining: nothing new is begun";
        case errc::stopped: return "stopped by this side";
        case errc::pool_full: return "too many callers wait for a connection of the pool";
        case errc::acquire_timeout: return "no connection of the pool came free in time";
        case errc::connect_timeout: return "cannot connect: timed out";
        case errc::request_timeout: return "no reply in time";
        case errc::host_not_found: return "cannot connect: host not found";
        case errc::upstream_closes:
            return "the upstream closes connections as soon as they are made";
        case errc::not_sent: return "the connection was lost before the request was sent";
        case errc::pipeline_stalled:
            return "no reply in time to an earlier request on the connection";
        case errc::breaker_open:
            return "too many requests in a row have failed: the upstream is given a pause";
        case errc::reply_refused: return "the logic of replies returned an error";
        case errc::name_resolution_failed:
            return "cannot connect: temporary failure of name resolution";
        case errc::not_connected: return "not connected";
        case errc::no_responders: return "nobody has subscribed to the subject of the request";
    }
    return "unknown error of ice";
}

class ice_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "ice"; }
    std::string message(int value) const override { return text(static_cast<errc>(value)); }
};

// The category of connect_error(): its values are errno values.
class connect_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "ice.connect"; }
    std::string message(int value) const override {
        return "cannot connect: " + std::system_category().message(value);
    }
    // Compares equal to the std::errc of the same errno, so callers need not know this category.
    std::error_condition default_error_condition(int value) const noexcept override {
        return std::system_category().default_error_condition(value);
    }
};
const connect_category connecting;

class condition_category final : public std::error_category {
public:
    const char* name() const noexcept override { return "ice.condition"; }
    std::string message(int) const override { return "the request was not executed"; }
    bool equivalent(const std::error_code& code, int) const noexcept override {
        // Connecting ends before a byte is sent. Of the errors of ice, those are listed that a pool
        // returns only before it has sent a byte of the request; a handshake comes before the
        // request. A request without responders reached none.
        if (code.category() == connecting) return true;
        if (code.category() != category()) return false;
        switch (static_cast<errc>(code.value())) {
            case errc::unencodable:
            case errc::handshake_failed:
            case errc::handshake_timeout:
            case errc::draining:
            case errc::pool_full:
            case errc::acquire_timeout:
            case errc::connect_timeout:
            case errc::host_not_found:
            case errc::name_resolution_failed:
            case errc::upstream_closes:
            case errc::outbox_full:
            case errc::breaker_open:
            case errc::not_connected:
            case errc::no_responders:
            case errc::not_sent: return true;
            default: return false;
        }
    }
};

class refusal_category final : public std::error_category {
public:
    explicit refusal_category(std::string text) : text_(std::move(text)) {}
    const char* name() const noexcept override { return "ice.refusal"; }
    std::string message(int) const override { return text_; }
    const std::string& text() const noexcept { return text_; }

private:
    std::string text_;
};

}  // namespace

const std::error_category& category() noexcept {
    static const ice_category instance;
    return instance;
}

std::error_code make_error_code(errc e) noexcept { return {static_cast<int>(e), category()}; }

std::error_condition make_error_condition(condition c) noexcept {
    static const condition_category instance;
    return {static_cast<int>(c), instance};
}

std::error_code connect_error(std::error_code cause) noexcept {
    return {cause.value(), connecting};
}

std::error_code refusal_error(std::string_view text) noexcept {
    constexpr std::size_t most = 64, text_limit = 256;  // 16 KiB of texts
    static std::mutex one_at_a_time;
    try {
        // Never destroyed, as an error_code may be printed while the process ends.
        static auto& known = *new std::vector<std::unique_ptr<refusal_category>>;
        std::string printable(text.substr(0, text_limit));
        for (char& c : printable) {
            if (c < ' ' || c > '~') c = '?';
        }
        const std::lock_guard lock(one_at_a_time);
        for (const auto& one : known) {
            if (one->text() == printable) return {1, *one};
        }
        if (known.size() == most) return errc::handshake_failed;
        known.push_back(std::make_unique<refusal_category>(std::move(printable)));
        return {1, *known.back()};
    } catch (...) { return errc::handshake_failed; }  // no memory
}

}  // namespace ice
