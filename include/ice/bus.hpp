// bus: topics that the processes of one service share. Within a process it calls subscribers
// directly; over NATS it reaches the other processes. It elects nobody, keeps nothing, and does not
// know who its members are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <ice/detail/export.hpp>
#include <ice/nats_client.hpp>
#include <memory>
#include <string>
#include <string_view>

namespace ice {

// The bounds of a bus, and its client of NATS.
struct bus_options {
    // Stands before each topic in the subjects of NATS: with "chat." the topic "room" has the
    // subject "chat.room". Two services that share a broker have different ones.
    std::string prefix = "ice.";
    // Bytes of a message that this process publishes. Beyond it publish() returns
    // errc::message_too_large. 64 KiB: a larger one holds up all topics of the process. What others
    // publish is bounded by nats_client_options::payload, which is at least this and a header.
    std::size_t message = 64 * 1024;
    // Messages that handlers may publish while one message is delivered. Beyond it publish()
    // returns errc::outbox_full. 1024: handlers that answer each other for ever meet it at once.
    std::size_t nested = 1024;
    // Topics of which the bus remembers how many messages it has published. Beyond it the bus
    // forgets the one that was published on least recently: what others lose of it until the next
    // message is not counted.
    std::size_t topics = 4096;
    // Pairs of a topic and another process of which the bus remembers the last message. Beyond it
    // the bus forgets the oldest (bus_counters::forgotten), whose next gap is not counted.
    std::size_t publishers = 16 * 1024;
    // Of its link. The bus sets login.echo to false.
    nats_client_options nats{.name = "bus"};
};

// Events of one bus since it was made.
struct bus_counters {
    std::uint64_t published = 0;   // by publish(), for the subscribers of this process at least
    std::uint64_t refused = 0;     // of these, those that the link has refused
    std::uint64_t received = 0;    // over NATS, of other processes and other clients of NATS
    std::uint64_t unnumbered = 0;  // of these: of no bus, or with a forged number
    std::uint64_t lost = 0;  // messages that other processes have published and that are missing
    std::uint64_t gaps = 0;  // calls of on_gap(): each tells of one or more lost messages
    std::uint64_t late = 0;  // messages that came after later ones of their process: dropped
    std::uint64_t forgotten = 0;  // bus_options::publishers was reached
    std::uint64_t handler_threw = 0;
};

// Make it beside the server, and use it on the loop's thread. Requires: the server outlives it. It
// may be destroyed within a handler.
//     ice::bus bus(srv, ice::address("127.0.0.1:4222"));
//     bus.subscribe("news", [&](std::string_view text) { listener.broadcast(text); });
//     if (const auto ec = bus.publish("news", "1:0")) ..  // others have not got it
//
// At most once: a subscriber gets a message once or not at all, and messages of one process on one
// topic in the order in which it has published them. Each process numbers what it publishes on a
// topic, in the header "Ice-Bus"; a subscriber counts the numbers that it has not seen. A message
// that is lost is told when a later one of the same process arrives on its topic; the first message
// of a process that a subscriber sees tells of none. Other clients of NATS may subscribe to the
// subjects, and publish on them: their messages have no numbers. Who may publish there can also
// forge numbers, and so make true messages of a process late: up to a million of them. Let the
// permissions of the servers keep others out.
class ICE_API bus {
public:
    // Bytes of a topic with its prefix: the line of a message, of 4096 bytes, has other words too.
    static constexpr std::size_t subject_limit = 1024;

    // Alone: publish() calls the subscribers of this bus, and there are no others.
    explicit bus(server& srv, bus_options options = {});
    // With the other processes, over one of these servers of NATS. It connects while the loop runs,
    // and again whenever the connection has ended. Without an address it is alone, so that one
    // program can be both. Throws std::invalid_argument if nats_client does, or if the prefix
    // begins no subject.
    bus(server& srv, pool_addresses where, bus_options options = {});
    // Unsubscribes. The link stays until the server ends, so a further bus on this server needs
    // another bus_options::nats.name.
    ~bus();
    bus(const bus&) = delete;
    bus& operator=(const bus&) = delete;

    // Sends a message to all subscribers of a topic. Those of this process have it when publish()
    // returns; in a handler, when the handlers of the current message have returned.
    // An error of the link, such as errc::not_connected, outbox_full, draining or stopped, means
    // that other processes have not got it, and count it as lost; this process has got it. So do
    // errc::message_too_large and unencodable if the server of NATS takes less than this bus, or no
    // headers.
    // Nobody has got it if the topic is no subject of NATS, has wildcards or is longer than
    // subject_limit (errc::unencodable), if the message is too large (errc::message_too_large), or
    // if handlers have published too many (errc::outbox_full, bus_options::nested).
    [[nodiscard]] error_code publish(std::string_view topic, std::string_view message);

    // Calls `handle(message)` with each message of a topic from now on; the message is valid until
    // it returns. `handle` must not wait. The log has what it throws, and other subscribers get the
    // message all the same. Returns the number of the subscription, which is unique in this bus.
    // The subscribers of one topic share one subscription of NATS. Throws std::invalid_argument for
    // a topic that publish() refuses.
    std::uint64_t subscribe(std::string topic, std::function<void(std::string_view)> handle);
    // Ends a subscription: its handler is not called any more. No effect if there is none.
    void unsubscribe(std::uint64_t subscription);

    // Is called with the topic and the number of lost messages, once for each gap, before the
    // message that shows it. The topic is valid until it returns. Without it the log has them.
    void on_gap(std::function<void(std::string_view topic, std::uint64_t lost)> report);

    // 16 hexadecimal digits, drawn when the bus was made: a process that subscribes to it as a
    // topic gets what others publish for this process alone. Valid as long as the bus.
    std::string_view id() const noexcept;
    // Whether the link is connected, and has subscribed to all topics. False if the bus is alone.
    bool is_connected() const noexcept;
    // Its client of NATS; null if the bus is alone.
    nats_client* client() const noexcept;
    bus_counters counters() const noexcept;

private:
    struct state;
    std::shared_ptr<state> state_;
};

}  // namespace ice
