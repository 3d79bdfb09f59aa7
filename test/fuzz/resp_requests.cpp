// `resp_requests`: each request is an array of bulk strings, which `resp` accepts too, and which is
// the same request when it is sent again.
#include <ice/protocols/resp_requests.hpp>

#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input in(bytes, size);
    static const std::size_t limits[] = {1024 * 1024, 40};
    const std::size_t limit = limits[in.choose(2)];
    constexpr std::size_t error_text = 128;  // an invalid request is answered before the end
    const auto seen = fuzz::same_at_every_cut(ice::resp_requests(limit), in, error_text);

    std::string again;
    for (const ice::resp_value& request : seen.messages) {
        fuzz::check(request.type() == ice::resp_type::array, "a request is an array");
        fuzz::check(request.size() != 0, "a request has a name");
        for (const ice::resp_view word : request)
            fuzz::check(word.type() == ice::resp_type::bulk_string, "its words are bulk strings");
        const auto strict = ice::testing::play(ice::resp(), request.bytes());
        fuzz::check(!strict.error && strict.left == 0 && strict.messages.size() == 1,
                    "a client's side would take it");
        again += request.bytes();
    }
    const auto repeated = ice::testing::play(ice::resp_requests(), again);
    fuzz::check(!repeated.error && repeated.left == 0 && repeated.messages == seen.messages,
                "sent again, it is the same request");
    fuzz::check(seen.answers.empty() || (seen.error && seen.answers.starts_with("-ERR ") &&
                                         seen.answers.ends_with("\r\n")),
                "only the error at the end is answered");
    return 0;
}
