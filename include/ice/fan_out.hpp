// all, first_of: coroutines side by side, such as requests to several upstreams, under one deadline
// for all of them.
//     const ice::time_limit limit = srv.within(200ms);
//     auto got = co_await ice::all(limit, users.request(id), prices.request(item), stock(srv));
//     auto& [user, price, in_stock] = got;  // two pool_results, and the result of a coroutine
#pragma once

#include <concepts>
#include <cstddef>
#include <ice/detail/cancel_at.hpp>
#include <ice/detail/export.hpp>
#include <ice/error.hpp>
#include <ice/failure.hpp>
#include <ice/result.hpp>
#include <ice/task.hpp>
#include <ice/time_limit.hpp>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace ice {

namespace detail {

// The outcome of a task<T>. late() makes that of one which did not end in time: `of` is what it
// returned later, if anything.
template <class T>
struct outcome_of {
    using type = result<T>;
    static type late(const std::optional<type>&, bool) { return errc::request_timeout; }
    static bool has_succeeded(const type& r) noexcept { return r.has_value(); }
};
template <class T>
struct outcome_of<result<T>> : outcome_of<T> {};
template <class T>
struct outcome_of<pool_result<T>> {
    using type = pool_result<T>;
    static type late(const std::optional<type>& of, bool has_begun) {
        if (!has_begun) return not_begun_failure();
        return late_failure(of && !*of ? of->failure() : *unknown_failure());
    }
    static bool has_succeeded(const type& r) noexcept { return r.has_value(); }
};
template <>
struct outcome_of<error_code> {
    using type = error_code;
    static type late(const std::optional<type>&, bool) { return errc::request_timeout; }
    static bool has_succeeded(const type& ec) noexcept { return !ec; }
};
template <>
struct outcome_of<void> : outcome_of<error_code> {};

}  // namespace detail

// What all() and first_of() return for a task<T>: T itself if it is a result<U>, a pool_result<U>
// or an error_code, an error_code for void, and a result<T> for any other T.
template <class T>
using outcome = typename detail::outcome_of<T>::type;

namespace detail {

// What all() and first_of() have in common for any T: runs `work` until the limit, or nothing if
// that is over. Throws what they throw.
ICE_API task<joined> join_within(time_limit limit, std::vector<task<bool>> work);

// Runs one coroutine, and keeps its outcome. Returns whether the others need not go on: if it has
// succeeded, and one success `is_enough`.
template <class T>
task<bool> keep_outcome(task<T> work, std::optional<outcome<T>>& to, bool is_enough) {
    if constexpr (std::is_void_v<T>) {
        co_await std::move(work);
        to.emplace();
    } else {
        T got = co_await std::move(work);
        to.emplace(std::move(got));
    }
    if (!is_enough) co_return false;
    co_return outcome_of<T>::has_succeeded(*to);
}

template <class T>
std::vector<task<bool>> keep_outcomes(std::vector<task<T>> work,
                                      std::vector<std::optional<outcome<T>>>& to, bool is_enough) {
    std::vector<task<bool>> parts;
    parts.reserve(work.size());
    for (std::size_t i = 0; i < work.size(); ++i)
        parts.push_back(keep_outcome<T>(std::move(work[i]), to[i], is_enough));
    return parts;
}

template <class T>
outcome<T> take(std::optional<outcome<T>>& made, const joined& ends, std::size_t i) {
    if (ends.in_time[i]) return *std::move(made);
    return outcome_of<T>::late(made, ends.is_late);
}

template <class... T, std::size_t... I>
task<std::tuple<outcome<T>...>> all_of(time_limit limit, std::tuple<task<T>...> work,
                                       std::index_sequence<I...>) {
    std::tuple<std::optional<outcome<T>>...> made;
    std::vector<task<bool>> parts;
    parts.reserve(sizeof...(T));
    (parts.push_back(keep_outcome<T>(std::get<I>(std::move(work)), std::get<I>(made), false)), ...);
    auto runs = join_within(std::move(limit), std::move(parts));
    const joined ends = co_await std::move(runs);
    co_return std::tuple<outcome<T>...>(take<T>(std::get<I>(made), ends, I)...);
}

}  // namespace detail

// Runs the coroutines side by side on the loop's thread, all of them from the co_await on, and
// returns when each has ended: the outcome of each, in the order of the arguments. At the limit it
// cancels those that have not ended (asio::cancellation_type::terminal: what they wait for, and
// each later co_await, throws asio::error::operation_aborted), and waits for their end. So none of
// them runs after the call, and they may refer to what lives as long as it. One that disables its
// cancellation, or that waits again after it, holds the caller beyond the limit.
//
// Outcomes: what a coroutine returned before the limit. One that had not ended then has
// errc::request_timeout, whatever it returned later; a pool_result then has the failure of a
// request with that timeout: errc::acquire_timeout if nothing was sent, and request_timeout
// otherwise. If the limit is over already, the call begins nothing, and each outcome is such an
// error. It returns after the loop has run everything else that was ready.
// An exception that leaves a coroutine cancels the others; when all have ended, the first one is
// rethrown, without any outcome. If the caller is cancelled, so are all; then the call throws
// asio::error::operation_aborted, as std::system_error. That error does not count as an exception
// of what was cancelled.
// Each begins at once, up to its first wait, in the order of the arguments. Begin with those that
// wait: one that does not wait holds those after it.
// Requires: the coroutines were not awaited yet, and the caller runs on the loop's thread.
template <class... T>
    requires(sizeof...(T) != 0)
task<std::tuple<outcome<T>...>> all(time_limit limit, task<T>... work) {
    return detail::all_of<T...>(std::move(limit), std::tuple<task<T>...>(std::move(work)...),
                                std::index_sequence_for<T...>());
}

// The same for a number of coroutines that is known at run time, and may be 0.
template <class T>
task<std::vector<outcome<T>>> all(time_limit limit, std::vector<task<T>> work) {
    std::vector<std::optional<outcome<T>>> made(work.size());
    auto parts = detail::keep_outcomes<T>(std::move(work), made, false);
    auto runs = detail::join_within(std::move(limit), std::move(parts));
    const joined ends = co_await std::move(runs);
    std::vector<outcome<T>> outcomes;
    outcomes.reserve(made.size());
    for (std::size_t i = 0; i < made.size(); ++i)
        outcomes.push_back(detail::take<T>(made[i], ends, i));
    co_return outcomes;
}

// Runs them as all() does, but the first one that succeeds before the limit cancels the others. It
// returns that outcome when all have ended. An outcome with a value succeeds, an error_code without
// an error, and any return of a coroutine whose T is no such type. If none succeeds, it returns the
// error of the one that has ended last.
// One that succeeds without waiting wins over those after it, which do not begin. Of several that
// succeed in one round of the loop, the first that the loop resumes wins. The outcomes of all
// others are lost: the pool closes the connection on which a request was cancelled, and its
// upstream may have executed the request.
// Throws std::invalid_argument if there is no coroutine.
template <class T>
task<outcome<T>> first_of(time_limit limit, std::vector<task<T>> work) {
    if (work.empty()) throw std::invalid_argument("ice: first_of() of no coroutines");
    std::vector<std::optional<outcome<T>>> made(work.size());
    auto parts = detail::keep_outcomes<T>(std::move(work), made, true);
    auto runs = detail::join_within(std::move(limit), std::move(parts));
    const joined ends = co_await std::move(runs);
    std::size_t i = 0;  // that of one that did not begin
    if (ends.first != joined::none) i = ends.first;
    else if (ends.last != joined::none) i = ends.last;
    co_return detail::take<T>(made[i], ends, i);
}

template <class T, class... More>
task<outcome<T>> first_of(time_limit limit, task<T> one, task<More>... more) {
    static_assert((std::same_as<T, More> && ...),
                  "ice: all coroutines of first_of() return the same type");
    std::vector<task<T>> work;
    work.reserve(1 + sizeof...(More));
    work.push_back(std::move(one));
    (work.push_back(std::move(more)), ...);
    return first_of(std::move(limit), std::move(work));
}

}  // namespace ice
