// worker: one thread of load: its connections, on an epoll of its own. No Asio and no ice below it,
// so that it is never the slower half of what is measured.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <ice/bench.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "connection.hpp"
#include "options.hpp"
#include "schedule.hpp"
#include "tally.hpp"

namespace ice::bench {

// One thread's part of a run.
struct share {
    std::size_t number = 0;  // of the thread
    std::size_t connections = 0;
    std::uint64_t count = 0;  // requests; zero: no bound
    clock::time_point start;  // the warm-up begins
    clock::time_point begin;  // requests count from here
    clock::time_point end;    // and are sent until here
};

class worker {
public:
    worker(const options& o, const mode& m, const endpoint& to, const share& part);
    ~worker();

    // Runs to the end; call it on a thread of its own.
    void run();

    // What was counted since the last call, for the line of each second. Any thread.
    tally recent();

    // Everything, after run().
    const tally& total() const { return total_; }

    // When the last reply came.
    clock::time_point finished() const { return finished_; }

    static std::atomic<bool> interrupted;

private:
    bool may_ask(clock::time_point now) const;
    bool is_over(clock::time_point now) const;
    void finish(clock::time_point now);

    void open(connection& c, clock::time_point now);
    void connected(connection& c, clock::time_point now);
    void ready(connection& c);
    void close(connection& c);
    void lose(connection& c, failure why, std::string text, clock::time_point now);

    void refill(connection& c, clock::time_point now);
    void open_with_request(connection& c, clock::time_point due, clock::time_point now);
    void send_due(clock::time_point now);
    connection* next_free();
    void asked(connection& c, const in_flight::burst& b);
    void send(connection& c, std::string_view bytes, clock::time_point now);

    void readable(connection& c);
    void answered(connection& c, std::size_t n, clock::time_point now);

    void wait(clock::time_point now);
    int wait_for_events(clock::time_point now, epoll_event* events, int most);
    void happened(connection& c, std::uint32_t what, clock::time_point now);
    void sweep(clock::time_point now);
    void look_at(connection& c, clock::time_point now);
    void publish();

    const options& options_;
    const mode& mode_;
    endpoint to_;
    share part_;
    make_dialogue make_;
    std::optional<schedule> schedule_;

    int epoll_ = -1;
    std::vector<std::unique_ptr<connection>> connections_;
    std::unique_ptr<char[]> input_;
    std::size_t turn_ = 0;  // where the search for a free connection goes on
    std::size_t free_ = 0;  // requests that the connections could still take
    std::size_t in_flight_ = 0;
    std::vector<connection*> to_send_;
    std::uint64_t left_ = 0;  // of part_.count
    std::uint64_t dialogues_ = 0;
    clock::time_point next_sweep_;
    clock::time_point next_publish_;
    clock::time_point last_up_;  // when there was a connection
    clock::time_point finished_;

    tally total_;
    tally interval_;
    std::mutex mutex_;
    tally published_;  // guarded by mutex_
};

}  // namespace ice::bench
