// precompiled: what nearly every test includes, parsed once for all of them; and the templates that
// nearly every test instantiates, which precompiled.cpp compiles once.
#pragma once

#include <fmt/format.h>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <asio/write.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <string>
#include <string_view>

#ifndef ICE_EXTERN
#define ICE_EXTERN extern
#endif

ICE_EXTERN template class ice::session<ice::line>;
ICE_EXTERN template class ice::pool<ice::line>;
ICE_EXTERN template class ice::pipelined_pool<ice::line, std::string>;
ICE_EXTERN template class ice::tcp_client_action<ice::line>;
ICE_EXTERN template struct ice::reply_logic<std::string, std::string_view>;
ICE_EXTERN template class ice::session<ice::raw>;
ICE_EXTERN template class ice::session<ice::resp>;
ICE_EXTERN template class ice::pool<ice::resp>;
ICE_EXTERN template class ice::pipelined_pool<ice::resp, ice::resp_value>;

#undef ICE_EXTERN
