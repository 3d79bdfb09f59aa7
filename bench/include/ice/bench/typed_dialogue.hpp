// typed_dialogue: a dialogue of the messages of a protocol: requests are made, replies compared.
#pragma once

#include <concepts>
#include <ice/bench/dialogue.hpp>
#include <ice/bench/handshake.hpp>
#include <ice/protocol.hpp>
#include <optional>
#include <stdexcept>

namespace ice::bench::detail {

template <class M>
std::string shown(const M& message) {
    if constexpr (std::convertible_to<const M&, std::string_view>) return quoted(message);
    else return "a message";
}

// The check of a server that answers each request with itself.
struct is_echo {};

template <protocol P, class Ask, class Check>
class typed_dialogue final : public dialogue {
public:
    static_assert(!ice::detail::handles<P>,
                  "ice: a generator needs a protocol with parse(), not handle()");

    static std::shared_ptr<handshakes> make_handshakes() {
        return shakes ? std::make_shared<handshakes>() : nullptr;
    }

    typed_dialogue(P p, Ask asks, Check check, std::uint64_t first, std::shared_ptr<handshakes> all)
        : protocol_(std::move(p)), ask_(std::move(asks)), check_(std::move(check)), next_(first),
          due_(first), all_(std::move(all)) {}

    void open(std::string& out) override {
        if constexpr (shakes) {
            shaking_.emplace(all_, *protocol_);
            shaking_->go_on({}, out);
            end_handshake();
        } else if constexpr (requires { protocol_->open(out); }) {
            protocol_->open(out);
        }
    }
    bool is_open() const override {
        if constexpr (shakes) return !shaking_;
        else if constexpr (requires { protocol_->is_open(); }) return protocol_->is_open();
        else return true;
    }

    std::string_view ask(std::size_t count) override {
        requests_.clear();
        for (; count != 0; --count)
            if (const error_code ec = packet(*protocol_, ask_(next_++), requests_))
                throw std::invalid_argument("the protocol cannot send this request: " +
                                            ec.message());
        return requests_;
    }

    heard listen(std::string_view input, std::string& out) override {
        heard h;
        if constexpr (shakes) {
            if (shaking_) {
                h.size = shaking_->go_on(input, out);
                if (const error_code ec = end_handshake())
                    return wrong(h, fault::handshake, ec.message());
                if (shaking_) return h;
            }
        }
        for (;;) {
            auto found = parse(input.substr(h.size), out);
            if (found.failed()) return wrong(h, fault::bad_message, found.error().message());
            if (found.size() == 0) return h;
            h.size += found.size();
            if (!found.has_message()) continue;
            if (due_ == next_)
                return wrong(h, fault::unexpected, "not asked for: " + shown(found.message()));
            const std::uint64_t n = due_++;
            if (!is_right(found.message(), n))
                return wrong(h, fault::mismatch,
                             "asked " + shown(ask_(n)) + ", got " + shown(found.message()));
            ++h.replies;
        }
    }

private:
    static constexpr bool shakes = ice::detail::names_handshake<P, session<P>>;
    struct nothing {};

    auto parse(std::string_view input, std::string& out) {
        if constexpr (ice::detail::parses<P>) return protocol_->parse(input);
        else return protocol_->parse(input, out);
    }
    bool is_right(const message_t<P>& reply, std::uint64_t n) {
        if constexpr (std::same_as<Check, is_echo>) return reply == ask_(n);
        else return check_(reply, n);
    }
    static heard& wrong(heard& h, fault what, std::string why) {
        h.wrong = what;
        h.why = std::move(why);
        return h;
    }

    // Nothing, if it goes on; the conversation has the protocol as the handshake has left it.
    error_code end_handshake()
        requires shakes
    {
        if (!shaking_->is_over()) return {};
        if (const error_code ec = shaking_->error()) return ec;
        protocol_.emplace(std::move(shaking_->protocol()));
        shaking_.reset();
        return {};
    }

    std::optional<P> protocol_;
    Ask ask_;
    Check check_;
    std::uint64_t next_;  // the number of the next request
    std::uint64_t due_;   // of the next reply
    std::string requests_;
    std::shared_ptr<handshakes> all_;
    [[no_unique_address]] std::conditional_t<shakes, std::optional<handshake<P>>, nothing> shaking_;
};

}  // namespace ice::bench::detail
