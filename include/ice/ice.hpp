// Includes all public headers of ice except ice/asio.hpp (the real socket of a session) and
// ice/testing/ (simulations), which a program includes by name. A file that includes only the
// headers it needs compiles faster; each header compiles alone. Users include nothing from
// ice/detail/: what it holds may change in any release.
#pragma once

#include <ice/action.hpp>
#include <ice/address.hpp>
#include <ice/bus.hpp>
#include <ice/channel.hpp>
#include <ice/duration.hpp>
#include <ice/error.hpp>
#include <ice/event.hpp>
#include <ice/failure.hpp>
#include <ice/fan_out.hpp>
#include <ice/forward.hpp>
#include <ice/health_check.hpp>
#include <ice/limits.hpp>
#include <ice/link.hpp>
#include <ice/listener.hpp>
#include <ice/log.hpp>
#include <ice/logic.hpp>
#include <ice/memcached_command.hpp>
#include <ice/nats_client.hpp>
#include <ice/nats_command.hpp>
#include <ice/nats_info.hpp>
#include <ice/nats_message.hpp>
#include <ice/pool.hpp>
#include <ice/pool_state.hpp>
#include <ice/protocol.hpp>
#include <ice/protocols/length_prefixed.hpp>
#include <ice/protocols/line.hpp>
#include <ice/protocols/memcached.hpp>
#include <ice/protocols/memcached_requests.hpp>
#include <ice/protocols/nats.hpp>
#include <ice/protocols/netstring.hpp>
#include <ice/protocols/raw.hpp>
#include <ice/protocols/resp.hpp>
#include <ice/protocols/resp_requests.hpp>
#include <ice/protocols/telnet.hpp>
#include <ice/redis_subscriber.hpp>
#include <ice/resource_action.hpp>
#include <ice/resource_pool.hpp>
#include <ice/resp_redirect.hpp>
#include <ice/resp_value.hpp>
#include <ice/result.hpp>
#include <ice/server.hpp>
#include <ice/session.hpp>
#include <ice/standard_streams.hpp>
#include <ice/task.hpp>
#include <ice/time_limit.hpp>
#include <ice/transport.hpp>
#include <ice/uid.hpp>
#include <ice/version.hpp>
