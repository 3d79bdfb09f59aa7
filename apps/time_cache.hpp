// time_cache: how apps/cached_time stores a time for a second, in Redis or in memcached.
#pragma once

#include <chrono>
#include <ice/memcached_command.hpp>
#include <ice/protocols/memcached.hpp>
#include <ice/protocols/resp.hpp>
#include <string>
#include <string_view>

struct redis_cache {
    using protocol = ice::resp;
    static auto get() { return ice::resp_command("GET", "ice:time"); }
    static auto set(std::string_view time) {
        return ice::resp_command("SET", "ice:time", time, "PX", 1000);
    }
    static std::string_view text(ice::resp_view reply) { return reply.text(); }
};

// memcached counts in seconds: a time lives for less than two.
struct memcached_cache {
    using protocol = ice::memcached;
    static auto get() { return ice::memcached_get("ice:time"); }
    static auto set(std::string_view time) {
        return ice::memcached_set("ice:time", time, std::chrono::seconds(1));
    }
    static std::string_view text(ice::memcached_view reply) { return reply.value(); }
};
