// The world of a handshake: no sockets, no timers, only bytes.
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <ice/bench/handshake.hpp>
#include <random>
#include <stdexcept>

namespace ice::bench::detail {
namespace {

[[noreturn]] void cannot(const char* what) {
    throw std::logic_error(std::string("a handshake in a generator cannot ") + what);
}

class nowhere final : public transport {
public:
    using transport::transport;

    std::unique_ptr<acceptor> listen(const address&, std::optional<unsigned>) override {
        cannot("listen");
    }
    time_point now() const override { return std::chrono::steady_clock::now(); }
    task<> sleep(duration) override { cannot("sleep"); }
    std::uint64_t random() override { return chance_(); }
    std::size_t descriptors() const override { return 0; }
    void stop() override {}
    void release() override {}

private:
    task<result<std::vector<address>>> resolve(address, time_point) override { cannot("connect"); }
    result<std::unique_ptr<connect_attempt>> begin_connect(const address&,
                                                           connect_attempt::callback) override {
        cannot("connect");
    }
    void wake_at(time_point) override {}  // the engine has the time-out

    std::mt19937_64 chance_;
};

}  // namespace

struct handshakes::world {
    std::shared_ptr<nowhere> net;
    asio::io_context loop{1};  // behind net: its coroutines end first
    std::exception_ptr thrown;
};

handshakes::handshakes() : world_(std::make_unique<world>()) {
    world_->net = std::make_shared<nowhere>(world_->loop.get_executor());
}

handshakes::~handshakes() = default;

std::unique_ptr<wire> handshakes::make() { return std::make_unique<wire>(*world_->net); }

void handshakes::spawn(task<> work) {
    asio::co_spawn(world_->loop, std::move(work), [w = world_.get()](std::exception_ptr e) {
        if (e && !w->thrown) w->thrown = e;
    });
}

void handshakes::run() {
    world_->loop.restart();
    world_->loop.poll();
    if (world_->thrown) std::rethrow_exception(std::exchange(world_->thrown, nullptr));
}

wire::wire(transport& net) : channel(net), more_(net.executor()) {}

void wire::arrive(std::string_view bytes) {
    in_.append(bytes);
    if (!bytes.empty()) more_.set();
}

std::string wire::sent() { return std::exchange(sent_text_, {}); }

task<io_status> wire::fill() {
    more_.clear();
    if (!cancelled_) co_await more_.wait();
    co_return io_status(cancelled_);
}

bool wire::try_flush() {
    sent_ += out_.size();
    sent_text_ += std::exchange(out_, {});
    return !cancelled_;
}

void wire::cancel(error_code why) {
    if (!cancelled_) cancelled_ = why;
    more_.set();
}

task<> wire::linger(duration) { co_return; }

}  // namespace ice::bench::detail
