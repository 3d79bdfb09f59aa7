// The parts of a transport that are the same for sockets and for a simulated world.
#include <fmt/format.h>

#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <exception>
#include <ice/detail/server_context.hpp>
#include <ice/transport.hpp>
#include <stdexcept>

#include "../core/as_values.hpp"

namespace ice {

transport::transport(asio::any_io_executor executor)
    : executor_(std::move(executor)), deadlines_([this] { wake_at(deadlines_.next()); }) {}

transport::~transport() = default;

duration time_limit::left() const {
    if (until_ == never) return no_timeout;
    return add_sat(until_.time_since_epoch(), mul_sat(net_->now().time_since_epoch(), -1));
}

task<> transport::yield() { co_await asio::post(executor_, asio::use_awaitable); }

void transport::flush_soon(channel& c) {
    soon_.push_back(&c);
    // The first one posts a handler for all of them.
    if (soon_.size() > 1) return;
    try {
        asio::post(executor_, [self = shared_from_this()] { self->flush_all(); });
    } catch (...) {  // for want of memory: whoever comes next posts
        soon_.clear();
        throw;
    }
}

// Flushing may cancel a channel but destroys none: channels end in coroutines of their own.
void transport::flush_all() {
    auto now = std::exchange(soon_, {});
    // All flags first: if a flush throws, no channel is marked that is in no list.
    for (channel* c : now) c->flushing_soon_ = false;
    for (channel* c : now) c->try_flush();
    now.clear();
    if (soon_.empty()) soon_.swap(now);  // its room is used again
}

// The contexts, not the executors: those of one context differ if one of them counts as work.
std::shared_ptr<transport> server_context::transport_for(std::string_view action,
                                                         std::shared_ptr<transport> own) const {
    if (!own) return net;
    const auto context_of = [](const transport& t) {
        return &asio::query(t.executor(), asio::execution::context);
    };
    if (context_of(*own) == context_of(*net)) return own;
    throw std::invalid_argument(
        fmt::format("{}: its transport runs on another io_context than the server", action));
}

void log_thrown(server_context& context, std::string_view name, std::exception_ptr thrown) {
    context.write(log_level::error, "coroutine threw",
                  fmt::format("{}: {}", name, detail::what_of(std::move(thrown))));
}

void spawn(std::shared_ptr<server_context> context, task<> work, std::string_view name) {
    const auto executor = context->net->executor();
    auto ended = [context = std::move(context),
                  name = std::string(name)](std::exception_ptr error) {
        if (error) log_thrown(*context, name, std::move(error));
    };
    asio::co_spawn(executor, std::move(work), std::move(ended));
}

}  // namespace ice
