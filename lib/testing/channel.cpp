// A channel over a simulated connection. It does what socket_channel.cpp does with a socket.
#include <cassert>
#include <cerrno>

#include "network.hpp"

namespace ice::testing {
namespace {

// As in socket_channel.cpp.
constexpr std::size_t linger_bytes = 1024 * 1024;

bool is_would_block(error_code ec) noexcept { return ec == system_error(EAGAIN); }

class wire_channel final : public channel {
public:
    wire_channel(transport& net, std::shared_ptr<wire> w, int end)
        : channel(net), wire_(std::move(w)), end_(end), reading_(wire_->net),
          peer_end_(
              net.deadlines(), [](void* self) { static_cast<wire_channel*>(self)->meet_end(); },
              this) {
        // The wire calls it within an event of the network, when bytes or an end have arrived, or
        // there is room. The destructor removes it (wire::close()).
        wire_->ends[end_].changed = [this] {
            if (wire_->readable(end_)) reading_.wake();
            if (writing_) write_rest();
            look_for_end();
        };
    }
    ~wire_channel() override { wire_->close(end_); }

    // -- receiving

    task<io_status> fill() override {
        if (cancelled_) co_return io_status(cancelled_);
        filling_ = true;
        for (;;) {
            io_status woken;
            const bool ends = draining_ && !in_message_;
            // Yields also if bytes are there, as a real loop polls other sockets between two reads:
            // one busy peer must not keep it.
            if (ends || wire_->readable(end_)) co_await net_.yield();
            else woken = co_await reading_.wait();
            if (cancelled_) co_return filled(cancelled_);
            if (woken) co_return filled(woken);
            const std::size_t before = in_.size();
            const io_status read = read_now();
            // In a drain with nothing to read: goes on if a message has begun, whose rest may come.
            const bool goes_on = draining_ && in_message_ && read == draining_;
            if (!goes_on || in_.size() != before) co_return filled(read);
            waited_in_drain_ = true;
        }
    }

    bool has_no_input() noexcept override {
        return !cancelled_ && in_.size() == 0 && wire_->quiet(end_);
    }

    void end_with_peer() override {
        ends_with_peer_ = true;
        look_for_end();
    }

    bool read_arrived() override { return !cancelled_ && wire_->readable(end_) && !read_now(); }

    // -- sending

    bool try_flush() override {
        if (cancelled_ || writing_) return false;
        done_ = 0;
        write(out_);
        if (cancelled_) return false;
        if (done_ == out_.size()) {
            out_.clear();
            return true;
        }
        // What did not fit into the window is sent first. Later pushes gather in out_.
        rest_.swap(out_);
        writing_ = true;
        begin_stall();
        return false;
    }

    std::size_t unsent() const noexcept override {
        return out_.size() + (writing_ ? rest_.size() - done_ : 0);
    }

    // -- the end

    void drain(error_code why) override {
        if (draining_) return;
        draining_ = why;
        reading_.wake();
    }

    void cancel(error_code why) override {
        if (cancelled_) return;
        cancelled_ = why;
        std::string().swap(out_);
        reading_.wake();
        end_stall();
    }

    void shut() noexcept override { wire_->shut(end_); }

    task<> linger(duration timeout) override {
        if (cancelled_ || ended_) co_return;
        assert(unsent() == 0);
        wire_->shut(end_);
        draining_.clear();
        deadline(after(net_.now(), timeout), errc::closed);
        for (std::size_t discarded = 0; discarded < linger_bytes;) {
            discarded += in_.size();
            in_.consume(in_.size());
            if (co_await fill()) break;
        }
    }

    void half_close() { wire_->shut(end_); }
    void break_off() {
        wire_->reset(end_);
        reading_.wake();
    }

    address peer() const override {
        const address& other = wire_->ends[1 - end_].where;
        return wire_->ends[1].where.is_unix() ? address("unix:(peer)") : other;
    }

private:
    io_status filled(io_status s) {
        filling_ = false;
        look_for_end();
        return s;
    }
    // The end of the peer is met in the loop, as the code that uses this channel may be running.
    void look_for_end() {
        const wire::end& own = wire_->ends[end_];
        if (ends_with_peer_ && !filling_ && (own.finished || own.broken)) peer_end_.set(net_.now());
    }
    void meet_end() {
        if (filling_ || !ends_with_peer_) return;  // fill() returns it
        ends_with_peer_ = false;
        ended_by_peer();
    }

    io_status read_now() {
        buffer::room r{};
        try {
            r = room();
        } catch (const std::bad_alloc&) { return system_error(ENOMEM); }
        error_code ec;
        const std::size_t n = wire_->receive(end_, r.data, r.size, ec);
        received(n);
        if (n != 0) return {};
        if (is_would_block(ec)) return draining_;
        ends_with_peer_ = false;  // whoever reads has learnt of it
        if (ec) return ec;
        ended_ = true;
        return in_.size() == 0 ? errc::closed : errc::truncated;
    }

    void write(const std::string& bytes) {
        while (done_ < bytes.size()) {
            error_code ec;
            const auto left = std::string_view(bytes).substr(done_);
            const std::size_t n = wire_->send(end_, left, ec);
            if (is_would_block(ec)) break;
            if (ec) return cancel(ec);
            done_ += n;
            sent_ += n;
        }
    }

    void write_rest() {
        if (cancelled_) return;
        // write() may have cancelled the channel, as the peer may have reset the connection.
        write(rest_);
        if (cancelled_) {
            writing_ = false;
        } else if (done_ == rest_.size()) {
            writing_ = false;
            rest_.clear();
            end_stall();
            try_flush();  // also what was pushed since
        } else {
            begin_stall();  // a new stall: the peer has taken a part
        }
    }

    std::shared_ptr<wire> wire_;
    int end_;
    wait_point reading_;
    std::string rest_;      // bytes of a flush, of which the kernel did not take all at once
    std::size_t done_ = 0;  // bytes of them that it took
    bool writing_ = false;  // rest_ is not empty
    error_code draining_;
    bool ended_ = false;
    bool filling_ = false;  // a fill() is pending
    bool ends_with_peer_ = false;
    ice::deadline peer_end_;
};

}  // namespace

void half_close(channel& c) { dynamic_cast<wire_channel&>(c).half_close(); }
void reset(channel& c) { dynamic_cast<wire_channel&>(c).break_off(); }

// Closes the connection if there is no memory for a channel, as socket_transport.cpp closes the
// descriptor.
std::unique_ptr<channel> make_channel(transport& net, std::shared_ptr<wire> w, int end) {
    try {
        return std::make_unique<wire_channel>(net, w, end);
    } catch (...) {
        w->close(end);
        throw;
    }
}

}  // namespace ice::testing
