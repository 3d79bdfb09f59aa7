// calls: the system calls of ice and Asio pass through here (--wrap of the linker). Peers act
// between two calls, as if on another processor; a call may do less than it could, as in the
// kernel; and a descriptor that is closed twice, or a loop that spins, is detected.
#pragma once

#include "world.hpp"

namespace torture {

// Peers and upstreams behind the kernel. Their own calls are not changed. Must not throw.
class outsiders {
public:
    virtual ~outsiders() = default;
    // Each whose time has come; false if none has done anything.
    virtual bool all_act() noexcept = 0;
    virtual void one_acts() noexcept = 0;
    virtual void leave_to_parent() noexcept = 0;  // this is a forked child
};

// Probabilities of one world, and sizes in bytes.
struct meddling {
    double acts = 0;            // before a call, an outsider acts
    double stalls = 0;          // send() takes nothing, and at once there is room again
    double short_send = 0;      // a part
    double short_recv = 0;      // a part of what has arrived
    double aborts = 0;          // accept4() fails with ECONNABORTED
    double no_descriptors = 0;  // or with EMFILE
    double stranger = 0;        // or the peer seems to be of another host, of a few
    int send_buffer = 0;        // of sockets of ice; 0: as the system has it
    int receive_buffer = 0;
};

// While it lives, calls are meddled with.
class meddler {
public:
    meddler(world&, const meddling&, outsiders&);
    ~meddler();
    meddler(const meddler&) = delete;
    meddler& operator=(const meddler&) = delete;

    // The outsiders act at this moment, before ice reads anything.
    void let_act();

    // Makes a child that has all descriptors that ice has at this moment, and no others. It waits
    // until the world ends; or if it `goes_on` this returns there, too, with true. Then it ends by
    // _exit(2).
    bool fork(bool goes_on);

    struct state;

private:
    void end_children();
};

// The real clock, of which world.cpp knows nothing.
std::chrono::steady_clock::time_point now() noexcept;

}  // namespace torture
