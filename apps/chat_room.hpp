// chat_room: who is in which room of apps/chat, and what a client may say. A process knows only its
// own clients; all else goes over the bus. test/chat_room_test.cpp runs it in virtual time.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <ice/bus.hpp>
#include <ice/protocols/telnet.hpp>
#include <ice/session.hpp>
#include <ice/task.hpp>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "chat_words.hpp"

using chat_client = ice::session<ice::telnet>;

// A line of telnet has at most so many bytes, and so has a message.
inline const ice::bus_options chat_bus{.prefix = "chat.", .message = 8 * 1024};

// A client that reads too slowly is dropped: its room does not wait for it. What is no line is
// dropped as well, as any client of NATS can send it.
inline void tell(chat_client& to, std::string_view text) {
    if (to.push(text) == ice::errc::outbox_full) to.close();
}

// The clients of this process. Each room is a topic.
struct chat {
    explicit chat(ice::bus& b) : bus(b) {
        bus.subscribe("who", [this](std::string_view asked) {  // "TOPIC ROOM": where to answer
            const std::size_t blank = asked.find(' ');
            const auto found = rooms.find(blank == asked.npos ? "" : asked.substr(blank + 1));
            if (found == rooms.end()) return;
            std::string list;
            for (const auto& [member, name] : found->second)
                if (list.size() < longest_list) list += " " + name;
            (void)bus.publish(asked.substr(0, blank), "*" + list);
        });
        // [gap]
        bus.on_gap([this](std::string_view topic, std::uint64_t lost) {
            const auto found = rooms.find(topic);
            if (found == rooms.end()) return;
            for (const auto& [member, name] : found->second)
                tell(*member, fmt::format("* {} lost", lost));
        });
        // [gap]
    }

    static constexpr std::size_t longest_list = 4000;  // of names, which is one line

    bool has(const std::string& name) const { return names.contains(name); }

    ice::bus& bus;
    std::map<std::string, std::map<chat_client*, std::string>, std::less<>> rooms{};
    std::set<std::string> names{};
};

// One client, from its name to its end. It has a topic of its own, for answers.
struct guest {
    guest(chat& c, chat_client& p, std::string n) : all(c), peer(p), name(std::move(n)) {
        all.names.insert(name);
        to_it = all.bus.subscribe(own, [this](std::string_view text) { tell(peer, text); });
        join("lobby");
    }
    ~guest() {
        leave();
        all.bus.unsubscribe(to_it);
        all.names.erase(name);
    }
    void said(std::string_view line) {
        if (line == "/who") ask_who();
        else if (!line.starts_with("/join ")) say(topic, fmt::format("{}: {}", name, line));
        else if (!is_name(line.substr(6))) tell(peer, "* a room has letters and digits");
        else leave(), join(line.substr(6));
    }
    // [join]
    void join(std::string_view room) {
        topic = fmt::format("room.{}", room);
        to_room = all.bus.subscribe(topic, [this](std::string_view text) { tell(peer, text); });
        all.rooms[topic][&peer] = name;
        say(topic, fmt::format("* {} is in {}", name, room));
    }
    // [join]
    void leave() {
        all.bus.unsubscribe(to_room);
        if (all.rooms[topic].erase(&peer), all.rooms[topic].empty()) all.rooms.erase(topic);
        say(topic, fmt::format("* {} has left", name));
    }
    // Once a second, as each process answers with a long line.
    void ask_who() {
        if (peer.now() < who_again) return tell(peer, "* wait a second");
        who_again = peer.now() + std::chrono::seconds(1);
        say("who", fmt::format("{} {}", own, topic));
    }
    // [say]
    void say(std::string_view to, std::string_view text) {
        if (const auto ec = all.bus.publish(to, text))
            tell(peer, fmt::format("* not all have got this: {}", ec.message()));
    }
    // [say]

    chat& all;
    chat_client& peer;
    const std::string name;
    const std::string own = fmt::format("{}.{}", all.bus.id(), peer.uid().number());
    std::string topic{};
    std::uint64_t to_it = 0, to_room = 0;
    ice::time_point who_again{};
};

// What is said to a client that connects, and what it says.
struct chat_logic {
    chat& all;

    ice::task<> converse(chat_client& peer) {
        auto asked = peer.send("* your name?");
        if (co_await std::move(asked)) co_return;
        const auto first = co_await peer.receive();
        if (!first) co_return;
        std::string name(*first);
        if (!is_name(name) || all.has(name)) {
            tell(peer, "* no: a name has letters and digits, and nobody else has it");
            co_return;
        }
        guest user(all, peer, std::move(name));
        for (;;) {
            const auto line = co_await peer.receive();
            if (!line || *line == "/quit") co_return;
            user.said(printable(*line));
        }
    }
};
