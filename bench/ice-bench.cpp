// ice-bench: load for servers that echo, tell the time, or speak telnet, RESP or the protocol of
// memcached (`--help`).
#include <array>
#include <ice/bench.hpp>
#include <ice/protocols/line.hpp>
#include <ice/protocols/memcached.hpp>
#include <ice/protocols/resp.hpp>
#include <ice/protocols/telnet.hpp>

#include "numbered.hpp"

namespace {

std::string bytes(std::string_view text) { return std::string(text); }

std::string line(std::string_view text) { return std::string(text) + "\r\n"; }

std::string echo_command(std::string_view text) {
    return std::string(ice::resp_command("ECHO", text).bytes());
}

std::string bulk_string(std::string_view text) {
    return std::string(ice::resp_bulk_string(text).bytes());
}

// Telnet as a user's client begins it (RFC 854, 858, 1091): it asks the server to suppress
// go-aheads and offers its terminal type. The server must answer both.
struct asking_telnet : ice::telnet {
    void open(std::string& out) { out += "\xff\xfd\x03\xff\xfb\x18"; }  // DO SGA, WILL TTYPE
    bool is_open() const { return answered >= 6; }
    ice::parsed<std::string_view> parse(std::string_view input, std::string& out) {
        auto found = ice::telnet::parse(input, out);
        if (!found.has_message()) answered += found.size();
        return found;
    }

    std::size_t answered = 0;  // bytes
};

std::string_view gettime(std::uint64_t) { return "gettime"; }

bool is_time(std::string_view reply, std::uint64_t) {
    constexpr std::string_view shape = "dddd-dd-dd dd:dd:dd";
    if (reply.size() != shape.size()) return false;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        const bool digit = reply[i] >= '0' && reply[i] <= '9';
        if (shape[i] == 'd' ? !digit : reply[i] != shape[i]) return false;
    }
    return true;
}

// Sets an item and gets it, in turn, of a thousand items whose values differ.
struct set_and_get {
    std::size_t size;  // of a value

    static std::string key(std::uint64_t n) {
        return "bench:" + std::to_string(1000 + n / 2 % 1000);
    }
    std::string value(std::uint64_t n) const {
        std::string made = key(n);
        made.resize(size, '#');
        return made;
    }
    ice::memcached_command operator()(std::uint64_t n) const {
        return n % 2 == 0 ? ice::memcached_set(key(n), value(n)) : ice::memcached_get(key(n));
    }
    bool operator()(ice::memcached_view reply, std::uint64_t n) const {
        if (n % 2 == 0) return reply.type() == ice::memcached_type::stored;
        return reply.is_hit() && reply.begin()->key == key(n) && reply.value() == value(n);
    }
};

}  // namespace

int main(int argc, char** argv) {
    using ice::bench::talk;
    return ice::bench::run(
        argc, argv,
        {{"echo", "bytes, answered with the same bytes",
          [](std::size_t n) { return numbered::talk(n, bytes, bytes); }},
         {"line", "lines ended by CR LF, answered with the same line",
          [](std::size_t n) { return numbered::talk(n - 2, line, line); }},
         {"time", "the line gettime, answered with a date and a time",
          [](std::size_t) { return talk(ice::line{}, gettime, is_time); }},
         {"telnet", "negotiates options, then as time",
          [](std::size_t) { return talk(asking_telnet{}, gettime, is_time); }},
         {"resp", "the command ECHO of Redis (RESP2), answered with its argument",
          [](std::size_t n) { return numbered::talk(n, echo_command, bulk_string); }},
         {"memcached", "set and get of memcached, with a value of so many bytes",
          [](std::size_t n) {
              const set_and_get load{n};
              return talk(ice::memcached(n + 1024), load, load);  // 1024: more than its lines
          }},
         {"connect", "a connection for each request, a line answered with itself",
          [](std::size_t n) { return numbered::talk(n - 2, line, line); }, true}});
}
