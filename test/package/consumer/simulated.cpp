// A user's test in virtual time: it needs the second library.
#include <ice/testing/sim.hpp>

#include <chrono>

int main() {
    ice::testing::simulation world;
    world.run_for(std::chrono::hours(1));
}
