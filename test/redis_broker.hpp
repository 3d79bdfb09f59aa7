// redis_broker: a small Redis of subscriptions and tracking for tests in virtual time. Of the
// commands it checks only what it needs.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <ice/protocols/resp_requests.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quiet_server.hpp"

namespace test {

class redis_broker {
public:
    redis_broker(ice::testing::simulation& sim, const ice::address& where)
        : srv_(std::make_unique<quiet_server>(sim.host(where.host()))) {
        srv_->add(ice::tcp_server_action{where}
                      .protocol(ice::resp_requests{})
                      .timeouts({.idle = ice::no_timeout})
                      .logic(logic{*this}));
    }

    bool has_resp3 = true;
    bool answers = true;           // commands other than HELLO
    std::string error_of_ping{};   // such as "LOADING Redis is loading the dataset in memory"
    std::set<std::string> denied;  // channels and patterns; "TRACKING" too
    std::map<std::string, std::string> values;

    void publish(std::string_view channel, std::string_view payload) {
        for (const auto& s : subscriptions_) {
            if (s.verb == "SUBSCRIBE" && s.name == channel)
                push(*s.to, {"message", channel, payload});
            if (s.verb == "PSUBSCRIBE" && matches(s.name, channel))
                push(*s.to, {"pmessage", s.name, channel, payload});
        }
    }
    void spublish(std::string_view channel, std::string_view payload) {
        for (const auto& s : subscriptions_) {
            if (s.verb == "SSUBSCRIBE" && s.name == channel)
                push(*s.to, {"smessage", channel, payload});
        }
    }
    // The keys that have changed.
    void invalidate(std::initializer_list<ice::resp_view> keys) {
        send(ice::resp_push({ice::resp_bulk_string("invalidate"), ice::resp_array(keys)}));
    }
    void flush() { send(ice::resp_push({ice::resp_bulk_string("invalidate"), ice::resp_null()})); }
    // As a slot that moves to another node of a cluster.
    void end_shard(std::string_view channel) {
        std::erase_if(subscriptions_, [&](const auto& s) { return s.name == channel; });
        send(ice::resp_push({ice::resp_bulk_string("sunsubscribe"), ice::resp_bulk_string(channel),
                             ice::resp_integer(0)}));
    }
    // To all clients.
    void send(const ice::resp_value& value) {
        for (auto* peer : peers_) (void)peer->push(value);
    }
    void close_all() {
        for (auto* peer : peers_) peer->close();
    }
    void stop() { srv_.reset(); }

    std::size_t clients() const { return peers_.size(); }
    // "SUBSCRIBE news", of all clients in order.
    std::vector<std::string> subscriptions() const {
        std::vector<std::string> all;
        for (const auto& s : subscriptions_) all.push_back(s.verb + " " + s.name);
        return all;
    }
    std::vector<std::string> got;  // the commands, with blanks between the words
    // Of each command, when it came.
    std::vector<ice::time_point> got_at;

private:
    using client = ice::session<ice::resp_requests>;
    struct subscription {
        client* to;
        std::string verb, name;
    };

    struct logic {
        redis_broker& self;
        void opened(client& p) const { self.peers_.push_back(&p); }
        void operator()(ice::resp_view request, client& p) const { self.take(request, p); }
        void closed(client& p) const {
            std::erase(self.peers_, &p);
            std::erase_if(self.subscriptions_, [&](const auto& s) { return s.to == &p; });
        }
    };

    static bool matches(std::string_view pattern, std::string_view channel) {
        if (!pattern.ends_with('*')) return pattern == channel;
        return channel.starts_with(pattern.substr(0, pattern.size() - 1));
    }

    // A client that does not read is left to its fate.
    static void push(client& p, std::initializer_list<std::string_view> words) {
        std::string out = fmt::format(">{}\r\n", words.size());
        for (const auto word : words) ice::detail::append_resp_bulk(word, out);
        (void)p.push(ice::resp_value(std::move(out)));
    }
    static void confirm(client& p, std::string verb, std::string_view name) {
        for (char& c : verb) c = static_cast<char>(c | 0x20);
        (void)p.push(ice::resp_push(
            {ice::resp_bulk_string(verb), ice::resp_bulk_string(name), ice::resp_integer(1)}));
    }

    void take(ice::resp_view request, client& from) {
        std::vector<std::string> words;
        std::string line;
        for (const ice::resp_view word : request) {
            words.emplace_back(word.text());
            line += (line.empty() ? "" : " ") + words.back();
        }
        got.push_back(line);
        got_at.push_back(from.now());
        const std::string& verb = words.at(0);
        if (!answers && verb != "HELLO") return;
        const std::string name = words.size() > 1 ? words[1] : "";
        if (verb == "HELLO") {
            if (has_resp3) return send_to(from, ice::resp_map({}));
            return send_to(from, ice::resp_error("ERR unknown command 'HELLO', with args "
                                                 "beginning with: '3' "));
        }
        if (verb == "PING") {
            if (error_of_ping.empty()) return send_to(from, ice::resp_simple_string("PONG"));
            return send_to(from, ice::resp_error(error_of_ping));
        }
        if (verb == "CLIENT") return track(line, from);
        if (verb == "GET") return send_to(from, ice::resp_bulk_string(values[name]));
        if (denied.contains(name))
            return send_to(from, ice::resp_error("NOPERM no permissions for this channel"));
        if (verb.ends_with("UNSUBSCRIBE")) {
            const std::string of =
                verb == "UNSUBSCRIBE" ? "SUBSCRIBE" : std::string(1, verb[0]) + verb.substr(3);
            std::erase_if(subscriptions_, [&](const auto& s) {
                return s.to == &from && s.verb == of && (words.size() == 1 || s.name == name);
            });
        } else if (verb.ends_with("SUBSCRIBE")) {
            subscriptions_.push_back({&from, verb, name});
        } else {
            return send_to(from, ice::resp_error("ERR unknown command '" + verb + "'"));
        }
        confirm(from, verb, name);
    }

    void track(const std::string& line, client& from) {
        if (denied.contains("TRACKING")) return send_to(from, ice::resp_error("NOPERM tracking"));
        tracked = line;
        send_to(from, ice::resp_simple_string("OK"));
    }
    static void send_to(client& p, const ice::resp_value& value) { (void)p.push(value); }

    std::vector<client*> peers_;
    std::vector<subscription> subscriptions_;

public:
    std::string tracked{};  // the last command of tracking

private:
    std::unique_ptr<quiet_server> srv_;
};

}  // namespace test
