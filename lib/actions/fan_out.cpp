// The part of all() and first_of() that does not depend on what the coroutines return.
#include <exception>
#include <ice/fan_out.hpp>
#include <ice/transport.hpp>

namespace ice {

task<joined> detail::join_within(time_limit limit, std::vector<task<bool>> work) {
    if (limit.is_over()) {
        co_await limit.net().yield();
        co_return joined(work.size());
    }
    auto runs =
        join_until(limit.net().executor(), limit.net().deadlines(), limit.until(), std::move(work));
    joined ends = co_await std::move(runs);
    if (ends.thrown) std::rethrow_exception(ends.thrown);
    if (ends.has_left) joined::abort();
    co_return ends;
}

}  // namespace ice
