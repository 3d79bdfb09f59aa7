// Deadlines of a conversation, and its batches.
#include <algorithm>
#include <asio/error.hpp>
#include <ice/session.hpp>
#include <limits>

namespace ice {
namespace {

// The end of a batch: the other connections have theirs first.
task<io_status> next_turn(transport& net) {
    co_await net.yield();
    co_return io_status();
}

std::uint32_t turn_of(const limits& l) noexcept {
    constexpr std::size_t most = std::numeric_limits<std::uint32_t>::max();
    return static_cast<std::uint32_t>(std::clamp<std::size_t>(l.batch, 1, most));
}

}  // namespace

bool is_of_socket(error_code ec) noexcept {
    const auto& c = ec.category();
    return c == asio::error::get_system_category() || c == asio::error::get_misc_category() ||
           c == std::system_category() || c == std::generic_category();
}

bool is_of_peer(error_code ec) noexcept {
    return ec == errc::closed || ec == errc::truncated || is_of_socket(ec);
}

session_base::session_base(std::unique_ptr<channel> bytes, ice::uid id,
                           session_settings& settings) noexcept
    : settings_(settings), channel_(std::move(bytes)), uid_(id), batch_(turn_of(settings.limits)) {
    channel_->read_at_most(settings.limits.inbox);
    channel_->write_timeout(settings.timeouts.write);
}

session_base::~session_base() = default;

spawned_work::spawned_work(const asio::any_io_executor& executor, std::shared_ptr<void> owner)
    : lifetime(std::make_shared<session_lifetime>()), group(executor) {
    lifetime->owner = std::move(owner);
}

void session_base::spawn(task<> work) { add_spawned(std::move(work), false); }

void session_base::start(task<> work) { add_spawned(std::move(work), true); }

void session_base::add_spawned(task<> work, bool at_once) {
    if (!can_spawn()) throw std::logic_error("a pool's session spawns none");
    // The session waits for the end of coroutines only between opened() and closed() of its logic.
    // One that began outside would use a session that is gone. start() is called in between only,
    // also after close().
    if ((!established_ && !at_once) || settings_.stopped) return;
    if (!has_spawned_) {
        settings_.spawned.try_emplace(this, executor(), settings_.hold_owner(*this));
        has_spawned_ = true;
    }
    spawned_work& all = settings_.spawned.at(this);
    auto threw = [this, lifetime = all.lifetime](std::exception_ptr thrown) {
        settings_.spawned_threw(*this, std::move(thrown));
    };
    if (at_once) all.group.start(std::move(work), std::move(threw));
    else all.group.spawn(std::move(work), std::move(threw));
}

task<> session_base::end_established() {
    set_established(false);
    if (!has_spawned()) co_return;
    task_group& group = settings_.spawned.at(this).group;
    group.cancel();
    co_await group.join();  // mutant: join_spawned
}

task<> session_base::finish(error_code why) {
    if (is_of_peer(why) || channel_->cancelled()) co_return;
    const bool sent = try_flush() || !co_await flush();
    if (sent) co_await channel_->linger(settings_.timeouts.linger);  // mutant: graceful_close
}

// The loop may destroy the coroutine of a connection before those that its session has spawned.
void session_base::destroy(std::unique_ptr<session_base> s) noexcept {
    if (!s->has_spawned_) return;
    const auto all = s->settings_.spawned.extract(s.get());
    auto& lifetime = *all.mapped().lifetime;
    s->channel_->cancels(nullptr);  // it was of the coroutine that ends here
    lifetime.session = std::move(s);
}

// Reading ends, writing does not. A session of a pool has nobody who would flush it later.
void session_base::close() {
    if (!failed_) failed_ = errc::stopped;
    established_ = false;
    channel_->try_flush();
    end_reading(errc::stopped);
}

// A message that is not whole gets no answer, so the drain need not wait for its rest.
void session_base::end_reading(error_code why) {
    channel_->expect_rest(false);
    channel_->drain(why);
}

void session_base::answering(bool is) {
    answering_ = is;
    // fill() waits since before the last answer.
    if (!is && begun_ == never && !in_partial_message_ && !has_own_deadline())
        channel_->deadline_between_messages(now(), settings_.timeouts.idle, errc::idle_timeout);
}

void session_base::expects_nothing() {
    if (!channel_->cancelled() && !has_own_deadline()) channel_->deadline(never, errc{});
}

void session_base::fail_unencodable(error_code why) noexcept {
    fail(why);
    unencodable_ = true;
    count_unencodable();
}

task<io_status> session_base::flush() {
    return channel_->flush(settings_.timeouts.write, until_, static_cast<errc>(until_why_));
}

task<io_status> session_base::flush_and_fill() {
    const error_code ec = co_await flush();
    if (ec) co_return ec;
    const error_code filled = co_await fill_flushed();
    co_return filled;
}

task<io_status> session_base::fill_flushed() {
    if (failed_) return ready(failed_);
    // The batch ended before the input did: other sessions run first, and nothing is read.
    const bool more = batch_ == 0 && !channel_->data().empty();
    batch_ = turn_of(settings_.limits);
    if (more) return next_turn(channel_->net());  // mutant: next_turn
    const std::size_t unfinished = channel_->data().size();
    // Here data() is a single message that is not whole, as the batch has answered all others.
    if (unfinished > settings_.limits.message) return ready(errc::message_too_large);

    const time_point now = this->now();
    // One deadline of three: of the request or the handshake, of an idle peer, or of a message that
    // has begun. The last one counts from the first byte, so a peer gains no time by sending single
    // bytes.
    if (has_own_deadline()) {
        channel_->deadline(until_, static_cast<errc>(until_why_));
    } else if (unfinished == 0 && !in_partial_message_) {
        const time_point idle = answering_ ? never : after(now, settings_.timeouts.idle);
        channel_->deadline(idle, errc::idle_timeout);
    } else {
        if (begun_ == never) begun_ = now;  // mutant: first_byte
        channel_->deadline(after(begun_, settings_.timeouts.message), errc::message_timeout);
    }
    // In a drain one that began after all before it had been answered is not waited for: a peer
    // that goes on sending would hold it.
    const auto received = static_cast<std::uint8_t>(received_);
    const bool is_answered = received != filled_at_ && channel_->has_waited_in_drain();
    filled_at_ = received;
    channel_->expect_rest((unfinished != 0 || in_partial_message_) && !is_answered);
    return channel_->fill();
}

bool session_base::has_no_input() noexcept {
    if (channel_->has_no_input()) return true;
    try {
        return !failed_ && channel_->read_arrived() && skip_input() && channel_->has_no_input();
    } catch (...) { return false; }  // of the protocol
}

void session_base::drain_when_idle() {
    ends_idle_ = true;
    if (!receiving_ || !is_idle()) return;
    failed_ = errc::draining;  // it is lent to nobody else
    channel_->drain(errc::draining);
}

void session_base::set_deadline(time_point until, errc why) noexcept {
    until_ = until;
    until_why_ = static_cast<std::uint8_t>(why);
    // Any other deadline reaches the channel with the next wait. Removing one must reach it now.
    if (until == never) channel_->deadline(never, errc{});
}

bool session_base::reopen() noexcept {
    if (!channel_->reopen()) return false;
    set_deadline(never, errc{});  // it has passed, and would end the last flush
    return true;
}

void session_base::arm_logic_timeout() {
    logic_timeout_armed_ = true;
    channel_->deadline_between_messages(now(), settings_.timeouts.logic, errc::logic_timeout);
}

void session_base::end_logic() noexcept {
    channel_->cancel(errc::stopped);
    // Otherwise nothing but ice waits.
    if (!logic_timeout_armed_ && !receives_alone_) channel_->cancels(nullptr);
    channel_->end_user();
}

error_code session_base::queued(std::size_t before) {
    error_code refused = channel_->cancelled();
    const std::size_t unsent = channel_->unsent(), most = settings_.limits.outbox;
    const std::size_t added = channel_->out().size() - before;
    const bool is_full =
        settings_.duplex_below == unlimited ? unsent - added >= most : unsent > most;
    if (!refused && is_full) {
        refused = errc::outbox_full;
        ++settings_.outbox_full;
    }
    // All of the message or nothing: a part of it would change the meaning of what follows.
    // append() has counted the message, so the count is taken back, too.
    if (refused) {
        channel_->out().resize(before);  // mutant: push_taken_back
        --asked_;
        return refused;
    }
    channel_->flush_soon();
    return {};
}

task<error_code> session_base::sent() {
    // fill() waits meanwhile, and has its deadline.
    while (receives_alone_ && !channel_->try_flush()) {
        if (const error_code ended = channel_->cancelled()) co_return lost(ended);
        auto room = channel_->wait_for_room();
        if (const error_code ec = co_await std::move(room)) co_return lost(ec);
    }
    if (!channel_->try_flush()) {
        if (const error_code ec = co_await flush()) co_return lost(ec);
        rearm_logic_timeout();
    }
    co_return error_code();
}

listener_base& session_base::owner() const {
    if (settings_.listener == nullptr)
        throw std::logic_error("this session belongs to no listener");
    return *settings_.listener;
}

}  // namespace ice
