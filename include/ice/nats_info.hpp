// nats_info: what a NATS server tells of itself, in an INFO: the members of one JSON object that a
// client uses. No I/O.
#pragma once

#include <cstdint>
#include <ice/detail/export.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ice {

// Members that the server has left out have these defaults.
struct nats_info {
    // connect_urls has the first 64 servers of a cluster: a link connects to one at a time.
    static constexpr std::size_t urls_limit = 64;

    std::string server_id{};
    std::string server_name{};
    std::string version{};                    // of the server, such as "2.9.10"
    std::vector<std::string> connect_urls{};  // "host:port" of the cluster's servers
    std::uint64_t max_payload = 1024 * 1024;  // bytes of headers and payload of one message
    std::uint64_t client_id = 0;              // of this connection, for the server's log
    bool headers = false;                     // it takes and sends messages with headers
    bool auth_required = false;
    bool tls_required = false;
    bool has_nonce = false;  // it asks for a signature by an nkey
    bool lame_duck = false;  // it closes all its connections soon (ldm)

    bool operator==(const nats_info&) const = default;
};

// Reads the JSON object of an INFO (RFC 8259). It skips members that nats_info does not have, of
// any type, nested at most 16 deep. Of two members with the same name the last counts. Returns
// none if the text is not JSON, or a member has another type than NATS documents. It does not check
// that strings are UTF-8. Blanks may stand around the object.
ICE_API std::optional<nats_info> read_nats_info(std::string_view json);

// Appends `text` as a JSON string, in quotes. Bytes above 127 are not changed.
ICE_API void append_json_string(std::string_view text, std::string& out);

}  // namespace ice
