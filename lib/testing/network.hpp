// network: the world of a simulation: its clock, its events, its machines.
#pragma once

#include <asio/io_context.hpp>
#include <deque>
#include <functional>
#include <ice/detail/server_context.hpp>
#include <ice/testing/faults.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "wait_point.hpp"
#include "wire.hpp"

namespace ice::testing {

class host;
class port;

class network {
public:
    explicit network(std::uint64_t seed);
    ~network();

    // -- time
    time_point now() const noexcept { return now_; }
    // What transport::now() returns: moves the clock by fault::clock_moves.
    time_point read_clock();
    // See simulation::last_idle().
    time_point last_idle() const noexcept { return last_idle_; }
    // Lets `what` happen at `when`. Events of one instant happen in random order.
    void at(time_point when, std::function<void()> what);
    void after(duration span, std::function<void()> what) {
        at(ice::after(now_, span), std::move(what));
    }
    void run_ready();
    bool advance();  // one handler, or else one step
    bool step(time_point end);
    bool quiescent() const noexcept;

    // -- chance
    bool strikes(fault f) { return strikes(f, fault_dice_); }
    bool strikes(fault f, dice& d) {
        if (!d.hit(faults[f])) return false;
        ++fired[static_cast<std::size_t>(f)];
        return true;
    }
    // The errno with which the next operation fails; 0 if it succeeds.
    int next_operation() noexcept { return operations++ == failing ? failing_with : 0; }
    duration latency() {
        return add_sat(faults.latency, dice_.below(add_sat(faults.jitter, duration(1))));
    }
    dice& fault_dice() noexcept { return fault_dice_; }

    // -- what has happened
    void note(const char* what, std::uint64_t a = 0, std::uint64_t b = 0) noexcept;
    std::uint64_t hash() const noexcept { return hash_; }
    std::uint64_t events() const noexcept { return events_; }
    std::string history() const;

    // -- places
    std::shared_ptr<host> machine(const std::string& ip);
    // The IP addresses of `name`. `own` is the address of the machine that resolves it.
    std::vector<std::string> resolve(const std::string& name, const std::string& own) const;
    // How long a lookup takes, and with which error it fails.
    struct lookup {
        duration takes{};
        error_code fails;
    };
    lookup look_up(const std::string& name);
    address unused_port(const std::string& ip);

    testing::faults faults;
    std::array<std::uint64_t, static_cast<std::size_t>(fault::count)> fired{};
    std::uint64_t operations = 0;
    std::uint64_t failing = ~std::uint64_t{0};  // the number of the operation that fails
    int failing_with = 0;                       // the errno
    std::map<std::string, std::vector<std::string>, std::less<>> names;
    std::map<std::string, lookup, std::less<>> lookups;  // of names that take time or fail
    std::map<std::string, port*, std::less<>> ports;     // listeners, by address
    std::uint64_t connections = 0;                       // so far; also the id of the last one
    std::exception_ptr thrown;                           // the first of a spawned coroutine

private:
    friend class suspended_coroutine;
    struct happening {
        time_point at;
        std::uint64_t order;  // random: the order of events of one instant
        std::function<void()> what;
        bool operator<(const happening& o) const noexcept {  // the heap's top is the greatest
            return at != o.at ? at > o.at : order > o.order;
        }
    };
    struct line {
        time_point at;
        const char* what;
        std::uint64_t a, b;
    };
    static constexpr std::size_t remembered = 200;  // lines of history()

    bool run_one();
    void wait_until(time_point) noexcept;
    void happen();    // the first event of heap_
    void be_late();   // fault::late_loop
    void fire_all();  // fires the deadlines of all machines

    std::uint16_t last_port_ = 32767;  // Linux assigns ports from 32768 on
    // One hour, as on a machine that is not just booted: durations can be subtracted from it.
    time_point now_ = time_point(std::chrono::hours(1));
    time_point last_idle_ = now_;
    dice dice_;
    dice fault_dice_;
    dice clock_dice_;
    std::vector<happening> heap_;
    std::map<std::string, std::shared_ptr<host>, std::less<>> machines_;
    suspended_coroutine* waiting_ = nullptr;  // the list of those that wait, the newest first
    std::uint64_t hash_ = 0xcbf29ce484222325ULL;
    std::uint64_t events_ = 0;
    std::array<line, remembered> lines_{};
    std::uint64_t noted_ = 0;

public:
    // The last member: the frames that it destroys use all members above.
    asio::io_context loop{ASIO_CONCURRENCY_HINT_UNSAFE};
};

// A listening socket.
class port final : public acceptor {
public:
    port(transport& net, network& world, address local);
    ~port() override { cancel(); }

    task<io_status> ready() override;
    result<std::unique_ptr<channel>> accept() override;
    void cancel() override;
    address local() const override { return local_; }

    // Adds a connection to the backlog. Returns false if that is full.
    bool take(const std::shared_ptr<wire>&);

private:
    transport& net_;
    network& world_;
    address local_;
    std::size_t backlog_;
    std::deque<std::shared_ptr<wire>> arrived_;
    wait_point ready_;
    bool open_ = true;
};

// A machine: its transport. `timer()` is when the network calls fire() next.
class host final : public transport {
public:
    host(network& net, std::string ip);

    std::unique_ptr<acceptor> listen(const address&, std::optional<unsigned>) override;
    time_point now() const override { return net_.read_clock(); }
    task<> sleep(duration) override;
    std::uint64_t random() override { return dice_.next(); }
    std::size_t descriptors() const override { return net_.faults.descriptors; }
    void stop() override { stopped_ = true; }
    void release() override { deadlines().forget_cleared(); }

    time_point timer() const noexcept { return stopped_ ? never : timer_; }
    void fire();

private:
    struct attempt;
    task<result<std::vector<address>>> resolve(address, time_point until) override;
    result<std::unique_ptr<connect_attempt>> begin_connect(const address&,
                                                           connect_attempt::callback) override;
    static void call(network&, std::weak_ptr<attempt>, duration again);
    std::vector<address> places(const address&) const;
    void wake_at(time_point at) override { timer_ = at; }

    network& net_;
    std::string ip_;
    dice dice_;
    time_point timer_ = never;
    bool stopped_ = false;
};

// A channel at end 0 (connected) or 1 (accepted) of the connection. See simulation for the others.
std::unique_ptr<channel> make_channel(transport&, std::shared_ptr<wire>, int end);
void half_close(channel&);
void reset(channel&);

}  // namespace ice::testing
