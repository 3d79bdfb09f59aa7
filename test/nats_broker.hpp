// nats_broker: a small NATS server for tests in virtual time: subscriptions, queue groups, headers,
// no_responders, the servers of a cluster and lame duck mode. Of the protocol it checks only what
// it needs.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <list>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "quiet_server.hpp"

namespace test {

// A command of a client, in the bytes in which it arrived.
struct nats_server_side {
    ice::parsed<std::string_view> parse(std::string_view in) {
        const std::size_t end = in.find("\r\n");
        if (end == in.npos) return ice::need_more;
        std::size_t size = end + 2;
        if (in.starts_with("PUB ") || in.starts_with("HPUB ")) {
            const std::string last(in.substr(0, end).substr(in.substr(0, end).rfind(' ') + 1));
            size += std::strtoul(last.c_str(), nullptr, 10) + 2;
        }
        if (in.size() < size) return ice::need_more;
        return {in.substr(0, size), size};
    }
    void packet(std::string_view bytes, std::string& out) { out += bytes; }
};

class nats_broker {
public:
    nats_broker(ice::testing::simulation& sim, const ice::address& where)
        : srv_(std::make_unique<quiet_server>(sim.host(where.host()))) {
        srv_->add(ice::tcp_server_action{where}
                      .protocol(nats_server_side{})
                      .timeouts({.idle = ice::no_timeout})
                      .logic(logic{*this}));
    }

    // Members of the next INFOs, such as `"ldm":true`.
    std::string info = R"("headers":true,"max_payload":1048576)";
    std::vector<std::string> connect_urls{};
    bool answers_pings = true;
    bool honours_echo = true;  // as servers of protocol 1 do

    // Sends an INFO to all clients, as after a change of the cluster.
    void tell() {
        for (auto* peer : peers_) push(*peer, hello());
    }
    // To one client, or to all.
    void send(const std::string& bytes) {
        for (auto* peer : peers_) push(*peer, bytes);
    }
    void publish(std::string_view subject, std::string_view payload,
                 std::string_view reply_to = "") {
        deliver(nullptr, subject, reply_to, 0, payload);
    }
    // The server ends its client number `index`, as a slow consumer.
    void drop(std::size_t index) {
        push(*peers_.at(index), "-ERR 'Slow Consumer'\r\n");
        peers_.at(index)->close();
    }
    void close_all() {
        for (auto* peer : peers_) peer->close();
    }
    void stop() { srv_.reset(); }

    std::size_t clients() const { return peers_.size(); }
    // "subject" or "subject queue", of all clients in order.
    std::vector<std::string> subscriptions() const {
        std::vector<std::string> all;
        for (const auto& s : subscriptions_)
            all.push_back(s.queue.empty() ? s.pattern : s.pattern + " " + s.queue);
        return all;
    }
    std::vector<std::string> got;  // the first line of each command

private:
    using client = ice::session<nats_server_side>;
    struct subscription {
        client* to;
        std::string sid, pattern, queue;
        unsigned long left = 0;  // messages until it ends; 0: any number
    };

    struct logic {
        nats_broker& self;
        void opened(client& p) const {
            self.peers_.push_back(&p);
            push(p, self.hello());
        }
        void operator()(std::string_view bytes, client& p) const { self.take(bytes, p); }
        void closed(client& p) const {
            std::erase(self.peers_, &p);
            std::erase(self.without_echo_, &p);
            std::erase_if(self.subscriptions_, [&](const auto& s) { return s.to == &p; });
        }
    };

    // A client that does not read is left to its fate.
    static void push(client& p, const std::string& bytes) { (void)p.push(bytes); }

    std::string hello() const {
        std::string urls;
        for (const auto& url : connect_urls)
            urls += fmt::format("{}\"{}\"", urls.empty() ? "" : ",", url);
        return fmt::format("INFO {{{},\"connect_urls\":[{}]}}\r\n", info, urls);
    }

    static std::vector<std::string> split(std::string_view text, char at) {
        std::vector<std::string> words;
        std::istringstream in{std::string(text)};
        for (std::string word; std::getline(in, word, at);) words.push_back(word);
        return words;
    }

    static bool matches(const std::string& pattern, std::string_view subject) {
        const auto want = split(pattern, '.'), have = split(subject, '.');
        for (std::size_t i = 0; i < want.size(); ++i) {
            if (i == have.size()) return false;
            if (want[i] == ">") return true;
            if (want[i] != "*" && want[i] != have[i]) return false;
        }
        return want.size() == have.size();
    }

    void take(std::string_view bytes, client& from) {
        const auto line = bytes.substr(0, bytes.find("\r\n"));
        auto words = split(line, ' ');
        got.emplace_back(line);
        const std::string verb = words.at(0);
        if (verb == "PING" && answers_pings) push(from, "PONG\r\n");
        if (verb == "CONNECT" && honours_echo && line.find("\"echo\":false") != line.npos)
            without_echo_.push_back(&from);
        if (verb == "SUB") {
            subscriptions_.push_back(
                {&from, words.back(), words.at(1), words.size() == 4 ? words[2] : ""});
        } else if (verb == "UNSUB") {
            std::erase_if(subscriptions_,
                          [&](const auto& s) { return s.to == &from && s.sid == words.at(1); });
        } else if (verb == "PUB" || verb == "HPUB") {
            const bool has_headers = verb == "HPUB";
            const std::size_t least = has_headers ? 4 : 3;
            const std::string reply_to = words.size() > least ? words.at(2) : "";
            const std::size_t headers =
                has_headers ? std::strtoul(words[words.size() - 2].c_str(), nullptr, 10) : 0;
            const auto body = bytes.substr(line.size() + 2);
            deliver(&from, words.at(1), reply_to, headers, body.substr(0, body.size() - 2));
        }
    }

    // `body` begins with `headers` bytes of headers.
    void deliver(client* from, std::string_view subject, std::string_view reply_to,
                 std::size_t headers, std::string_view body) {
        std::vector<std::pair<std::string, std::vector<subscription*>>> queues;
        std::size_t delivered = 0;
        const auto to = [&](const subscription& s) {
            ++delivered;
            push(*s.to, message(s, subject, reply_to, headers, body));
        };
        const bool has_echo =
            std::find(without_echo_.begin(), without_echo_.end(), from) == without_echo_.end();
        for (auto& s : subscriptions_) {
            if (!matches(s.pattern, subject) || (s.to == from && !has_echo)) continue;
            if (s.queue.empty()) {
                to(s);
                continue;
            }
            auto at = queues.begin();
            while (at != queues.end() && at->first != s.queue) ++at;
            if (at == queues.end()) at = queues.insert(at, {s.queue, {}});
            at->second.push_back(&s);
        }
        for (const auto& [name, members] : queues) to(*members[turn_++ % members.size()]);
        if (delivered != 0 || reply_to.empty() || from == nullptr) return;
        const std::string none = "NATS/1.0 503\r\n\r\n";
        for (const auto& s : subscriptions_) {
            if (s.to == from && matches(s.pattern, reply_to))
                push(*from, message(s, reply_to, "", none.size(), none));
        }
    }

    static std::string message(const subscription& s, std::string_view subject,
                               std::string_view reply_to, std::size_t headers,
                               std::string_view body) {
        const std::string reply = reply_to.empty() ? "" : fmt::format(" {}", reply_to);
        if (headers == 0)
            return fmt::format("MSG {} {}{} {}\r\n{}\r\n", subject, s.sid, reply, body.size(),
                               body);
        return fmt::format("HMSG {} {}{} {} {}\r\n{}\r\n", subject, s.sid, reply, headers,
                           body.size(), body);
    }

    std::vector<client*> peers_;
    std::vector<client*> without_echo_;
    std::list<subscription> subscriptions_;
    std::size_t turn_ = 0;
    std::unique_ptr<quiet_server> srv_;
};

}  // namespace test
