// Forwards the functions of a simulation to its network (network.hpp).
#include <asio/co_spawn.hpp>
#include <ice/testing/sim.hpp>

#include "network.hpp"

namespace ice::testing {

// The numbers that a test draws do not depend on what the network has drawn.
constexpr std::uint64_t test_stream = 0x74657374;

simulation::simulation(std::uint64_t seed)
    : network_(std::make_unique<network>(seed)), net_(network_->machine("127.0.0.1")),
      chance_(seed ^ test_stream) {}

simulation::~simulation() = default;

std::shared_ptr<transport> simulation::host(const std::string& ip) { return network_->machine(ip); }

void simulation::resolves(std::string name, std::vector<std::string> ips) {
    network_->lookups.erase(name);
    network_->names.insert_or_assign(std::move(name), std::move(ips));
}

void simulation::lookup_takes(std::string name, duration span) {
    network_->lookups[std::move(name)].takes = span;
}

void simulation::lookup_fails(std::string name, error_code why) {
    network_->lookups[std::move(name)].fails = why;
}

faults& simulation::faults() noexcept { return network_->faults; }

std::uint64_t simulation::fired(fault f) const noexcept {
    return network_->fired[static_cast<std::size_t>(f)];
}

std::uint64_t simulation::operations() const noexcept { return network_->operations; }

void simulation::fail_operation(std::uint64_t n, int error) noexcept {
    network_->failing = n;
    network_->failing_with = error;
}

time_point simulation::now() const noexcept { return network_->now(); }
time_point simulation::last_idle() const noexcept { return network_->last_idle(); }

void simulation::spawn(task<> work) {
    asio::co_spawn(network_->loop, std::move(work), [n = network_.get()](std::exception_ptr e) {
        // The first exception is the cause; later ones usually follow from it.
        if (e && !n->thrown) n->thrown = std::move(e);
    });
}

void simulation::half_close(channel& c) { testing::half_close(c); }
void simulation::reset(channel& c) { testing::reset(c); }

void simulation::run_ready() { network_->run_ready(); }
bool simulation::step(time_point end) { return network_->step(end); }
bool simulation::advance() { return network_->advance(); }
bool simulation::quiescent() const noexcept { return network_->quiescent(); }
std::uint64_t simulation::hash() const noexcept { return network_->hash(); }
std::string simulation::history() const { return network_->history(); }
std::uint64_t simulation::events() const noexcept { return network_->events(); }

void simulation::note(const char* what, std::uint64_t a, std::uint64_t b) {
    network_->note(what, a, b);
}

}  // namespace ice::testing
